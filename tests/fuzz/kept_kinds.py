"""Fuzzer inputs: files that igllm keeps for its later calls, in caches and beside its output."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

import declared
import fsspec
import headers
import honest
from faults import PLACES
from hypothesis import strategies as st
from kinds import Files, Kind, verb

from datagen.domains import own_assets
from datagen.domains.own_assets import WordsFacts, own_domain
from datagen.io.written import WrittenFile, list_name
from datagen.shards.reader import Samples


def fetched() -> st.SearchStrategy[Files]:
    """A damaged file of the cache of fetched shards: a shard, or the table of its samples."""
    tar = honest.data_set()["shard-000000.tar"]
    damaged = headers.overwritten([tar], far=1000)
    table = headers.overwritten([bytes(33)])
    return st.one_of(damaged.map(lambda data: {"kept.tar": data}), table.map(lambda data: {"kept.rows": data}))


def _fetch_again(folder: Path, out: Path) -> int:
    """Read a data set behind a URL again, after the damaged file has replaced the cached one."""
    [damaged] = folder.iterdir()
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pipe_file("/set/shard-000000.tar", honest.data_set()["shard-000000.tar"])
    with mock.patch.dict("os.environ", {"XDG_CACHE_HOME": str(out / "cache")}):
        whole = Samples.for_training("memory://set").files(0)
        [kept] = (out / "cache" / "igllm" / "shards").glob(f"*{damaged.suffix}")
        kept.write_bytes(damaged.read_bytes())
        assert Samples.for_training("memory://set").files(0) == whole, "a damaged shard is fetched anew"
    return 0


def lists() -> st.SearchStrategy[Files]:
    """The damaged list of the files that igllm has written into a folder, and a file that it has not."""
    rows = [
        {"file": "000000000.png", "made_from": "0" * 64, "sha256": "0" * 64},
        *({"file": place, "made_from": "x"} for place in PLACES),
    ]
    return declared.damaged_lines(rows, WrittenFile).map(lambda data: {list_name("render"): data, "own.txt": b"x"})


def _render_into(folder: Path, out: Path) -> int:
    (out / "p.jsonl").write_text(json.dumps({"key": "000000000", "code": honest.dots()[0].code}))
    return verb("render", "--code", out / "p.jsonl", "--domain", "dot2d", "--workers", "1", "--out", folder)


def words() -> st.SearchStrategy[Files]:
    """The damaged cached file of a domain of people's own assets."""
    facts = {"box-0123456789ab": {"kind": "box", "symmetry": "C4"}, "wood-0123456789ab": {"pattern": "wood"}}
    return declared.damaged([facts], WordsFacts, most=2).map(lambda data: {"domain.json": data})


def _own_domain(folder: Path, out: Path) -> int:
    """Load such a domain as verbs do: by a name that holds the digest of the cached file."""
    data = (folder / "domain.json").read_bytes()
    with contextlib.suppress(Exception):
        data = json.dumps(json.loads(data), sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    with (
        mock.patch.object(own_assets, "_kept", lambda _: folder / "domain.json"),
        mock.patch.object(own_assets, "_digest", lambda _: digest[:12]),
    ):
        own_domain.__wrapped__(f"assets:{digest[:12]}")
    return 0


def indexes() -> st.SearchStrategy[Files]:
    """The damaged cached table of where samples lie."""
    return headers.overwritten([_index_rows()]).filter(lambda data: data != _index_rows()).map(lambda data: {"index.rows": data})


@cache
def _index_rows() -> bytes:
    """The cached index of `honest.data_set`."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict("os.environ", {"XDG_CACHE_HOME": folder}):
        (Path(folder) / "data").mkdir()
        for name, data in honest.data_set().items():
            (Path(folder) / "data" / name).write_bytes(data)
        len(Samples(Path(folder) / "data"))
        [kept] = Path(folder, "igllm", "index").glob("*.rows")
        return kept.read_bytes()


def _index_kept(folder: Path, out: Path) -> int:
    """Read samples after the damaged index has replaced the cached one."""
    (out / "data").mkdir()
    for name, data in honest.data_set().items():
        (out / "data" / name).write_bytes(data)
    with mock.patch.dict("os.environ", {"XDG_CACHE_HOME": str(out / "cache")}):
        keys = Samples(out / "data").keys
        [kept] = (out / "cache" / "igllm" / "index").glob("*.rows")
        kept.write_bytes((folder / "index.rows").read_bytes())
        samples = Samples(out / "data")
        assert samples.keys == keys and len(list(samples)) == len(keys), "a damaged index is a miss"
    return 0


KINDS = {
    "fetched": Kind(fetched, _fetch_again, share=0.2),
    "list": Kind(lists, _render_into, share=0.2),
    "words": Kind(words, _own_domain, share=0.3),
    "index": Kind(indexes, _index_kept, share=0.5),
}
