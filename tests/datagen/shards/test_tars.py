"""Headers of untrusted tars: read as `tarfile` reads them, or refused before they cost time or memory, or hide samples."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.errors import UserError
from datagen.shards.reader import Samples
from datagen.shards.tars import files_of_blocks, sample_extents, tar_members

pytestmark = pytest.mark.usefixtures("empty_cache")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=120), st.integers(0, 2000)), max_size=6), st.sampled_from([1, 2]))
def test_members_are_those_that_tarfile_finds(members: list[tuple[str, int]], form: int) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for i, (name, size) in enumerate(members):
            entry = tarfile.TarInfo(name)
            folder = name[-1] == "/"  # a folder has no content
            entry.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
            entry.size, entry.mtime = 0 if folder else size, i / 3  # the fraction needs a PAX header
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        expected = [(entry.name, entry.offset, entry.offset_data, entry.size) for entry in tar if entry.isfile()]
    stream.seek(0)
    assert list(tar_members(stream)) == expected


def test_a_damaged_header_in_the_middle_loses_no_samples_in_silence(six_shards: Path, tmp_path: Path) -> None:
    data = bytearray((six_shards / "shard-000000.tar").read_bytes())
    _, start, _ = list(sample_extents(io.BytesIO(data)))[2]
    for at in (start + 3, start + 130, start + 150, start + 156, start + 258):
        (tmp_path / "shard-000000.tar").write_bytes(data[:at] + b"?" + data[at + 1 :])
        with pytest.raises(UserError, match=r"shard-000000\.tar: not a readable tar"):
            len(Samples(tmp_path))


def crafted(size: bytes, kind: bytes = tarfile.REGTYPE, name: bytes = b"a.jpg") -> bytes:
    """A header in GNU's format whose size field holds these 12 bytes, with a valid checksum."""
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
    """`tarfile` would spend minutes or gigabytes on each of these headers, or skip files silently."""
    files = member(b"a.jpg", b"A") + member(b"a.txt", b"a")
    (tmp_path / "a.tar").write_bytes(files + header + files.replace(b"a.", b"b.") + b"\0" * 1024)
    with pytest.raises(UserError, match=rf"a\.tar: not a readable tar \(.*{problem}.*get it again"):
        len(Samples(tmp_path))


def test_fields_that_others_write_are_read(tmp_path: Path) -> None:
    """As written by git archive, bsdtar and GNU tar: a comment for all files, times, attributes, a name that no plain header can hold."""
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
    """Zeros lie between members where tars were concatenated as files."""
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
    """With some bytes overwritten, samples are found and read, or `tarfile.TarError` is raised."""
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
        if header + 512 <= len(harmed) and data.draw(st.booleans()):  # a valid checksum
            harmed[header + 148 : header + 156] = b" " * 8
            harmed[header + 148 : header + 156] = b"%06o\0 " % sum(harmed[header : header + 512])
    try:
        for _, start, length in sample_extents(io.BytesIO(harmed)):
            assert 0 <= start < start + length
            files_of_blocks(bytes(harmed[start : start + length]))
    except tarfile.TarError:
        pass
