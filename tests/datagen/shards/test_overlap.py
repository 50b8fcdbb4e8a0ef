"""The digest of a data set's content, and the check that validation and training share no scene."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from constant_scenes import SETTINGS, constant_sample, fill
from fsspec.implementations.memory import MemoryFileSystem

from datagen.errors import UserError
from datagen.shards.manifest import MANIFEST, STATEMENT
from datagen.shards.overlap import data_digest, refuse_overlap
from datagen.shards.reader import Samples, write_shard
from datagen.shards.store import LocalStore, open_store

OTHER = replace(SETTINGS, seed=6)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``train`` and ``other`` of different seeds, and ``same``, two samples of the seed of ``train``."""
    folder = tmp_path_factory.mktemp("sets")
    fill(folder / "train", 10)
    fill(folder / "other", 6, OTHER)
    fill(folder / "same", 2)
    return folder


def without(folder: Path, name: str, target: Path) -> Samples:
    """A copy of a data set without one file."""
    shutil.copytree(folder, target)
    (target / name).unlink()
    return Samples.for_training(target)


def save_loose(folder: Path, numbers: range) -> Path:
    folder.mkdir()
    for number in numbers:
        sample = constant_sample(SETTINGS, number)
        for suffix, data in sample.files().items():
            (folder / (sample.key + suffix)).write_bytes(data)
    return folder


def test_statements_show_other_seeds_apart_without_reading_codes(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = Samples.for_training(sets / "train"), Samples.for_training(sets / "other")
    monkeypatch.setattr(Samples, "members", None)
    refuse_overlap(train, val)


@pytest.mark.parametrize("lost", [MANIFEST, STATEMENT])
def test_without_proof_the_codes_are_read(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    train, val = without(sets / "train", lost, tmp_path / "train"), Samples.for_training(sets / "other")
    refuse_overlap(train, val)
    monkeypatch.setattr(Samples, "members", None)
    with pytest.raises(TypeError):
        refuse_overlap(train, val)


def test_a_shard_that_the_manifest_does_not_know_proves_nothing(sets: Path, tmp_path: Path) -> None:
    shutil.copytree(sets / "other", tmp_path / "val")
    write_shard(tmp_path / "val" / "shard-000009.tar", [constant_sample(SETTINGS, 3)])
    with pytest.raises(UserError, match="1 scene is in the training data"):
        refuse_overlap(Samples.for_training(sets / "train"), Samples.for_training(tmp_path / "val"))


def restate(folder: Path, name: str, **facts: object) -> Samples:
    """Change fields in a data set's ``dataset.json``, or in each line of its manifest."""
    path = folder / name
    rows = [path.read_text()] if name == STATEMENT else path.read_text().splitlines()
    path.write_text("".join(json.dumps(json.loads(row) | facts) + "\n" for row in rows))
    return Samples.for_training(folder)


@pytest.mark.parametrize("lie", ["of its seed", "of its tars"])
def test_a_statement_that_its_tars_belie_proves_nothing(sets: Path, tmp_path: Path, lie: str) -> None:
    shutil.copytree(sets / "same", tmp_path / "val")
    if lie == "of its seed":
        val = restate(tmp_path / "val", STATEMENT, seed=99)
    else:  # those of another set, except for the tar's size
        for name in (STATEMENT, MANIFEST):
            shutil.copyfile(sets / "other" / name, tmp_path / "val" / name)
        (tar,) = (tmp_path / "val").glob("*.tar")
        (row, *_) = (json.loads(line) for line in (sets / "other" / MANIFEST).read_text().splitlines())
        (tmp_path / "val" / MANIFEST).write_text(json.dumps(row | {"bytes": tar.stat().st_size, "samples": 2, "missing": []}) + "\n")
        val = Samples.for_training(tmp_path / "val")
    with pytest.raises(UserError, match="2 scenes are in the training data"):
        refuse_overlap(Samples.for_training(sets / "train"), val)


def test_shared_scenes_are_refused_wherever_they_lie(sets: Path, tmp_path: Path) -> None:
    train, other = Samples.for_training(sets / "train"), Samples.for_training(sets / "other")
    with pytest.raises(UserError, match=r"same: 2 scenes are in the training data .*train too, 000000000 the first; .*another seed"):
        refuse_overlap(train, Samples.for_training(sets / "same"))
    loose = Samples.for_training(save_loose(tmp_path / "loose", range(8, 12)))
    with pytest.raises(UserError, match=r"2 scenes are in the training data .*, 000000008 the first"):
        refuse_overlap(train, loose)
    refuse_overlap(other, loose)


def test_a_digest_names_the_content_not_the_place(sets: Path, tmp_path: Path) -> None:
    shutil.copytree(sets / "train", tmp_path / "copy")
    whole = data_digest(Samples.for_training(sets / "train"))
    assert data_digest(Samples.for_training(tmp_path / "copy")) == whole
    assert data_digest(Samples.for_training(sets / "same")) != whole
    fill(tmp_path / "copy", 11)
    assert data_digest(Samples.for_training(tmp_path / "copy")) != whole
    part = data_digest(Samples.for_training(f"{sets / 'train'}/shard-{{000000..000001}}.tar"))
    assert part != whole


def exchange(one: Path, other: Path) -> None:
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def test_what_a_manifest_states_does_not_name_the_content(sets: Path, tmp_path: Path) -> None:
    """A changed image under the same manifest, and exchanged tars, give other digests; a false SHA-256 in the manifest does not."""
    whole = data_digest(Samples.for_training(sets / "train"))
    for name in ("painted", "lying", "exchanged"):
        shutil.copytree(sets / "train", tmp_path / name)
    painted = tmp_path / "painted" / "shard-000001.tar"
    times = painted.stat()
    content = bytearray(painted.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    painted.write_bytes(content)
    os.utime(painted, ns=(times.st_atime_ns, times.st_mtime_ns))  # as `cp -p` and `rsync -t` do
    exchange(tmp_path / "exchanged" / "shard-000000.tar", tmp_path / "exchanged" / "shard-000001.tar")
    digests = {data_digest(Samples.for_training(tmp_path / name)) for name in ("painted", "exchanged")}
    assert len(digests | {whole}) == 3
    assert data_digest(restate(tmp_path / "lying", MANIFEST, sha256="0" * 64)) == whole


def test_what_was_read_is_read_once(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = data_digest(Samples.for_training(sets / "train"))
    monkeypatch.setattr(LocalStore, "sha256", None)
    assert data_digest(Samples.for_training(sets / "train")) == whole


@pytest.mark.parametrize("dated", [True, False])
def test_behind_a_url_the_stores_versions_stand_in_for_the_content(
    sets: Path, tmp_path: Path, dated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest stays the same. If the store gives no versions, the content is read."""
    plain = MemoryFileSystem.ls

    def ls(self: MemoryFileSystem, path: str, detail: bool = True, **keywords: Any) -> list[Any]:
        entries = plain(self, path, detail=True, **keywords)
        return [{name: value for name, value in entry.items() if name != "created"} for entry in entries]

    if not dated:
        monkeypatch.setattr(MemoryFileSystem, "ls", ls)
    store = open_store(f"memory://{tmp_path.name}/set")
    store.make()
    for path in (sets / "train").iterdir():
        if path.is_file():
            store.write(path.name, path.read_bytes())
    before = data_digest(Samples.for_training(store.place))
    assert data_digest(Samples.for_training(store.place)) == before
    content = bytearray((sets / "train" / "shard-000001.tar").read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    store.write("shard-000001.tar", bytes(content))
    assert data_digest(Samples.for_training(store.place)) != before


def test_without_a_manifest_the_content_is_read(sets: Path, tmp_path: Path) -> None:
    digests = {data_digest(without(sets / name, MANIFEST, tmp_path / name)) for name in ("train", "other", "same")}
    again = data_digest(Samples.for_training(tmp_path / "train"))
    assert len(digests) == 3
    assert again in digests
    loose = data_digest(Samples.for_training(save_loose(tmp_path / "loose", range(10))))
    assert loose == again  # the same samples in another layout
    (tmp_path / "loose" / "000000003.py").write_text("")
    assert data_digest(Samples.for_training(tmp_path / "loose")) != loose


@pytest.mark.parametrize("tarred", [False, True])
def test_without_a_manifest_an_image_counts_too(sets: Path, tarred: bool, tmp_path: Path) -> None:
    """The image is changed in place: key, code and file size stay."""
    if tarred:
        archive = without(sets / "train", MANIFEST, tmp_path / "set")
        target = tmp_path / "set" / "shard-000001.tar"
    else:
        archive = Samples.for_training(save_loose(tmp_path / "set", range(10)))
        target = tmp_path / "set" / "000000003.png"
    before = data_digest(archive)
    assert data_digest(Samples.for_training(tmp_path / "set")) == before
    content = bytearray(target.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    target.write_bytes(content)
    assert data_digest(Samples.for_training(tmp_path / "set")) != before


def test_what_is_remembered_of_a_digest_may_be_damaged_or_not_be_kept(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = without(sets / "train", MANIFEST, tmp_path / "set")
    digest = data_digest(archive)
    (kept,) = (tmp_path / "cache" / "igllm" / "digests").iterdir()
    whole = kept.read_bytes()
    changed = bytes([b"fe"[whole[0] == ord("f")]]) + whole[1:]  # another hexadecimal digit
    for damaged in (b"nonsense", changed, b""):
        kept.write_bytes(damaged)
        assert data_digest(archive) == digest
        assert kept.read_bytes() == whole
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert data_digest(archive) == digest


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_what_is_no_file_in_the_cache_of_digests_is_made_anew(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = without(sets / "train", MANIFEST, tmp_path / "set")
    digest = data_digest(archive)
    (kept,) = (tmp_path / "cache" / "igllm" / "digests").iterdir()
    kept.unlink()
    if kind == "pipe":
        os.mkfifo(kept)
    elif kind == "folder":
        kept.mkdir()
    else:
        kept.symlink_to(kept)
    assert data_digest(archive) == digest
    assert kept.is_file()
