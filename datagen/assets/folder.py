"""A folder of somebody's own files: which of them are meant, what they are called, and which are left out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from datagen.assets.limits import MOST_FILES
from datagen.errors import UserError
from datagen.progress import progress

T = TypeVar("T")

_MARK = 12  # digits of a file's digest in its id
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,47}}-([0-9a-f]{{{_MARK}}})")


@dataclass(frozen=True)
class Refused:
    """A file that is left out, by its path within the folder, and why."""

    path: str
    reason: str


class RefusedError(Exception):
    """Why a file is left out."""


def files_in(folder: Path, suffixes: tuple[str, ...], what: str) -> list[str]:
    """The paths within a folder, in order, of the files with one of these suffixes, in it and those beneath it; ``what`` they are is for
    messages. Hidden files and folders are passed over, links to folders not followed. `UserError` if there are none, or too many."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of {what} files")
    found: list[str] = []
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if Path(name).suffix.lower() in suffixes and not name.startswith("."):
                found.append((Path(at) / name).relative_to(folder).as_posix())
        if len(found) > MOST_FILES:
            raise UserError(f"{folder}: more than {MOST_FILES:,} {what} files; name a smaller folder")
    if not found:
        raise UserError(f"{folder}: no {what} file is in it; known are {', '.join(suffixes)}")
    return sorted(found)


def read_each(
    files: list[str], told: str, read: Callable[[str], tuple[str, T]]
) -> tuple[dict[str, T], dict[str, str], tuple[Refused, ...]]:
    """What `read` gives of each file, by the id that it gives too, the paths by id, and which files are left out: those that `read`
    refuses by a `RefusedError`, and those with an id that another has. Progress is ``told`` by that name."""
    found: dict[str, T] = {}
    paths: dict[str, str] = {}
    refused: list[Refused] = []
    for name in progress(files, len(files), told):
        try:
            key, value = read(name)
            if key in found:
                raise RefusedError(f"the same as {paths[key]}")
        except RefusedError as error:
            refused.append(Refused(name, str(error)))
            continue
        found[key], paths[key] = value, name
    return found, paths, tuple(refused)


def file_id(path: Path, digest: str) -> str:
    """What code calls a file: its name, and the first digits of its digest."""
    return f"{slug(path.stem)}-{digest[:_MARK]}"


def kept_file(cache: Path, suffix: str, name: str) -> Path | None:
    """The file in a cache, named by the whole digest, of an id that `file_id` gave; None if there is none."""
    found = _ID.fullmatch(name)
    return min(cache.glob(f"{found[1]}*{suffix}"), default=None) if found else None


def first_folder(name: str) -> str | None:
    """The first folder that a path within the folder leads through, as a name that code can carry; None for a file that lies in none."""
    parts = Path(name).parts
    return slug(parts[0]) if len(parts) > 1 else None


def slug(text: str) -> str:
    """The text as a name that code, files and keys can carry."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:48] or "file"
