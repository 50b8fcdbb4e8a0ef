"""Files that are whole or not there: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import codecs
import fcntl
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import jsonlines
import msgspec

from datagen.errors import UserError

TEMPORARY = ".tmp"  # the ending of a hidden file that is being written
LONGEST_NAME = 200  # bytes of a name, so that there is room for what temporary files add to it; file systems take 255
SYSTEMS_FILES = ("thumbs.db", "desktop.ini", "__macosx")  # what Windows and macOS leave in folders and archives beside hidden files

SYSTEMS_PLACES = ("/dev", "/proc", "/sys")  # whose files are none: /dev/stdout may lead to one, and must not be replaced by another


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes its place at `path`, or where a link there leads, when the block ends well, else vanishes.

    It is written as ``.NAME.tmp``: what a writer that was killed has left there, the next one of the same file overwrites. An `OSError` of
    writing names `path`.
    """
    _check_plain(path)
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with _open_alone(temporary, path) as stream:
        try:
            yield stream
            stream.flush()
            with naming(path):
                os.fsync(stream.fileno())
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            stream.raw.close()  # what is still to be written is not wanted
            raise
    sync_folder(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an `OSError` name this file or folder: those of writing to an open file name none, those of temporary files these."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


class _WrittenFor(io.FileIO):
    """A file in which errors of writing name another, for the sake of which it is written."""

    def __init__(self, path: Path, named: Path) -> None:
        super().__init__(path, "wb", opener=lambda name, _: os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666))
        self._named = named

    def write(self, data: Any, /) -> int:
        with naming(self._named):
            return super().write(data) or 0


def _open_alone(temporary: Path, named: Path) -> io.BufferedWriter:
    """A temporary file, empty, that no other process or thread has open in this way; one that has is waited for."""
    while True:
        with naming(named):
            raw = _WrittenFor(temporary, named)
        with suppress(OSError):  # where files cannot be locked
            fcntl.flock(raw, fcntl.LOCK_EX)
        if is_there(temporary, raw.fileno()):
            raw.truncate()
            return io.BufferedWriter(raw)
        raw.close()  # whoever held it gave it its name meanwhile


@contextmanager
def standing(folder: Path, named: Path | None = None) -> Iterator[Callable[[], None]]:
    """Make a folder, and give a function that raises `UserError` once somebody has removed it: what is written later is a part only.

    The message names another one if that is given.
    """
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def check() -> None:
        if not is_there(folder, descriptor):
            raise removed(named or folder)

    try:
        yield check
    finally:
        os.close(descriptor)


def removed(path: object) -> UserError:
    """What to raise when somebody has removed what this call is writing."""
    return UserError(f"{path}: was removed while this call was writing it; call it again to begin anew")


def is_there(path: Path, descriptor: int) -> bool:
    """Whether an open file or folder is the one that a path leads to."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def check_folder(path: Path, what: str = "the folder to write") -> None:
    """`UserError` if no folder, which messages call ``what``, can be written at `path`. For before work begins: it changes nothing."""
    with _as_user_error(path):
        _check_name(path)
        if path.exists() and path.samefile("/"):
            raise UserError(f"{path}: that is the root of all folders; name a folder in it")
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: a file is in the place of {what}; name another")
        _check_writable(path, path)


def check_file(path: Path) -> None:
    """`UserError` if no file can be written at `path`. For before work begins: it changes nothing."""
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
    except ValueError:  # what pathlib says to a NUL
        raise UserError(f"{str(path)!r}: no file or folder can have such a name; name another place") from None


def _check_plain(path: Path) -> None:
    """`UserError` if what is at `path` cannot be replaced by a file that is written beside it."""
    if path.is_dir():
        raise UserError(f"{path}: a folder is in the place of the file to write; name a file in it")
    if any(path.absolute().is_relative_to(place) for place in SYSTEMS_PLACES) or (path.exists() and not path.is_file()):
        raise UserError(f"{path}: a device or pipe is in the place of the file to write; name a file")


def _check_name(path: Path) -> None:
    if any(ord(character) < 32 or ord(character) == 127 for character in str(path)):
        raise UserError(f"{str(path)!r}: holds a character that cannot be seen, such as the end of a line; name another place")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise UserError(f"{path}: the name is too long: {LONGEST_NAME} bytes are possible; name another place")


def _check_writable(path: Path, folder: Path) -> None:
    """`UserError`, which names `path`, unless `folder` can be written in, or made."""
    for there in (path, *path.parents):
        if there.is_symlink() and not there.exists():
            raise UserError(f"{path}: {there} is a link to {os.readlink(there)}, which is not there; make that, or name another place")
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise UserError(f"{path}: {there} is a file, so nothing can be written in it; name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{path}: the folder {there} may not be written to; name another place, or change its permissions")


def passed_over(name: str) -> bool:
    """Whether readers of folders and tars take no notice of a file: it is hidden, as macOS' ``._x.tar`` beside ``x.tar``, or a system's."""
    return name.startswith(".") or name.lower() in SYSTEMS_FILES


def beside(path: Path, ending: str) -> Path:
    """The hidden file ``.NAME.ENDING`` that belongs to a file or folder, the same however that is written (``.``, ``x/../x``).

    It lies beside it, or in a folder whose own place cannot be written to.
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
    write_bytes(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON object a line, atomically."""
    with atomic_file(path) as stream, jsonlines.Writer(stream, dumps=partial(json.dumps, allow_nan=False)) as writer:
        writer.write_all(rows)


def read_text(path: Path) -> str:
    """The text of a file; `UserError` naming the file, and the place of what is no text."""
    try:
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def decode_text(data: bytes, where: str) -> str:
    """Text out of UTF-8, or UTF-16 as its first bytes say, lines ended in any system's way; `UserError` that begins with `where`."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="replace").split("\n")
        place = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise UserError(f"{where}: {place}: the byte 0x{data[error.start]:02X} is no UTF-8 text; save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """The JSON in a file; `UserError` naming the file if it is missing or damaged."""
    text = read_text(path)
    try:
        return decode_json(text)
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error})") from None


def decode_json(text: str | bytes) -> Any:
    """What strict JSON says: no NaN or infinity, no half of a surrogate pair, no nesting without end. ValueError for anything else."""
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, a line each; `UserError` naming file and line if it is missing or damaged."""
    lines = read_text(path).split("\n")
    try:
        return list(jsonlines.Reader(lines, loads=decode_json).iter(type=dict, skip_empty=True))
    except jsonlines.InvalidLineError as error:
        raise UserError(f"{path}, line {error.lineno}: a JSON object is expected ({error})") from None
