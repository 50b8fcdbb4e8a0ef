"""Files that are whole or not there: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import jsonlines

from datagen.errors import UserError


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes its place at `path` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def check_folder(path: Path, what: str) -> None:
    """`UserError` if a file is in the place of a folder to write, which messages call ``what``."""
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: a file is in the place of {what}; name another")


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


def read_json(path: Path) -> Any:
    """The JSON in a file; `UserError` naming the file if it is missing or damaged."""
    return _read(path, lambda: json.loads(path.read_text()))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, a line each; `UserError` naming file and line if it is missing or damaged."""

    def rows() -> list[dict[str, Any]]:
        try:
            with jsonlines.open(path) as reader:
                return list(reader.iter(type=dict, skip_empty=True))
        except jsonlines.InvalidLineError as error:
            raise UserError(f"{path}, line {error.lineno}: a JSON object is expected ({error})") from None

    return _read(path, rows)


def _read(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error})") from None
