"""Samples in tars by number: the index and its cache, strangers' tars, patterns, and shards behind URLs."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from constant_scenes import SETTINGS, constant_sample, fill
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from datagen.code.predictions import is_key
from datagen.errors import UserError
from datagen.io.cache import cache_folder
from datagen.shards import fetch
from datagen.shards.index import open_index
from datagen.shards.layouts import MAX_SAMPLE_BYTES, FetchedTars
from datagen.shards.reader import Samples, write_shard
from datagen.shards.store import open_store
from datagen.shards.tars import files_of_blocks, plain_key, sample_extents, tar_members
from datagen.shards.verify import verify

NUM = 22


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "igllm"


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("near")
    fill(folder, NUM)
    return folder


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], form: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            tar.addfile(entry, io.BytesIO(data))
    return path


def index_files(cache: Path) -> list[Path]:
    return sorted((cache / "index").glob("*.rows"))


def test_samples_are_found_by_key_and_by_number(near: Path) -> None:
    samples = Samples(near)
    assert samples.keys == [f"{i:09d}" for i in range(NUM)]
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


def test_the_index_is_read_once_and_cached(near: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Samples(near).keys
    [table] = index_files(cache)
    assert table.stat().st_size < 200 + 64 * NUM
    monkeypatch.setattr("datagen.shards.index.tar_rows", None)  # reading a tar would fail
    again = Samples(near)
    assert again.keys == keys
    assert isinstance(open_index(again.store, again.shards).rows, np.memmap)
    assert len(pickle.dumps(again)) < 5000
    assert pickle.loads(pickle.dumps(again)).keys == keys


def test_a_damaged_cache_is_made_anew(near: Path, cache: Path) -> None:
    """Cut short, of another kind, with one bad byte, or under another name."""
    files = [sample.files() for sample in Samples(near)]
    [table] = index_files(cache)
    whole, name = table.read_bytes(), table.name
    flipped = [whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :] for at in (0, 10, 14, 20, 28, 30, len(whole) - 1)]
    for damaged in (whole[:-30], whole[:-33], whole[:20], b"", pickle.dumps({"a": 1}), *flipped):
        table.write_bytes(damaged)
        assert [sample.files() for sample in Samples(near)] == files
        assert table.read_bytes() == whole
    digest, width, checksum = table.stem.split("-")
    for other in (f"{digest}-{int(width) + 1}-{checksum}", f"{digest}-0-{checksum}", f"{digest}-9999-{checksum}", f"{digest}-x-y", digest):
        table.rename(table.with_name(f"{other}.rows"))
        assert [sample.files() for sample in Samples(near)] == files
        assert table.read_bytes() == whole
    assert table.name == name


def other_than_a_file(path: Path, kind: str) -> None:
    """Put something else into the place of a file."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        (path / "in it").mkdir(parents=True)
    else:
        path.symlink_to({"loop": path.name, "device": "/dev/zero", "nowhere": "/nowhere/at/all"}[kind])


KINDS = ["pipe", "folder", "loop", "device", "nowhere"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_in_a_cache_is_as_if_it_was_not_there(near: Path, far: str, cache: Path, kind: str) -> None:
    """A pipe would be waited for, and a device has no end."""
    truth = Samples(near).at(5).files()
    Samples.for_training(far).files(5)
    for kept in (*index_files(cache), *(cache / "shards").glob("*.rows"), *(cache / "shards").glob("*.tar")):
        other_than_a_file(kept, kind)
        assert Samples(near).at(5).files() == Samples.for_training(far).files(5) == truth
        assert kept.is_file()
        assert not kept.is_symlink()
    for unused in (cache / "index" / "a-1-00000000.rows", cache / "shards" / "b.tar", cache / "shards" / ".c.tmp"):
        other_than_a_file(unused, kind)
    assert Samples.for_training(far).files(9) == Samples(near).at(9).files()


def test_a_stale_cache_is_not_used(tmp_path: Path, cache: Path) -> None:
    shard = tmp_path / "set" / "shard-000000.tar"
    write_shard(shard, (constant_sample(SETTINGS, i) for i in (0, 1)))
    assert Samples(shard.parent).keys == ["000000000", "000000001"]
    size = shard.stat().st_size
    write_shard(shard, (constant_sample(SETTINGS, i) for i in (0, 2)))
    assert shard.stat().st_size == size
    assert Samples(shard.parent).keys == ["000000000", "000000002"]
    write_shard(shard.parent / "shard-000001.tar", [constant_sample(SETTINGS, 4)])
    assert len(Samples(shard.parent)) == 3
    for table in index_files(cache):
        os.utime(table, (0, 0))
    write_shard(shard.parent / "shard-000001.tar", [constant_sample(SETTINGS, i) for i in (4, 5)])
    assert len(Samples(shard.parent)) == 4
    assert len(index_files(cache)) == 1  # those that nobody has used for long are gone


@pytest.mark.parametrize("put", ["written over", "moved into place"])
def test_a_tar_of_the_same_size_and_time_is_another_one(tmp_path: Path, put: str) -> None:
    """As cp -p and rsync -t leave it."""
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


def test_without_a_cache_folder_the_index_is_made_in_memory(near: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(Samples(near)) == NUM


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


def test_a_folder_that_is_called_like_a_tar_is_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar" / "a.tar", [constant_sample(SETTINGS, 0)])
    assert Samples(tmp_path / "x.tar").keys == Samples(f"{tmp_path}/x.tar/").keys == ["000000000"]


STEMS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/.\0") | st.sampled_from("\udc80\udcff%%%09AF ab"), min_size=1)


@given(st.lists(STEMS, unique=True, max_size=5))
def test_different_names_are_different_keys(stems: list[str]) -> None:
    """And each can be the key of a prediction, and be encoded."""
    keys = [plain_key(stem) for stem in stems]
    assert len(set(keys)) == len(stems)
    assert all(is_key(key) for key in keys)
    assert all(key == stem for key, stem in zip(keys, stems, strict=True) if is_key(stem) and "%" not in stem)
    "".join(keys).encode()


def test_names_in_other_encodings_stay_apart(tmp_path: Path) -> None:
    """In a tar and in a folder: two names that only differ in bytes that are no UTF-8, or in how an accent is made."""
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
    """A plain header holds 100 bytes, which are 32 characters of some scripts."""
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


def test_a_sample_of_half_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    size = MAX_SAMPLE_BYTES + 1
    for name in ("a.json", "a.py"):
        write_tar(tmp_path / "huge" / f"{name}.tar", [(name, b"")])
    (tmp_path / "loose").mkdir()
    header = tarfile.TarInfo("a.json")
    header.size = size
    with (tmp_path / "huge" / "a.json.tar").open("wb") as tar:
        tar.write(header.tobuf(tarfile.USTAR_FORMAT))
        tar.truncate(tarfile.BLOCKSIZE + size + -size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)  # a hole: no room on the disk
    for name in ("a.json", "a.py"):
        with (tmp_path / "loose" / name).open("wb") as file:
            file.truncate(size)
    for folder in ("huge/a.json.tar", "loose"):
        with pytest.raises(UserError, match=r"a sample of 536,\d\d\d,\d\d\d bytes; at most 536,870,912 are read"):
            Samples(tmp_path / folder).at(0)
        with pytest.raises(UserError, match="are read"):
            list(Samples(tmp_path / folder).members(".json"))


def test_code_that_is_no_text_is_one_message(tmp_path: Path) -> None:
    files = constant_sample(SETTINGS, 0).files() | {".py": b"add(\xff)"}
    write_tar(tmp_path / "a.tar", [(f"a{suffix}", data) for suffix, data in files.items()])
    for reading in (lambda: Samples(tmp_path).at(0), lambda: Samples(tmp_path).code("a")):
        with pytest.raises(UserError, match="sample a is damaged: its code is not UTF-8"):
            reading()


def test_what_vanishes_or_shrinks_while_it_is_read_is_told(tmp_path: Path) -> None:
    shard = tmp_path / "shard-000000.tar"
    write_shard(shard, (constant_sample(SETTINGS, i) for i in (0, 1)))
    samples = Samples(tmp_path)
    assert samples.at(1).key == "000000001"
    shard.write_bytes(shard.read_bytes()[:4000])
    with pytest.raises(UserError, match=r"shard-000000\.tar: changed or damaged since it was first read \(it ends early\)"):
        samples.at(1)
    shard.unlink()
    with pytest.raises(UserError, match=r"shard-000000\.tar: cannot be read"):
        samples.at(1)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_others_are_read(tmp_path: Path, form: int) -> None:
    long = "x" * 90 + "é" if form != tarfile.USTAR_FORMAT else "x"
    members = [
        ("./set/", b""),
        ("./set/README", b"no suffix"),
        ("./set/._0001.jpg", b"another system's litter"),
        ("./set/0001.jpg", b"A" * 700),
        ("./set/0001.cls.txt", b"one"),
        (f"./set/{long}.jpg", b""),
        (f"./set/{long}.json", b"{}"),
        ("./other/0002.jpg", b"C"),
    ]
    archive = Samples.for_training(write_tar(tmp_path / "a.tar", members, form))
    assert [archive.key(i) for i in range(len(archive))] == ["0001", long, "0002"]
    assert archive.files(0) == {".jpg": b"A" * 700, ".cls.txt": b"one"}
    assert archive.files(1) == {".jpg": b"", ".json": b"{}"}
    assert archive.files(2) == {".jpg": b"C"}
    assert archive.find(long) == 1


@given(st.lists(st.tuples(st.text(min_size=1, max_size=120), st.integers(0, 2000)), max_size=6), st.sampled_from([1, 2]))
def test_members_are_those_that_tarfile_finds(members: list[tuple[str, int]], form: int) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for i, (name, size) in enumerate(members):
            entry = tarfile.TarInfo(name)
            folder = name[-1] == "/"  # which has no content
            entry.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
            entry.size, entry.mtime = 0 if folder else size, i / 3  # whose fraction needs a PAX header
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        expected = [(entry.name, entry.offset, entry.offset_data, entry.size) for entry in tar if entry.isfile()]
    stream.seek(0)
    assert list(tar_members(stream)) == expected


def test_a_damaged_header_in_the_middle_loses_no_samples_in_silence(near: Path, tmp_path: Path) -> None:
    data = bytearray((near / "shard-000000.tar").read_bytes())
    _, start, _ = list(sample_extents(io.BytesIO(data)))[2]
    for at in (start + 3, start + 130, start + 150, start + 156, start + 258):
        (tmp_path / "shard-000000.tar").write_bytes(data[:at] + b"?" + data[at + 1 :])
        with pytest.raises(UserError, match=r"shard-000000\.tar: not a readable tar"):
            len(Samples(tmp_path))


def test_damaged_tars_and_endless_names_are_one_message(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", [("a.jpg", b"A" * 3000)])
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"a\.tar: not a readable tar"):
        len(Samples.for_training(tar))
    write_tar(tmp_path / "b.tar", [("b" * 2000 + ".jpg", b"A")])
    with pytest.raises(UserError, match=r"b\.tar: a sample's name has 2000 bytes"):
        len(Samples.for_training(tmp_path / "b.tar"))
    with pytest.raises(UserError, match="no samples"):
        len(Samples.for_training(write_tar(tmp_path / "c.tar", [])))


def crafted(size: bytes, kind: bytes = tarfile.REGTYPE, name: bytes = b"a.jpg") -> bytes:
    """A header in GNU's format whose size field holds these 12 bytes, with a checksum that agrees."""
    entry = bytearray(tarfile.TarInfo(name.decode()).tobuf(tarfile.GNU_FORMAT))
    entry[124:136], entry[156:157], entry[148:156] = size, kind, b" " * 8
    entry[148:156] = b"%06o\0 " % sum(entry)
    return bytes(entry)


BASE_256_NEGATIVE, BASE_256_HUGE = b"\xff" * 10 + b"\xfc\x00", b"\x80" + b"\x7f" * 11
SPARSE = crafted(b"00000000012\0", tarfile.GNUTYPE_SPARSE)
HEADERS = {
    "negative": crafted(BASE_256_NEGATIVE),
    "negative, of a kind that is passed over": crafted(b"00000000000\0") + crafted(BASE_256_NEGATIVE, b"Q", b"b.jpg"),
    "huge": crafted(BASE_256_HUGE),
    "more than there is": crafted(b"77777777777\0"),
    "sparse": SPARSE[:386] + b"0" * 11 + b"\0" + b"7" * 11 + b"\0" + SPARSE[410:],
    **{
        f"{what} of petabytes": crafted(b"\x80\0\0\0\0\x08" + b"\0" * 6, kind) + b"x" * 512
        for what, kind in (("a name", tarfile.GNUTYPE_LONGNAME), ("a link", tarfile.GNUTYPE_LONGLINK), ("fields", tarfile.XHDTYPE))
    },
    "names of names": b"".join(crafted(b"00000000001\0", tarfile.GNUTYPE_LONGNAME) + b"x" + b"\0" * 511 for _ in range(3000)),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_what_a_header_states_is_held_against_the_file(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "shard-000000.tar").write_bytes(header + b"\0" * 2048)
    with pytest.raises(UserError, match=r"shard-000000\.tar: not a readable tar"):
        len(Samples(tmp_path))
    with pytest.raises(UserError, match=r"shard-000000\.tar: not a readable tar"):
        list(Samples(tmp_path).members())


def pax(*fields: tuple[bytes, bytes], kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A header of fields in PAX's format."""
    lines = b""
    for name, value in fields:
        line = b" %b=%b\n" % (name, value)
        length = next(n for n in range(len(line), len(line) + 9) if n == len(line) + len(str(n)))
        lines += b"%d%b" % (length, line)
    return raw_pax(lines, kind)


def raw_pax(lines: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return crafted(b"%011o\0" % len(lines), kind) + lines + b"\0" * (-len(lines) % 512)


def member(name: bytes, data: bytes) -> bytes:
    return crafted(b"%011o\0" % len(data), name=name) + data + b"\0" * (-len(data) % 512)


HEADERS_OF_NEXT = {
    "digits that take the square of their number": (raw_pax(b"1" * 200_000), "a header of 200,000 bytes"),
    "fewer digits, in many headers": (raw_pax(b"1" * 60_000) * 20, "more than 100 digits in a row"),
    "digits in a value": (pax((b"comment", b"7" * 60_000)), "more than 100 digits in a row"),
    "digits for all files": (raw_pax(b"1" * 60_000, tarfile.XGLTYPE), "more than 100 digits in a row"),
    "many fields": (pax(*((b"k%d" % i, b"v") for i in range(101))), "more than 100 fields"),
    "many fields for all files, bit by bit": (
        b"".join(pax(*((b"k%d-%d" % (n, i), b"v") for i in range(60)), kind=tarfile.XGLTYPE) for n in range(2)),
        "more than 100 fields",
    ),
    "one name for all files": (pax((b"path", b"a" * 60_000), kind=tarfile.XGLTYPE), "all files one name"),
    "a map of holes without an end": (
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")) + member(b"a.jpg", b"9" * 200_000),
        "a sparse file",
    ),
    "a length beyond the header": (raw_pax(b"99 path=b.jpg\n"), "not as long as they state"),
    "a length that ends within a line": (raw_pax(b"12 path=b.jpg\n"), "not as long as they state"),
    "a line without an end": (raw_pax(b"13 path=b.jpg"), "not as long as they state"),
    "a long name": (crafted(b"%011o\0" % 70_000, tarfile.GNUTYPE_LONGNAME) + b"b" * 70_144, "a header of 70,000 bytes"),
}


@pytest.mark.parametrize(("header", "problem"), HEADERS_OF_NEXT.values(), ids=HEADERS_OF_NEXT)
def test_a_header_that_tells_of_the_next_is_held_against_limits(tmp_path: Path, header: bytes, problem: str) -> None:
    """Before `tarfile` reads it, which of each of these would take minutes or gigabytes, or pass over files in silence."""
    files = member(b"a.jpg", b"A") + member(b"a.txt", b"a")
    (tmp_path / "a.tar").write_bytes(files + header + files.replace(b"a.", b"b.") + b"\0" * 1024)
    with pytest.raises(UserError, match=rf"a\.tar: not a readable tar \(.*{problem}.*get it again"):
        len(Samples(tmp_path))


def test_fields_that_others_write_are_read(tmp_path: Path) -> None:
    """As git archive, bsdtar and GNU tar do: a comment for all, times, attributes, a name that a plain header cannot hold."""
    data = pax((b"comment", b"0" * 40), kind=tarfile.XGLTYPE)
    data += pax(
        (b"mtime", b"1700000000.123456789"), (b"SCHILY.xattr.user.x", b"a\n=b\xff"), (b"path", "x/\N{OGHAM SPACE MARK}1.jpg".encode())
    )
    data += member(b"x/1.jpg", b"A")
    (tmp_path / "a.tar").write_bytes(data + b"\0" * 10240)
    assert Samples.for_training(tmp_path).files(0) == {".jpg": b"A"}


@pytest.mark.parametrize("between", [b"", b"\0" * 512, b"\0" * 1024, b"\0" * 10240], ids=len)
@pytest.mark.parametrize("first", [b"", pax((b"mtime", b"1.5"))], ids=["plain", "pax"])
def test_nothing_behind_the_end_of_a_tar_is_passed_over_in_silence(tmp_path: Path, first: bytes, between: bytes) -> None:
    """Tars that were joined as files, and blocks of zeros between files."""
    parts = [first + member(name + b".jpg", b"A") for name in (b"a", b"b")]
    (tmp_path / "a.tar").write_bytes(between.join(parts) + b"\0" * 9216)
    if not between:
        assert len(Samples(tmp_path)) == 2
        return
    with pytest.raises(UserError, match=r"a\.tar: not a readable tar \(more lies behind its end, as where tars were joined"):
        len(Samples(tmp_path))


def test_zeros_behind_the_end_have_one_too(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(member(b"a.jpg", b"A"))
    os.truncate(tmp_path / "a.tar", 2**40)
    with pytest.raises(UserError, match="more than 4,194,304 zeros lie behind its end"):
        len(Samples(tmp_path))


@given(st.data())
def test_no_bytes_are_a_crash(data: st.DataObject) -> None:
    """Headers overwritten here and there: the samples that are found lie within the tar, or it is called damaged."""
    form = data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name in ("a.jpg", "a.txt", "é" * 60 + ".jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = 10
            tar.addfile(entry, io.BytesIO(b"0123456789"))
    harmed = bytearray(stream.getvalue())
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4)):
        harmed[at] = value
        header = at // 512 * 512
        if header + 512 <= len(harmed) and data.draw(st.booleans()):  # a checksum that agrees
            harmed[header + 148 : header + 156] = b" " * 8
            harmed[header + 148 : header + 156] = b"%06o\0 " % sum(harmed[header : header + 512])
    try:
        for _, start, length in sample_extents(io.BytesIO(harmed)):
            assert 0 <= start < start + length
            files_of_blocks(bytes(harmed[start : start + length]))
    except tarfile.TarError:
        pass


def test_patterns_name_tars(tmp_path: Path) -> None:
    for i in range(8, 12):
        write_tar(tmp_path / f"{i:03d}.tar", [(f"{i}.jpg", b"")])
    pattern = f"{tmp_path}/{{008..010}}.tar"
    assert [Samples.for_training(pattern).key(i) for i in range(3)] == ["8", "9", "10"]
    assert len(Samples.for_training(f"{tmp_path}/0{{08,11}}.tar")) == 2
    assert len(Samples.for_training(Path(tmp_path / "011.tar"))) == 1
    assert len(Samples.for_training(tmp_path)) == 4
    with pytest.raises(UserError, match=r"012\.tar: there is no such tar \(1 of the 5"):
        Samples.for_training(f"{tmp_path}/{{008..012}}.tar")
    for endless in ("{0..999999999999}.tar", "{9..1}.tar", "{0..9999}{0..9999}.tar"):
        with pytest.raises(UserError, match=r"at most|more than"):
            Samples.for_training(f"{tmp_path}/{endless}")


class Counting(MemoryFileSystem):
    """A store that counts what is fetched, and fails when told to."""

    protocol = "counting"
    fetched: ClassVar[list[str]] = []
    failures = 0

    def get_file(self, rpath, lpath, **keywords):  # type: ignore[no-untyped-def]
        if Counting.failures:
            Counting.failures -= 1
            raise ConnectionError("the network hiccups")
        Counting.fetched.append(rpath.rpartition("/")[2])
        super().get_file(rpath, lpath, **keywords)


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same data set behind a URL, in six shards."""
    fsspec.register_implementation("counting", Counting, clobber=True)
    monkeypatch.setattr(Counting, "fetched", [])
    monkeypatch.setattr(Counting, "failures", 0)
    monkeypatch.setattr(fetch, "FIRST_WAIT", 0.0)
    url = f"counting://{tmp_path.name}/set"
    fill(url, NUM)
    return url


def test_shards_behind_a_url_are_fetched_when_needed_and_once(near: Path, far: str, cache: Path) -> None:
    archive, truth = Samples.for_training(far), Samples(near)
    assert list(archive.far_shards or ()) == [4, 4, 4, 4, 4, 2]
    assert not Counting.fetched
    for number in (5, 4, 7, 20, 21, 5):
        assert archive.files(number) == truth.at(number).files()
        assert archive.key(number) == truth.keys[number]
    assert Counting.fetched == ["shard-000001.tar", "shard-000005.tar"]
    other = pickle.loads(pickle.dumps(archive))  # as another process would have it
    assert other.files(6) == truth.at(6).files()
    assert Samples.for_training(far).files(6) == truth.at(6).files()
    assert archive.find("000000010") == 10
    assert archive.find("no") is None
    assert sorted(set(Counting.fetched)) == sorted(Counting.fetched)
    assert not list((cache / "shards").glob(".*"))


def test_a_fetched_shard_that_was_damaged_since_is_fetched_anew(near: Path, far: str, cache: Path) -> None:
    truth = Samples(near).at(5).files()
    Samples.for_training(far).files(5)
    for pattern in ("*.tar", "*.rows"):
        [kept] = (cache / "shards").glob(pattern)
        whole = kept.read_bytes()
        places = (0, 30, 60, len(whole) // 2, len(whole) - 1)
        for damaged in (whole[:-512], b"", *(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :] for at in places)):
            kept.write_bytes(damaged)
            Counting.fetched.clear()
            assert Samples.for_training(far).files(5) == truth
            assert Counting.fetched == ["shard-000001.tar"]
            assert kept.read_bytes() == whole


def test_hiccups_are_waited_out_and_failures_told(far: str) -> None:
    archive = Samples.for_training(far)
    Counting.failures = fetch.TRIES - 1
    assert archive.files(0)
    Counting.failures = 100
    with pytest.raises(UserError, match=r"shard-000001\.tar: ConnectionError: the network hiccups"):
        archive.files(4)
    Counting.failures = 0
    assert archive.files(4)


def test_what_changed_behind_a_url_is_told(far: str) -> None:
    archive = Samples.for_training(far)
    open_store(far).write("shard-000000.tar", b"short")
    with pytest.raises(UserError, match="came with 5 bytes"):
        archive.files(0)
    open_store(far).write("shard-000000.tar", b"x" * 20480)
    with pytest.raises(UserError, match="not a readable tar"):
        Samples.for_training(far).files(0)


@pytest.mark.parametrize("field", ["created", "ETag", "Last-Modified", None])
def test_a_shard_that_was_exchanged_behind_a_url_is_fetched_anew(far: str, field: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same size: by what a store tells of its version, or, where it tells nothing, in every call."""
    plain, now = MemoryFileSystem.ls, ["1"]

    def ls(self: MemoryFileSystem, path: str, detail: bool = True, **keywords: Any) -> list[Any]:
        entries = [{**entry} for entry in plain(self, path, detail=True, **keywords)]
        for entry in entries:
            created = entry.pop("created", None)
            entry.update({} if field is None else {field: created if field == "created" else now[0]})
        return entries if detail else [entry["name"] for entry in entries]

    monkeypatch.setattr(Counting, "ls", ls)
    first = Samples.for_training(far).files(0)
    store = open_store(far)
    store.write("shard-000000.tar", store.read("shard-000001.tar", 0, store.sizes()["shard-000001.tar"]))
    now[0] = "2"
    Counting.fetched.clear()
    assert Samples.for_training(far).files(0) != first
    Samples.for_training(far).files(0)
    assert len(Counting.fetched) == (1 if field else 2)


def test_the_shards_on_disk_stay_below_the_bound(far: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {name: size for name, size in open_store(far).sizes().items() if name.endswith(".tar")}
    monkeypatch.setattr(fetch, "OPEN_SHARDS", 2)
    bound = 3 * max(sizes.values())
    archive, other = Samples.for_training(far, bound), Samples.for_training(far, bound)
    for number in (0, 4, 0, 8, 12, 16, 0, 20):
        archive.files(number)
        assert sum(path.stat().st_size for path in (cache / "shards").glob("*.tar")) <= bound
        assert len(list((cache / "shards").glob("*.rows"))) == len(list((cache / "shards").glob("*.tar")))
    assert other.files(3) == archive.files(3)
    with pytest.raises(UserError, match="allow more"):
        Samples.for_training(far, bound // 2)


def test_shards_of_others_behind_a_url_are_counted(tmp_path: Path, cache: Path) -> None:
    store = open_store(f"memory://{tmp_path.name}/pairs")
    store.make()
    for shard in range(3):
        tar = write_tar(tmp_path / "a.tar", [(f"{shard}{i}{suffix}", b"x") for i in range(shard + 1) for suffix in (".jpg", ".txt")])
        store.write(f"{shard}.tar", tar.read_bytes())
    archive = Samples.for_training(f"{store.name}/{{0..2}}.tar")
    assert archive.far_shards == [1, 2, 3]
    assert [archive.key(i) for i in range(6)] == ["00", "10", "11", "20", "21", "22"]
    assert len(index_files(cache)) == 1


def test_many_processes_fetch_a_shard_once(near: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a file system that other processes see too."""
    context = get_context("fork")
    log = tmp_path / "log"
    store = open_store(near)

    def logged(name: str, target: Path) -> None:
        with log.open("a") as stream:
            stream.write(name + "\n")
        type(store).fetch(store, name, target)

    monkeypatch.setattr(store, "fetch", logged)
    names = [name for name in store.sizes() if name.endswith(".tar")]
    archive = FetchedTars(store, names, 10**9)
    workers = [context.Process(target=lambda: [archive.files(i) for i in range(NUM)]) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sorted(log.read_text().split()) == names
    assert len(list(cache_folder("shards").glob("*.tar"))) == len(names)
