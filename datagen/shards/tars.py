"""Tars as WebDataset reads them: a sample is a group of adjacent members whose names differ only in their suffix."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from typing import IO, cast

from datagen.code.predictions import is_key
from datagen.io.files import passed_over

BLOCK = tarfile.BLOCKSIZE
GET_AGAIN = "get it again where it came from, or, if igllm has generated it here, call `igllm generate` again"  # advice for a damaged tar
MOST_HEADER_BYTES = 1 << 16  # of a header that extends the next one: by a long name, or by fields in PAX format
MOST_FIELDS = 100  # in such a header, and in all global headers together
MOST_DIGITS = 100  # in a row in such fields: the time that `tarfile` of Python 3.11 takes grows with the square of their number
MOST_PADDING = 1 << 22  # bytes after the end of a tar


def tar_members(stream: IO[bytes]) -> Iterator[tuple[str, int, int, int]]:
    """The files in a tar: name, offset of the header, offset of the data, size of the data. `tarfile.TarError` if the tar is damaged.

    Plain headers are read here, in a third of the time of `tarfile`, which reads from the first header of another kind on. After the block
    of zeros that ends a tar only zeros may follow: files behind it are an error, so that none are skipped silently.
    """
    at = 0
    while (plain := _plain(stream.read(BLOCK))) is not None:
        name, size = plain
        yield name, at, at + BLOCK, size
        at += BLOCK + size + -size % BLOCK
        stream.seek(at - 1)
        if not stream.read(1):
            raise tarfile.ReadError("unexpected end of data")
    stream.seek(at)
    if at == 0 or stream.read(BLOCK).strip(b"\0"):
        stream.seek(at)
        yield from _any_members(stream)
    _check_padding(stream)


def _check_padding(stream: IO[bytes]) -> None:
    """`tarfile.ReadError` unless the rest of a stream is at most `MOST_PADDING` zeros."""
    padding = stream.read(MOST_PADDING + 1)
    if padding.strip(b"\0"):
        raise tarfile.ReadError("more lies behind its end, as where tars were joined as files; join them with tar itself, or read each")
    if len(padding) > MOST_PADDING:
        raise tarfile.ReadError(f"more than {MOST_PADDING:,} zeros lie behind its end")


def _plain(header: bytes) -> tuple[str, int] | None:
    """Name and size in the header of a regular file with a name of at most 100 bytes; None for any other block."""
    digits, checksum = header[124:136].strip(b" \0"), header[148:156].strip(b" \0")
    if header[257:265] not in (b"ustar\00000", b"ustar  \0") or header[156:157] != tarfile.REGTYPE or header[345:346] != b"\0":
        return None
    if not digits.isdigit() or not checksum.isdigit() or b"8" in digits + checksum or b"9" in digits + checksum:
        return None
    if int(checksum, 8) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        return None
    return header[:100].partition(b"\0")[0].decode(errors="surrogateescape"), int(digits, 8)


class _Bounded:
    """A stream for `tarfile` that cuts requests down to the bytes it has: ``read`` allocates memory for all requested bytes first."""

    def __init__(self, stream: IO[bytes], end: int) -> None:
        self._stream, self._end = stream, end
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, size: int) -> bytes:
        """At most `size` bytes, and none beyond the end."""
        return self._stream.read(max(0, min(size, self._end - self.tell())))


class _Entry(tarfile.TarInfo):
    """A header as `tarfile` reads it, but checked against limits before the content that belongs to it is read."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        fields = self.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise _sparse(self.name)
        if fields or self.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            if not 0 <= self.size <= MOST_HEADER_BYTES:
                raise tarfile.ReadError(f"a header of {self.size:,} bytes that tells of the next; at most {MOST_HEADER_BYTES:,} are read")
            if fields:
                self._check_fields(tar)
        found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        return found

    def _check_fields(self, tar: tarfile.TarFile) -> None:
        stream = cast(IO[bytes], tar.fileobj)
        start = stream.tell()
        names = _field_names(stream.read(self.size + -self.size % BLOCK))
        stream.seek(start)
        for_all = self.type == tarfile.XGLTYPE
        if len(names) + for_all * len(tar.pax_headers) > MOST_FIELDS:
            raise tarfile.ReadError(f"a header of more than {MOST_FIELDS} fields")
        if any(name.startswith(b"GNU.sparse.") for name in names):
            raise _sparse(self.name)
        if for_all and {b"path", b"size"} & set(names):
            raise tarfile.ReadError("a header that gives all files one name or one size")


def _field_names(fields: bytes) -> list[bytes]:
    """The names of fields in PAX format: one line ``LENGTH NAME=VALUE`` per field, then only zeros. `tarfile.ReadError` if damaged."""
    names, fields = [], fields.rstrip(b"\0")
    if re.search(rb"\d{%d}" % (MOST_DIGITS + 1), fields):
        raise tarfile.ReadError(f"a header with more than {MOST_DIGITS} digits in a row")
    at = 0
    while at < len(fields):
        line = re.compile(rb"(\d+) ([^=\n]+)=").match(fields, at)
        end = at + int(line[1]) if line else 0
        if line is None or not line.end() < end <= len(fields) or fields[end - 1 : end] != b"\n":
            raise tarfile.ReadError("a damaged header, whose fields are not as long as they state")
        names.append(line[2])
        at = end
    return names


def _sparse(name: str) -> tarfile.ReadError:
    return tarfile.ReadError(f"{name:.80}: a sparse file, whose holes no sample has")


def _any_members(stream: IO[bytes]) -> Iterator[tuple[str, int, int, int]]:
    start = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    stream.seek(start)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], _Bounded(stream, end)), mode="r:", tarinfo=_Entry) as tar:
            while (entry := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # the list would grow with the tar
                # A header may state any size, even a negative one: it must fit within the file.
                if (entry.isreg() and not 0 <= entry.size <= end - entry.offset_data) or tar.offset <= entry.offset:
                    raise tarfile.ReadError(f"{entry.name:.80}: a header that states {entry.size:,} bytes, which are not there")
                if entry.isreg():
                    yield entry.name, entry.offset, entry.offset_data, entry.size
            stream.seek(tar.offset)
    except RecursionError:  # tarfile recurses after each header that only names the next
        raise tarfile.ReadError("too many headers that only name the next") from None
    except (ArithmeticError, LookupError, ValueError) as error:  # errors that tarfile does not catch for malformed headers
        raise tarfile.ReadError(f"a damaged header ({error})") from error
    if stream.read(BLOCK).strip(b"\0"):  # tarfile stops at a damaged header without an error
        raise tarfile.ReadError("a damaged header")


def split_name(name: str) -> tuple[str, str]:
    """A member's key (see `plain_key`) and suffix, split as in WebDataset at the first dot of the base name; both empty for a file that is
    `passed_over`."""
    base = name.rpartition("/")[2]
    if passed_over(base):
        return "", ""
    stem, dot, suffix = base.partition(".")
    return plain_key(stem), dot + suffix


def plain_key(stem: str) -> str:
    """The key for files with this stem, unique per stem: characters that no key can hold (`is_key`), and a ``%`` before two hexadecimal
    digits, are written as ``%XX`` per byte."""
    if stem.isalnum() or (is_key(stem) and "%" not in stem):
        return stem
    return re.sub(r"%(?=[0-9A-F]{2})|[^%]", lambda found: _escaped(found.group()), stem)


def _escaped(character: str) -> str:
    if character != "%" and is_key("a" + character):
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogateescape"))


def sample_extents(stream: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Key, offset and length of every sample's members in a tar. `tarfile.TarError` if the tar is damaged.

    A sample begins where the folder or key changes, or a suffix repeats. Members without a key or a suffix belong to no sample.
    """
    stem, suffixes, start, end = "", set[str](), 0, 0
    for name, header, data, size in tar_members(stream):
        key, suffix = split_name(name)
        if not key or not suffix:
            continue
        if name != stem + suffix or suffix in suffixes:
            if stem:
                yield split_name(stem)[0], start, end - start
            stem, start = name.removesuffix(suffix), header
            suffixes = set()
        suffixes.add(suffix)
        end = data + size + -size % BLOCK
    if stem:
        yield split_name(stem)[0], start, end - start


def files_of_blocks(blocks: bytes) -> dict[str, bytes]:
    """The files of a sample by suffix, from its part of a tar (see `sample_extents`). `tarfile.TarError` if it is damaged."""
    members = tar_members(io.BytesIO(blocks))
    files = {split_name(name): blocks[start : start + size] for name, _, start, size in members}
    return {suffix: data for (key, suffix), data in files.items() if key and suffix}
