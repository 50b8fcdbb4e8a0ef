"""The index of a data set: samples are found by key and by number, and a cached index is used only if it is undamaged and current."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from constant_scenes import IN_SIX_SHARDS, SETTINGS, constant_sample

from datagen.errors import UserError
from datagen.shards.index import open_index
from datagen.shards.reader import Samples, write_shard

pytestmark = pytest.mark.usefixtures("empty_cache")


def index_files(cache: Path) -> list[Path]:
    return sorted((cache / "index").glob("*.rows"))


def test_samples_are_found_by_key_and_by_number(six_shards: Path) -> None:
    samples = Samples(six_shards)
    assert samples.keys == [f"{i:09d}" for i in range(IN_SIX_SHARDS)]
    for number in (0, 3, 4, 21):
        truth = constant_sample(SETTINGS, number)
        assert samples.at(number).files() == truth.files() == samples[truth.key].files()
        assert samples.code(truth.key) == truth.code
    assert "000000021" in samples
    for absent in ("000000022", "00000002", "0000000210", "", "é" * 600):
        assert absent not in samples
        with pytest.raises(UserError, match="there is no sample"):
            samples[absent]
    members = list(samples.members(".py"))
    assert {key: data for key, suffix, _, data in members if suffix == ".py"} == {key: samples.code(key).encode() for key in samples.keys}
    assert {data for _, suffix, _, data in members if suffix != ".py"} == {b""}


def test_the_index_is_read_once_and_cached(six_shards: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Samples(six_shards).keys
    [table] = index_files(empty_cache)
    assert table.stat().st_size < 200 + 64 * IN_SIX_SHARDS
    monkeypatch.setattr("datagen.shards.index.tar_rows", None)  # reading a tar would fail
    again = Samples(six_shards)
    assert again.keys == keys
    assert isinstance(open_index(again.store, again.shards).rows, np.memmap)
    assert len(pickle.dumps(again)) < 5000
    assert pickle.loads(pickle.dumps(again)).keys == keys


def test_a_damaged_cache_is_made_anew(six_shards: Path, empty_cache: Path) -> None:
    files = [sample.files() for sample in Samples(six_shards)]
    [table] = index_files(empty_cache)
    whole, name = table.read_bytes(), table.name
    flipped = [whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :] for at in (0, 10, 14, 20, 28, 30, len(whole) - 1)]
    for damaged in (whole[:-30], whole[:-33], whole[:20], b"", pickle.dumps({"a": 1}), *flipped):
        table.write_bytes(damaged)
        assert [sample.files() for sample in Samples(six_shards)] == files
        assert table.read_bytes() == whole
    digest, width, checksum = table.stem.split("-")
    for other in (f"{digest}-{int(width) + 1}-{checksum}", f"{digest}-0-{checksum}", f"{digest}-9999-{checksum}", f"{digest}-x-y", digest):
        table.rename(table.with_name(f"{other}.rows"))
        assert [sample.files() for sample in Samples(six_shards)] == files
        assert table.read_bytes() == whole
    assert table.name == name


def test_a_stale_cache_is_not_used(tmp_path: Path, empty_cache: Path) -> None:
    shard = tmp_path / "set" / "shard-000000.tar"
    write_shard(shard, (constant_sample(SETTINGS, i) for i in (0, 1)))
    assert Samples(shard.parent).keys == ["000000000", "000000001"]
    size = shard.stat().st_size
    write_shard(shard, (constant_sample(SETTINGS, i) for i in (0, 2)))
    assert shard.stat().st_size == size
    assert Samples(shard.parent).keys == ["000000000", "000000002"]
    write_shard(shard.parent / "shard-000001.tar", [constant_sample(SETTINGS, 4)])
    assert len(Samples(shard.parent)) == 3
    for table in index_files(empty_cache):
        os.utime(table, (0, 0))
    write_shard(shard.parent / "shard-000001.tar", [constant_sample(SETTINGS, i) for i in (4, 5)])
    assert len(Samples(shard.parent)) == 4
    assert len(index_files(empty_cache)) == 1  # those unused for long are deleted


@pytest.mark.parametrize("put", ["written over", "moved into place"])
def test_a_tar_of_the_same_size_and_time_is_another_one(tmp_path: Path, put: str) -> None:
    """`cp -p` and `rsync -t` write such files."""
    shard, other = tmp_path / "set" / "a.tar", tmp_path / "other.tar"
    write_shard(shard, (constant_sample(SETTINGS, i) for i in (0, 1)))
    write_shard(other, (constant_sample(SETTINGS, i) for i in (2, 3)))
    assert Samples(shard.parent).keys == ["000000000", "000000001"]
    before = shard.stat()
    if put == "written over":
        shard.write_bytes(other.read_bytes())
    else:
        other.replace(shard)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (shard.stat().st_size, shard.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert Samples(shard.parent).keys == ["000000002", "000000003"]


def test_without_a_cache_folder_the_index_is_made_in_memory(six_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(Samples(six_shards)) == IN_SIX_SHARDS
