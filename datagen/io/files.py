"""Files that are whole or not there: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import codecs
import errno
import fcntl
import hashlib
import io
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import jsonlines

from datagen.errors import UserError
from datagen.io.json_text import decode_json, decode_row

TEMPORARY = ".tmp"  # the ending of a hidden file that is being written
LONGEST_NAME = 200  # bytes of a name: file systems allow 255, and temporary files add to the name
SYSTEMS_FILES = ("thumbs.db", "desktop.ini", "__macosx")  # what Windows and macOS leave in folders and archives beside hidden files

MOST_BYTES = 2_000_000  # of a file that is read as a whole, unless its kind needs more: igllm's own files of facts are small
MOST_IN_UTF16 = 1 << 27  # bytes of a file of lines in UTF-16, which is read as a whole
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the errors of systems that can write no more
MOST_OF_LINE = 1 << 25  # characters
SYSTEMS_PLACES = ("/dev", "/proc", "/sys")  # their files are special: /dev/stdout may lead to a plain file, and must not be replaced
IN_MEMORY = "/dev/shm"  # within /dev, but an ordinary file system


@contextmanager
def atomic_file(path: Path, *, settle: bool = True) -> Iterator[IO[bytes]]:
    """A binary file that replaces the file or link at `path` when the block ends without an error, and is removed otherwise.

    No link is followed: in a folder that others have made, a link may lead anywhere. The file is written as ``.NAME.tmp``; the next writer
    of the same file overwrites what a killed one has left there. An `OSError` of writing names `path`. Without `settle`, a power cut may
    undo the renaming until `sync_folder` is called, as once for several files.
    """
    _check_plain(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished(path)
    with _open_alone(temporary, path) as stream:
        try:
            yield stream
            stream.flush()
            with naming(path):
                os.fsync(stream.fileno())
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            stream.raw.close()  # before the buffered rest is written
            raise
    if settle:
        sync_folder(path.parent)


def unfinished(path: Path) -> Path:
    """The path at which the file for `path` is written until it is finished."""
    return path.with_name(f".{path.name}{TEMPORARY}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make an `OSError` name `path`: an error of writing to an open file names no file, and one of a temporary file names that."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        if error.filename2 is not None:
            del error.filename2
        raise


class _WrittenFor(io.FileIO):
    """A temporary file whose errors of writing name the file that it will become."""

    def __init__(self, path: Path, named: Path) -> None:
        super().__init__(path, "wb", opener=lambda name, _: os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666))
        self._named = named

    def write(self, data: Any, /) -> int:
        with naming(self._named):
            return super().write(data) or 0


def _open_alone(temporary: Path, named: Path) -> io.BufferedWriter:
    """Open a temporary file, empty and locked, after waiting for other processes and threads that hold its lock."""
    check_own(temporary)
    while True:
        with naming(named):
            raw = _WrittenFor(temporary, named)
        with suppress(OSError):  # on file systems without locks
            fcntl.flock(raw, fcntl.LOCK_EX)
        if is_there(temporary, raw.fileno()):
            raw.truncate()
            return io.BufferedWriter(raw)
        raw.close()  # its holder renamed it meanwhile


@contextmanager
def standing(folder: Path, named: Path | None = None) -> Iterator[Callable[[], None]]:
    """Make a folder, and yield a function that raises `UserError` if somebody has removed it, because files written later are only a part.

    The message names the folder `named`, which contains this one, if that is given. The block raises the same error instead of a
    `FileNotFoundError` for a path in there.
    """
    whole = named or folder
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def check() -> None:
        if not is_there(folder, descriptor):
            raise removed(whole)

    try:
        yield check
    except FileNotFoundError as error:
        if Path(str(error.filename)).absolute().is_relative_to(whole.absolute()):
            raise removed(whole) from error
        raise
    finally:
        os.close(descriptor)


def removed(path: object) -> UserError:
    """The error to raise if somebody has removed a file or folder that this call is writing."""
    return UserError(f"{path}: was removed while this call was writing it; call it again to begin anew")


def is_there(path: Path, descriptor: int) -> bool:
    """Whether an open file or folder is the one that a path leads to."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def check_folder(path: Path, what: str = "the folder to write") -> None:
    """`UserError`, which calls the folder `what`, if no folder can be written at `path`. To call before work begins: it changes nothing."""
    with _as_user_error(path):
        _check_name(path)
        if path.exists() and path.samefile("/"):
            raise UserError(f"{path}: that is the root of all folders; name a folder in it")
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: a file is in the place of {what}; name another")
        _check_writable(path, path)


def check_file(path: Path) -> None:
    """`UserError` if no file can be written at `path`. To call before work begins: it changes nothing."""
    with _as_user_error(path):
        _check_plain(path)
        _check_name(path)
        _check_writable(path, path.parent)


@contextmanager
def _as_user_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: nothing can be written there ({error.strerror or error}); name another place") from None
    except ValueError:  # pathlib's error for a NUL
        raise UserError(f"{str(path)!r}: no file or folder can have such a name; name another place") from None


def _check_plain(path: Path) -> None:
    """`UserError` if what is at `path` cannot be replaced by a file that is written beside it."""
    if path.is_dir():
        raise UserError(f"{path}: a folder is in the place of the file to write; name a file in it")
    whole = path.absolute()
    systems = any(whole.is_relative_to(place) for place in SYSTEMS_PLACES) and not whole.is_relative_to(IN_MEMORY)
    if systems or (path.exists() and not path.is_file()):
        raise UserError(f"{path}: a device or pipe is in the place of the file to write; name a file")


def _check_name(path: Path) -> None:
    if any(ord(character) < 32 or ord(character) == 127 for character in str(path)):
        raise UserError(f"{str(path)!r}: holds a character that cannot be seen, such as the end of a line; name another place")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise UserError(f"{path}: the name is too long: {LONGEST_NAME} bytes are possible; name another place")


def _check_writable(path: Path, folder: Path) -> None:
    """`UserError`, which names `path`, unless `folder` can be written to, or created."""
    for there in (path, *path.parents):
        if there.is_symlink() and not there.exists():
            raise UserError(f"{path}: {there} is a link to {os.readlink(there)}, which is not there; make that, or name another place")
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise UserError(f"{path}: {there} is a file, so nothing can be written in it; name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{path}: the folder {there} may not be written to; name another place, or change its permissions")


def check_own(path: Path, folder: bool = False) -> None:
    """`UserError` if the path of one of igllm's hidden files, or with `folder` of its folders, has a link or another kind of file.

    Writing through a link that others have left in a shared folder would change a file elsewhere.
    """
    fits = path.is_dir() if folder else path.is_file()
    if os.path.lexists(path) and (path.is_symlink() or not fits):
        what = "a link" if path.is_symlink() else f"no plain {'folder' if folder else 'file'}"
        raise UserError(f"{path}: is {what}, and igllm has left none there; remove it")


def inner(folder: Path, name: str) -> Path:
    """The path of a file below a folder, from its relative path. `UserError` if a link, which may lead to others' files, is on the way."""
    for above in list(PurePosixPath(name).parents)[-2::-1]:
        check_own(folder / above, folder=True)
    return folder / name


def passed_over(name: str) -> bool:
    """Whether readers of folders and tars ignore a file: a hidden one, as macOS' ``._x.tar`` beside ``x.tar``, or a system's."""
    return name.startswith(".") or name.lower() in SYSTEMS_FILES


def beside(path: Path, ending: str) -> Path:
    """The path of the hidden file ``.NAME.ENDING`` beside a file or folder, the same for each way to write its path (``.``, ``x/../x``).

    For a folder whose parent cannot be written to, it is ``.ENDING`` in the folder.
    """
    whole = Path(os.path.realpath(path))
    if not whole.name:
        raise UserError(f"{path}: that is the root of all folders; name a folder in it")
    if whole.is_dir() and not os.access(whole.parent, os.W_OK | os.X_OK):
        return whole / f".{ending}"
    return whole.with_name(f".{whole.name}.{ending}")


def sync_folder(folder: Path) -> None:
    """Make the folder's renames survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_file(path) as stream:
        stream.write(data)


def write_json(path: Path, data: Any) -> None:
    """Write readable JSON atomically."""
    write_bytes(path, json_bytes(data))


def json_bytes(data: Any) -> bytes:
    """The bytes of a file of readable JSON."""
    return (json.dumps(data, indent=2, allow_nan=False) + "\n").encode()


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON object a line, atomically."""
    with atomic_file(path) as stream, jsonlines.Writer(stream, dumps=partial(json.dumps, allow_nan=False)) as writer:
        writer.write_all(rows)


class TooLarge(OSError):
    """A file has more bytes than are allowed for its kind."""


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file to read. OSError, which names it, if it cannot be read, or is a folder, or a pipe or device, which may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # without O_NONBLOCK, opening a pipe waits for its writer
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind, number = ("folder", errno.EISDIR) if stat.S_ISDIR(mode) else ("pipe or device", errno.EINVAL)
            raise OSError(number, f"a {kind} is in the place of the file", str(path))
        return open(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file, opened by `open_regular`, of at most `most` bytes; `TooLarge` if it has more."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        data = b"" if size > most else stream.read(most + 1)
    if max(size, len(data)) > most:
        raise TooLarge(errno.EFBIG, f"has {max(size, len(data)):,} bytes, more than {most:,}", str(path))
    return data


def unreadable(error: OSError) -> str:
    """The reason why a file could not be read, to follow its name in a message."""
    return str(error.strerror) if isinstance(error, TooLarge) else f"cannot be read ({error.strerror or error})"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn errors of reading a file into a `UserError` that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: {unreadable(error)}") from None
    except ValueError:  # Python's error for a NUL
        raise UserError(f"{str(path)!r}: no file can have such a name") from None


@contextmanager
def open_plain(path: Path) -> Iterator[IO[bytes]]:
    """A file to read, opened by `open_regular`; `UserError` naming it if it cannot be read."""
    with _reading(path), open_regular(path) as stream:
        yield stream


def read_whole(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file of at most `most` bytes; `UserError` naming it if it has more or cannot be read."""
    with _reading(path):
        return read_regular(path, most)


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a file of at most `most` bytes; `UserError` naming the file, and the line and column of a byte that is no text."""
    return decode_text(read_whole(path, most), str(path))


def decode_text(data: bytes, where: str) -> str:
    """The text of UTF-8, or of UTF-16 with a byte order mark, with all line ends as ``\\n``; `UserError` that begins with `where`."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="replace").split("\n")
        place = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise UserError(f"{where}: {place}: the byte 0x{data[error.start]:02X} is no UTF-8 text; save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """The JSON in a file of at most so many bytes; `UserError` naming the file if it is missing or damaged."""
    text = read_text(path, most)
    try:
        return decode_json(text)
    except ValueError as error:
        raise UserError(f"{path}: is not JSON ({error})") from None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, and their numbers from 1: one by one, so that a file may be larger than memory.

    `UserError` naming the file, and the line that is no text or longer than `MOST_OF_LINE`.
    """
    with open_plain(path) as stream:
        begin = stream.read(2)
        stream.seek(0)
        if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            data = stream.read(MOST_IN_UTF16 + 1)
            if len(data) > MOST_IN_UTF16:
                raise UserError(f"{path}: has more than {MOST_IN_UTF16:,} bytes of UTF-16; save the file as UTF-8")
            lines: Iterator[str] = iter(decode_text(data, str(path)).split("\n"))
        else:
            lines = _utf8_lines(stream, path)
        for number, line in enumerate(lines, 1):
            if len(line) > MOST_OF_LINE:
                raise UserError(f"{path}, line {number}: has more than {MOST_OF_LINE:,} characters, so it is not what was expected here")
            if line.strip():
                yield number, line


def _utf8_lines(stream: IO[bytes], path: Path) -> Iterator[str]:
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape")
    for number in itertools.count(1):
        line = text.readline(MOST_OF_LINE + 1)
        if not line:
            return
        if not line.isascii():
            try:
                line.encode()
            except UnicodeEncodeError as error:
                byte = ord(line[error.start]) & 0xFF
                place = f"line {number}, column {error.start + 1}"
                raise UserError(f"{path}: {place}: the byte 0x{byte:02X} is no UTF-8 text; save the file as UTF-8") from None
        yield line


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, a line each; `UserError` naming file and line if it is missing or damaged."""
    return [decode_row(line, f"{path}, line {number}") for number, line in read_lines(path)]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
