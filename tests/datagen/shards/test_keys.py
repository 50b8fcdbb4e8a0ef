"""The samples of a tar or folder and their keys, with operating systems' files, unusual names and repeated keys."""

from __future__ import annotations

import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from constant_scenes import SETTINGS, constant_sample, fill
from hypothesis import given
from hypothesis import strategies as st
from tar_files import write_tar

from datagen.code.predictions import is_key
from datagen.errors import UserError
from datagen.shards.reader import Samples, write_shard
from datagen.shards.tars import plain_key
from datagen.shards.verify import verify

pytestmark = pytest.mark.usefixtures("empty_cache")


def test_what_systems_leave_beside_shards_is_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    for name in ("._shard-000000.tar", "._shard-000009.tar", ".DS_Store", "Thumbs.db", "desktop.ini", "._dataset.json"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7Mac OS X        ")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._shard-000000.tar").write_bytes(b"Mac OS X")
    assert Samples(tmp_path).keys == [f"{i:09d}" for i in range(6)]
    assert (verify(tmp_path).problems, verify(tmp_path).notes) == ([], [])
    assert fill(tmp_path, 8) == [6, 7]
    assert (tmp_path / "._shard-000000.tar").exists()


def test_what_systems_leave_among_loose_samples_and_in_tars_is_passed_over(tmp_path: Path) -> None:
    files = [(name + suffix, data) for name in ("a", "b") for suffix, data in constant_sample(SETTINGS, 0).files().items()]
    left = [("Thumbs.db", b"1"), *((f"._{name}", b"Mac OS X") for name, _ in files)]
    (tmp_path / "loose").mkdir()
    for name, data in files + left:
        (tmp_path / "loose" / name).write_bytes(data)
    mixed = [member for pair in zip(left, [*files, ("__MACOSX/._a.png", b"1")], strict=True) for member in pair]
    write_tar(tmp_path / "tars" / "a.tar", mixed)
    for where in (tmp_path / "loose", tmp_path / "tars", tmp_path / "tars" / "a.tar"):
        assert [sample.key for sample in Samples(where)] == ["a", "b"]


STEMS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/.\0") | st.sampled_from("\udc80\udcff%%%09AF ab"), min_size=1)


@given(st.lists(STEMS, unique=True, max_size=5))
def test_different_names_are_different_keys(stems: list[str]) -> None:
    """Each can also be the key of a prediction, and be encoded as UTF-8."""
    keys = [plain_key(stem) for stem in stems]
    assert len(set(keys)) == len(stems)
    assert all(is_key(key) for key in keys)
    assert all(key == stem for key, stem in zip(keys, stems, strict=True) if is_key(stem) and "%" not in stem)
    "".join(keys).encode()


def test_names_in_other_encodings_stay_apart(tmp_path: Path) -> None:
    """In a tar and in a folder, names may differ only in bytes that are no UTF-8, or in an accent's composition."""
    names = [b"caf\xe9", b"caf\xe8", "café".encode(), "cafe\N{COMBINING ACUTE ACCENT}".encode(), b"a b", b"a_b", b"A_b"]
    keys = ["caf%E9", "caf%E8", "café", "cafe\N{COMBINING ACUTE ACCENT}", "a b", "a_b", "A_b"]
    (tmp_path / "loose").mkdir()
    members = []
    for number, name in enumerate(map(os.fsdecode, names)):
        for suffix, data in constant_sample(SETTINGS, number).files().items():
            (tmp_path / "loose" / (name + suffix)).write_bytes(data)
            members.append((name + suffix, data))
    for where in (tmp_path / "loose", write_tar(tmp_path / "a.tar", members)):
        samples = Samples(where)
        assert sorted(samples.keys) == sorted(keys)
        assert [samples[key].record["index"] for key in keys] == list(range(len(keys)))


def test_long_names_are_kept_in_shards(tmp_path: Path) -> None:
    """A plain header holds 100 bytes: 32 characters of three bytes, and the suffix."""
    keys = ["a" * 96, "a" * 97, "桌" * 32, "桌" * 33, "桌" * 300]
    samples = [replace(constant_sample(SETTINGS, number), key=key) for number, key in enumerate(keys)]
    assert write_shard(tmp_path / "a.tar", samples) == len(keys)
    assert Samples(tmp_path).keys == keys
    assert [sample.files() for sample in Samples(tmp_path)] == [sample.files() for sample in samples]
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == [key + suffix for key, sample in zip(keys, samples, strict=True) for suffix in sample.files()]


def test_repeated_keys_are_refused(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_shard(tmp_path / "two" / name, [constant_sample(SETTINGS, 0)])
    with pytest.raises(UserError, match="sample 000000000 is in the data set twice"):
        len(Samples(tmp_path / "two"))
    write_tar(tmp_path / "apart" / "a.tar", [("a.png", b"1"), ("b.png", b"2"), ("a.py", b"3")])
    with pytest.raises(UserError, match="sample a is in the data set twice"):
        len(Samples(tmp_path / "apart"))
    write_tar(tmp_path / "again" / "a.tar", [("a.png", b"1"), ("a.png", b"2")])
    with pytest.raises(UserError, match="sample a is in the data set twice"):
        len(Samples(tmp_path / "again"))
