"""Data sets, what is predicted and written for them, and images, as the fuzzer takes them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import declared
import fsspec
import headers
import honest
from faults import CODE, PLACES, dressed
from hypothesis import strategies as st
from kinds import Files, Kind, a_verb, verb

import igllm
from datagen.code.grammar import parse_code, write_code
from datagen.code.predictions import Prediction, read_predictions
from datagen.domains import own_assets
from datagen.domains.own_assets import WordsFacts, own_domain
from datagen.domains.registry import get_domain
from datagen.domains.split_files import load_split
from datagen.domains.splits import SplitFile
from datagen.formats.clevr_scenes import SceneEntry, published_scene
from datagen.io.written import WrittenFile, list_name
from datagen.samples.cameras import CamerasFile, load_cameras
from datagen.samples.record import SampleRecord
from datagen.samples.sample import Sample
from datagen.samples.settings import DatasetSettings, SettingsRecord
from datagen.shards.manifest import Failure, Row, Source
from datagen.shards.pictures import ImageFiles
from datagen.shards.reader import Samples
from datagen.shards.writer import ImportedStatement, Statement

# Data sets


def _sample_files() -> dict[str, bytes]:
    return {sample.key + suffix: data for sample in honest.dots() for suffix, data in sample.files().items()}


def _stated(tar: bytes) -> Files:
    """A tar as the only shard of a data set whose manifest vouches for it."""
    row = json.loads(honest.data_set()["manifest.jsonl"].splitlines()[0])
    statement = json.loads(honest.data_set()["dataset.json"]) | {"num": 2, "shard_size": 2}
    labels = hashlib.sha256(
        b"".join(files[suffix] for files in map(Sample.files, honest.dots()) for suffix in (".py", ".json"))
    ).hexdigest()
    row |= {"samples": 2, "labels": labels, "bytes": len(tar), "sha256": hashlib.sha256(tar).hexdigest()}
    return {"dataset.json": json.dumps(statement).encode(), "manifest.jsonl": json.dumps(row).encode(), "shard-000000.tar": tar}


def tars() -> st.SearchStrategy[Files]:
    return headers.tars(_sample_files()).map(_stated)


def manifests() -> st.SearchStrategy[Files]:
    rows = [json.loads(line) for line in honest.data_set()["manifest.jsonl"].splitlines()]
    failure = asdict(Failure(1, 3, "000000001", "it crashed twice"))
    lines = st.one_of(declared.damaged_lines(rows, Row), declared.damaged_lines([failure, *rows], Failure))
    names = st.sampled_from(["manifest.jsonl", "manifest.jsonl", "failures.jsonl", "manifest.000000.jsonl", "manifest.999999999.jsonl"])
    return st.dictionaries(names, lines, min_size=1, max_size=2).map(lambda found: {**honest.data_set(), **found})


def statements() -> st.SearchStrategy[Files]:
    stated = json.loads(honest.data_set()["dataset.json"])
    imported = {**stated, "imported_from": "x", "seed": None}
    bases = [stated, imported]
    settings = declared.grafted([stated], SettingsRecord).map(lambda content: json.dumps(content).encode("utf-8", "surrogatepass"))
    of_imported = declared.grafted([imported], ImportedStatement).map(lambda content: json.dumps(content).encode("utf-8", "surrogatepass"))
    return st.one_of(declared.damaged(bases, Statement, most=2), declared.damaged(bases, most=2), settings, of_imported).map(
        lambda data: {**honest.data_set(), "dataset.json": data}
    )


def records() -> st.SearchStrategy[Files]:
    samples = [honest.dots()[0], honest.scene()]

    def with_record(sample: Any) -> st.SearchStrategy[Files]:
        files = sample.files()
        record = declared.damaged([honest.plain(sample)], SampleRecord, most=2)
        return record.map(lambda data: {"a" + suffix: data if suffix == ".json" else held for suffix, held in files.items()})

    extras = st.dictionaries(
        st.sampled_from(["a.depth.npy", "a.txt"]),
        st.one_of(
            headers.npy_files("'<f4'", (24, 32), bytes(24 * 32 * 4)),
            st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
        ),
        max_size=1,
    )
    return st.builds(lambda files, more: {**files, **more}, st.one_of(list(map(with_record, samples))), extras)


def _render_again(folder: Path, out: Path) -> int:
    """Code of ours under the light of a record that may be anybody's."""
    (out / "p.jsonl").write_text(json.dumps({"key": "a", "code": honest.dots()[0].code}))
    if b'"clevr"' in (folder / "a.json").read_bytes():
        return verb("export", "--data", folder, "--format", "hf", "--out", out / "hf")  # rendering would start Blender
    return verb("render", "--code", out / "p.jsonl", "--data", folder, "--out", out / "rendered")


# What people and models write


def predictions() -> st.SearchStrategy[Files]:
    rows = [
        {"key": "000000000", "code": honest.dots()[0].code},
        {"key": "000000001", "code": honest.scene().code, "image": "x.png", "confidence": [0.5, 0.25, 1]},
        {"key": "b", "code": "", "confidence": [], "candidates": [{"code": honest.dots()[1].code, "logp": -1.5}, {"code": "", "logp": -2}]},
    ]
    return declared.damaged_lines(rows, Prediction).map(lambda data: {"pred.jsonl": data})


def _read_predictions(folder: Path, out: Path) -> int:
    read_predictions(folder / "pred.jsonl")
    return 0


def codes() -> st.SearchStrategy[Files]:
    """Graphics code, word by word: mostly right, with words of others between."""
    lines = [*honest.scene().code.splitlines(), *(sample.code.strip() for sample in honest.dots())]
    words = [
        word for line in lines for word in line.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").replace("=", " = ").split()
    ]
    change = st.tuples(
        st.integers(0, 2**16),
        st.sampled_from(["put", "replace", "remove", "repeat"]),
        st.one_of(declared.among(CODE), declared.among(words)),
    )

    def made(lines: list[str], changes: list[tuple[int, str, str]], dress: str, at: int) -> bytes:
        text = "\n".join(lines) + "\n"
        for place, sort, word in changes:
            start = place % (len(text) + 1)
            end = start if sort == "put" else min(len(text), start + len(word) % 5 + 1)
            new = {"put": word, "replace": word, "remove": "", "repeat": text[start:end] * 50}[sort]
            text = text[:start] + new + text[end:]
        return dressed(text.encode("utf-8", "surrogatepass"), dress, at)

    dress = st.sampled_from(["plain", "plain", "plain", "cut", "bom", "utf-16", "byte", "nul", "twice"])
    some = st.one_of(st.lists(st.sampled_from(lines[:3]), max_size=4), st.lists(st.sampled_from(lines[3:]), max_size=2))
    return st.builds(made, some, st.lists(change, max_size=3), dress, st.integers(0, 2**16)).map(lambda data: {"scene.py": data})


def _parse(folder: Path, out: Path) -> int:
    """As `igllm compare` does, of either domain: parsed, judged, written again."""
    text = (folder / "scene.py").read_bytes().decode("utf-8-sig", "replace")
    domain = get_domain("dot2d" if "dot" in text else "clevr")
    scene = parse_code(text, domain)
    domain.violations(scene)
    write_code(scene, domain)
    return 0


def splits() -> st.SearchStrategy[Files]:
    bases = [
        *({**split.to_json(), "name": "own"} for name in ("dot2d", "clevr") for split in get_domain(name).splits.values()),
        {"name": "own", "ranges": {"loc.x": [0.1, 0.5]}, "objects": [1, 1], "regions": [{"loc.x": [[0.1, 0.2], [0.3, 0.4]]}]},
    ]
    return declared.damaged(bases, SplitFile, most=2).map(lambda data: {"own.json": data})


def _load_split(folder: Path, out: Path) -> int:
    domain = "clevr" if b"shape" in (folder / "own.json").read_bytes() else "dot2d"
    DatasetSettings(domain=domain, rules=load_split(str(folder / "own.json"), get_domain(domain)))
    return 0


def cameras() -> st.SearchStrategy[Files]:
    example = Path(igllm.__file__).parent / "examples" / "own_split" / "cameras.json"
    bases = [json.loads(example.read_text()), {"a": {"location": [7, -6, 5]}}]
    return declared.damaged(bases, CamerasFile, most=2).map(lambda data: {"cameras.json": data})


def _load_cameras(folder: Path, out: Path) -> int:
    DatasetSettings(cameras=load_cameras(folder / "cameras.json"), width=32, height=24).warnings()
    return 0


def published() -> st.SearchStrategy[Files]:
    """CLEVR's scenes file, with an image that it names."""
    names = ["CLEVR_new_000000.png", "CLEVR_new_000001.png"]
    whole = {"info": {"split": "new"}, "scenes": [published_scene(honest.scene(), number, name) for number, name in enumerate(names)]}
    bare = {
        "image_filename": names[0],
        "objects": [{k: v for k, v in obj.items() if k != "pixel_coords"} for obj in whole["scenes"][0]["objects"]],
    }
    image = honest.scene().image
    scenes = st.one_of(
        declared.damaged([whole, whole["scenes"][0], bare], most=2), declared.damaged([whole["scenes"][0], bare], SceneEntry, most=1)
    )
    return scenes.map(lambda data: {"scenes.json": data, **{f"images/{name}": image for name in names}})


@cache
def _imported() -> Files:
    """A data set that was imported from a scenes file beside it."""
    folder = honest.home() / f"imported-{os.getpid()}"
    (folder / "images").mkdir(parents=True)
    name = "CLEVR_new_000000.png"
    (folder / "images" / name).write_bytes(honest.scene().image)
    (folder / "scenes.json").write_text(json.dumps({"info": {}, "scenes": [published_scene(honest.scene(), 0, name)]}))
    assert _import_again(folder, folder) == 0
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _import_again(folder: Path, out: Path) -> int:
    words = ["--format", "clevr", "--scenes", folder / "scenes.json", "--images", folder / "images"]
    return verb("import", *words, "--out", folder / "set")


def sources() -> st.SearchStrategy[Files]:
    """What an import says that it made its shards of."""
    held = _imported()
    rows = [json.loads(line) for line in held["set/sources.jsonl"].splitlines()]
    return declared.damaged_lines(rows, Source).map(lambda data: {**held, "set/sources.jsonl": data})


def indexes() -> st.SearchStrategy[Files]:
    """The cached table of where samples lie, damaged or of something else."""
    return headers.overwritten([_index_rows()]).filter(lambda data: data != _index_rows()).map(lambda data: {"index.rows": data})


@cache
def _index_rows() -> bytes:
    """What is kept of a data set's index."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict("os.environ", {"XDG_CACHE_HOME": folder}):
        (Path(folder) / "data").mkdir()
        for name, data in honest.data_set().items():
            (Path(folder) / "data" / name).write_bytes(data)
        len(Samples(Path(folder) / "data"))
        [kept] = Path(folder, "igllm", "index").glob("*.rows")
        return kept.read_bytes()


def _index_kept(folder: Path, out: Path) -> int:
    """Samples are found by their cached index; something else lies in its place."""
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


def fetched() -> st.SearchStrategy[Files]:
    """A shard as it came from a URL, or its table, damaged where it is kept."""
    tar = honest.data_set()["shard-000000.tar"]
    damaged = headers.overwritten([tar], far=1000)
    table = headers.overwritten([bytes(33)])
    return st.one_of(damaged.map(lambda data: {"kept.tar": data}), table.map(lambda data: {"kept.rows": data}))


def _fetch_again(folder: Path, out: Path) -> int:
    """A second call on a data set behind a URL, of which something else lies in the place of what was kept."""
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
    """What a folder of pictures says of which of its files igllm has written."""
    rows = [
        {"file": "000000000.png", "made_from": "0" * 64, "sha256": "0" * 64},
        *({"file": place, "made_from": "x"} for place in PLACES),
    ]
    return declared.damaged_lines(rows, WrittenFile).map(lambda data: {list_name("render"): data, "own.txt": b"x"})


def _render_into(folder: Path, out: Path) -> int:
    (out / "p.jsonl").write_text(json.dumps({"key": "000000000", "code": honest.dots()[0].code}))
    return verb("render", "--code", out / "p.jsonl", "--domain", "dot2d", "--workers", "1", "--out", folder)


def words() -> st.SearchStrategy[Files]:
    """What the cache keeps of a domain of people's own assets."""
    facts = {"box-0123456789ab": {"kind": "box", "symmetry": "C4"}, "wood-0123456789ab": {"pattern": "wood"}}
    return declared.damaged([facts], WordsFacts, most=2).map(lambda data: {"domain.json": data})


def _own_domain(folder: Path, out: Path) -> int:
    """As every verb that reads a data set of such a domain: by a name that holds the digest of what is kept."""
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


def images() -> st.SearchStrategy[Files]:
    held = honest.images()

    def of(name: str) -> st.SearchStrategy[Files]:
        other = [headers.pngs([held[name]])] if name.endswith("png") else []
        return st.one_of(headers.overwritten([held[name]]), *other).map(lambda data: {name: data})

    return st.one_of(list(map(of, held)))


def _look(folder: Path, out: Path) -> int:
    pictures = ImageFiles(sorted(folder.iterdir()))
    for key in pictures.keys:
        pictures.pixels(key)
    return 0


KINDS: dict[str, Kind] = {
    "tar": Kind(
        tars,
        a_verb("verify", "IN"),
        (
            (400, a_verb("export", "--data", "IN", "--format", "coco", "--out", "OUT/coco")),
            (50, a_verb("merge", "IN")),
            (1, a_verb("inspect", "IN", "--out", "OUT/page")),
        ),
    ),
    "manifest": Kind(manifests, a_verb("verify", "IN"), ((200, a_verb("merge", "IN")),), share=0.7),
    "statement": Kind(
        statements,
        a_verb("verify", "IN"),
        (
            (
                100,
                a_verb(
                    "generate",
                    "--domain",
                    "dot2d",
                    "--num",
                    "2",
                    "--seed",
                    "3",
                    "--width",
                    "32",
                    "--height",
                    "24",
                    "--quality",
                    "draft",
                    "--shard-size",
                    "1",
                    "--workers",
                    "1",
                    "--out",
                    "IN",
                ),
            ),
        ),
    ),
    "record": Kind(
        records,
        a_verb("export", "--data", "IN", "--format", "coco", "--out", "OUT/coco"),
        (
            (100, a_verb("export", "--data", "IN", "--format", "clevr", "--out", "OUT/clevr")),
            (100, a_verb("export", "--data", "IN", "--format", "hf", "--out", "OUT/hf")),
            (100, _render_again),
            (10, a_verb("compare", "--reference", "IN", "--candidate", "IN", "--out", "OUT/report")),
            (1, a_verb("inspect", "IN", "--out", "OUT/page")),
        ),
    ),
    "prediction": Kind(
        predictions,
        _read_predictions,
        (
            (50, a_verb("render", "--code", "IN/pred.jsonl", "--domain", "dot2d", "--workers", "1", "--out", "OUT/rendered")),
            (
                30,
                a_verb(
                    "compare", "--reference", "IN/pred.jsonl", "--candidate", "IN/pred.jsonl", "--domain", "dot2d", "--out", "OUT/report"
                ),
            ),
        ),
    ),
    "code": Kind(
        codes, _parse, ((50, a_verb("render", "--code", "IN/scene.py", "--domain", "dot2d", "--workers", "1", "--out", "OUT/rendered")),)
    ),
    "split": Kind(
        splits,
        _load_split,
        (
            (
                50,
                a_verb(
                    "generate",
                    "--domain",
                    "dot2d",
                    "--split",
                    "IN/own.json",
                    "--num",
                    "1",
                    "--workers",
                    "1",
                    "--width",
                    "16",
                    "--height",
                    "16",
                    "--out",
                    "OUT/data",
                ),
            ),
        ),
    ),
    "camera": Kind(cameras, _load_cameras),
    "published": Kind(
        published,
        a_verb("import", "--format", "clevr", "--scenes", "IN/scenes.json", "--out", "OUT/codes"),
        ((300, a_verb("import", "--format", "clevr", "--scenes", "IN/scenes.json", "--images", "IN/images", "--out", "OUT/shards")),),
        share=0.5,
    ),
    "source": Kind(sources, _import_again, share=0.2),
    "fetched": Kind(fetched, _fetch_again, share=0.2),
    "list": Kind(lists, _render_into, share=0.2),
    "words": Kind(words, _own_domain, share=0.3),
    "index": Kind(indexes, _index_kept, share=0.5),
    "image": Kind(images, _look, ((50, a_verb("inspect", "--textures", "IN", "--out", "OUT/sheet")),)),
}
