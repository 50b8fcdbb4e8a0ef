"""Generated data sets: their shards are whole, independent of interruptions, and readable by webdataset."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.generate import generate
from datagen.images.encoding import encode_image
from datagen.io.files import file_sha256, read_jsonl
from datagen.samples.sample import FORMAT_VERSION
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import MANIFEST, STATEMENT
from datagen.shards.reader import Samples, write_shard
from datagen.shards.store import LOCK
from datagen.shards.writer import open_dataset
from render.images import same_image

CLEVR = get_domain("clevr")
QUICK = DatasetSettings(seed=11, width=48, height=36, quality="draft", min_objects=1, max_objects=2, shard_size=4)
PAINTED = DatasetSettings("dot2d", seed=11, width=48, height=36, shard_size=4)


def labels_and_code(samples: Samples) -> dict[str, tuple[str, str]]:
    return {sample.key: (sample.code, json.dumps(sample.record)) for sample in samples}


def test_shards_and_manifest_are_as_stated(renders: Samples) -> None:
    rows = read_jsonl(renders.path / MANIFEST)
    assert [row["samples"] for row in rows] == [6, 6, 4]
    for row in rows:
        path = renders.path / row["name"]
        assert path.stat().st_size == row["bytes"]
        assert file_sha256(path) == row["sha256"]
    statement = json.loads((renders.path / STATEMENT).read_text())
    assert statement["format_version"] == FORMAT_VERSION
    assert {key: statement[key] for key in ("domain", "seed", "num", "width")} == {"domain": "clevr", "seed": 7, "num": 16, "width": 160}
    assert {path.name for path in renders.path.iterdir()} == {LOCK, MANIFEST, STATEMENT} | {row["name"] for row in rows}


def test_members_are_sorted_and_bare(renders: Samples) -> None:
    with tarfile.open(renders.path / "shard-000001.tar") as tar:
        members = tar.getmembers()
    keys = [f"{i:09d}" for i in range(6, 12)]
    assert [m.name for m in members] == [key + suffix for key in keys for suffix in (".png", ".py", ".json")]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}


def test_webdataset_reads_the_shards(each: Samples) -> None:
    urls = [str(path) for path in sorted(each.path.glob("*.tar"))]
    rows = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert [row["__key__"] for row in rows] == each.keys
    for row in rows:
        sample = each[row["__key__"]]
        assert (row["png"] == sample.pixels()).all()
        assert row["json"] == sample.record
        assert row["py"].decode() == sample.code


def test_a_larger_number_rewrites_only_the_last_partial_shard(tmp_path: Path) -> None:
    out = tmp_path / "data"
    first = labels_and_code(generate(PAINTED, 6, out))
    whole = (out / "shard-000000.tar").read_bytes()
    before = (out / "shard-000000.tar").stat().st_mtime_ns
    grown = labels_and_code(generate(PAINTED, 9, out))
    assert (out / "shard-000000.tar").read_bytes() == whole
    assert (out / "shard-000000.tar").stat().st_mtime_ns == before
    assert {key: grown[key] for key in first} == first
    assert len(grown) == 9
    assert [row["samples"] for row in read_jsonl(out / MANIFEST)] == [4, 4, 1]
    assert labels_and_code(generate(PAINTED, 5, out)) == grown  # a smaller number changes nothing


def test_other_settings_are_refused(tmp_path: Path) -> None:
    generate(PAINTED, 1, tmp_path)
    for other in (replace(PAINTED, seed=12), replace(PAINTED, width=64), replace(PAINTED, quality="draft"), replace(PAINTED, shard_size=5)):
        with pytest.raises(UserError, match="was begun with"):
            generate(other, 1, tmp_path)
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "a.tar").touch()
    with pytest.raises(UserError, match="not a data set of ours"):
        generate(PAINTED, 1, stranger)


def test_two_runs_do_not_write_to_one_data_set(tmp_path: Path) -> None:
    with open_dataset(tmp_path, PAINTED, 1), pytest.raises(UserError, match="another run"):
        generate(PAINTED, 1, tmp_path)


def survive_kills(folder: Path, settings: DatasetSettings, num: int, shares: Iterable[float]) -> None:
    """SIGKILL a call whenever there is such a share of the bytes that will be; assert that every shard is whole, and that a last call makes
    the data set of an undisturbed one."""
    undisturbed = generate(settings, num, folder / "undisturbed")
    whole = size_of(folder / "undisturbed")
    out = folder / "killed"
    command = [str(Path(sys.executable).with_name("igllm")), "generate", "--out", str(out), "--num", str(num)]
    for name in ("domain", "seed", "width", "height", "quality", "min_objects", "max_objects", "shard_size"):
        command += [f"--{name.replace('_', '-')}", str(getattr(settings, name))]
    for share in shares:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and size_of(out) < share * whole:
            time.sleep(0.01)
        process.kill()
        process.wait()
        for path in out.glob("*.tar"):
            samples = Samples(path)
            assert len(samples) == min(4, num - 4 * int(path.stem[-6:]))
            assert all(sample.pixels().shape == (36, 48, 3) for sample in samples)
    subprocess.run(command, check=True, capture_output=True)
    assert labels_and_code(Samples(out)) == labels_and_code(undisturbed)
    assert all(same_image(one.pixels(), other.pixels()) for one, other in zip(Samples(out), undisturbed, strict=True))
    assert not (out / ".spool").exists()


def size_of(folder: Path) -> int:
    """The bytes in a folder whose files come and go."""
    found = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found += path.stat().st_size if path.is_file() else 0
    return found


@pytest.mark.parametrize(
    ("settings", "num", "shares"), [(QUICK, 14, (0.4,)), (PAINTED, 300, (0.5,))], ids=lambda of: getattr(of, "domain", None)
)
def test_what_a_killed_run_leaves_is_whole_and_finished_by_the_next(
    settings: DatasetSettings, num: int, shares: Sequence[float], tmp_path: Path
) -> None:
    survive_kills(tmp_path, settings, num, shares)


@pytest.mark.slow
def test_a_run_survives_kills_at_any_moment(tmp_path: Path) -> None:
    survive_kills(tmp_path, QUICK, 400, sorted(np.random.default_rng(0).uniform(0, 1, 20)))


def test_a_manifest_that_missed_a_shard_is_mended(tmp_path: Path) -> None:
    generate(PAINTED, 8, tmp_path)
    manifest = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(manifest.splitlines(keepends=True)[0])
    generate(PAINTED, 8, tmp_path)
    assert (tmp_path / MANIFEST).read_text() == manifest


def test_equal_samples_give_equal_bytes(renders: Samples, tmp_path: Path) -> None:
    again = tmp_path / "again.tar"
    write_shard(again, (renders[key] for key in renders.keys[:6]))
    assert again.read_bytes() == (renders.path / "shard-000000.tar").read_bytes()
    pixels = renders[renders.keys[0]].pixels()
    assert "Software" not in Image.open(io.BytesIO(encode_image(pixels))).info


def test_damage_is_named(renders: Samples, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such data set"):
        Samples(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no samples here"):
        Samples(tmp_path)
    (tmp_path / "shard-000000.tar").write_bytes((renders.path / "shard-000000.tar").read_bytes()[:3000])
    with pytest.raises(UserError, match=r"shard-000000\.tar"):
        list(Samples(tmp_path))
