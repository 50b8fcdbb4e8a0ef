"""A folder of somebody's own files: which of them are meant, what they are called, and which are left out."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from datagen.assets.limits import MOST_FILES
from datagen.errors import UserError
from datagen.io.progress import progress
from datagen.screen import printable

T = TypeVar("T")

_MARK = 12  # digits of a file's digest in its id
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,47}}-([0-9a-f]{{{_MARK}}})")
_CLASS_MARK = 11  # digits of a name's digest in a class; another number than ids, dates, times and UUIDs end in
_MARKED = re.compile(rf".*-[0-9a-f]{{{_CLASS_MARK}}}")
_ARCHIVERS = {"__MACOSX"}  # folders that hold no files of their owner's, but what macOS knows of them


@dataclass(frozen=True)
class Listing:
    """The paths of files within a folder, in order, and how many of which other suffixes there are that could have been meant."""

    files: list[str]
    passed: Mapping[str, int]


@dataclass(frozen=True)
class Refused:
    """A file that is left out, by its path within the folder, and why."""

    path: str
    reason: str


class RefusedError(Exception):
    """Why a file is left out."""


def files_in(folder: Path, suffixes: tuple[str, ...], others: tuple[str, ...], what: str) -> Listing:
    """The files with one of these suffixes, in a folder and those beneath it; ``what`` they are is for messages, ``others`` are suffixes
    of their kind that cannot be read. Hidden files and folders, as macOS' ``._chair.obj``, are passed over, links to folders not
    followed. `UserError` if there are none, or too many."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of {what} files")
    found: list[str] = []
    passed: Counter[str] = Counter()
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _ARCHIVERS)
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in suffixes:
                found.append((Path(at) / name).relative_to(folder).as_posix())
            elif suffix in others:
                passed[suffix] += 1
        if len(found) > MOST_FILES:
            raise UserError(f"{folder}: more than {MOST_FILES:,} {what} files; name a smaller folder")
    listing = Listing(sorted(found), dict(sorted(passed.items())))
    if not found:
        rest = f" ({passed_over(listing.passed)})" if passed else ""
        raise UserError(f"{folder}: no {what} file is in it{rest}; known are {', '.join(suffixes)}")
    return listing


def check_inside(folder: Path, name: str) -> None:
    """`RefusedError` for a file of a folder that is a link out of it: who made the folder need not be who owns what it leads to."""
    try:
        inside = (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle of links
        inside = True  # which cannot be read, and is told so
    if not inside:
        raise RefusedError("it is a link to a file outside the folder; put a copy in its place")


def passed_over(passed: Mapping[str, int]) -> str:
    """How many files of which suffixes were passed over, as words."""
    return "passed over: " + ", ".join(f"{count:,} {suffix}" for suffix, count in passed.items())


def remarks(notes: Iterable[tuple[str, str]], refused: Iterable[Refused], passed: Mapping[str, int]) -> list[str]:
    """Lines for people: what was noted of which path, which files are left out, and what was passed over."""
    lines = [f"note: {path}: {note}" for path, note in notes]
    lines += [f"left out: {one.path}: {one.reason}" for one in refused]
    lines += [f"{passed_over(passed)}; these formats are not read"] if passed else []
    return [printable(line) for line in lines]


def read_each(
    files: list[str], title: str, read: Callable[[str], tuple[str, T]]
) -> tuple[dict[str, T], dict[str, str], tuple[Refused, ...]]:
    """What `read` gives of each file, by the id that it gives too, the paths by id, and which files are left out: those that `read`
    refuses by a `RefusedError`, and those with an id that another has. Progress is shown under that ``title``."""
    found: dict[str, T] = {}
    paths: dict[str, str] = {}
    refused: list[Refused] = []
    for name in progress(files, len(files), title):
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
    """The class of the first folder that a path within the folder leads through (`class_name`); None for a file that lies in none."""
    parts = Path(name).parts
    return class_name(parts[0]) if len(parts) > 1 else None


def class_name(name: str) -> str:
    """The name of a file or folder as one that code can carry, another for every other name.

    A name of ASCII letters, digits, ``.``, ``_`` and ``-`` stays as it is. Of any other a digest says what its letters cannot; so it does
    of one that looks as if it had such a digest already.
    """
    plain = slug(name)
    if plain == name and not _MARKED.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_CLASS_MARK]
    return f"{plain}-{digest}"


def slug(text: str) -> str:
    """The text as a name that code, files and keys can carry, others perhaps the same."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:48] or "file"
