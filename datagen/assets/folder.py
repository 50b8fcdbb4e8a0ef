"""A folder of a user's own files: finding them, naming them, and reporting those that are left out."""

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
from datagen.screen import one_line

T = TypeVar("T")

_MARK = 12  # hexadecimal digits of a file's digest in its id
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,47}}-([0-9a-f]{{{_MARK}}})")
_CLASS_MARK = 11  # digits of a name's digest in a class; ids, dates, times and UUIDs end in other numbers of digits
_MARKED = re.compile(rf".*-[0-9a-f]{{{_CLASS_MARK}}}")
_ARCHIVERS = {"__MACOSX"}  # folders with macOS' metadata of files, not the files themselves


@dataclass(frozen=True)
class Listing:
    """The sorted paths of files within a folder, and the number of files of the same kind in unreadable formats, by suffix."""

    files: list[str]
    passed: Mapping[str, int]


@dataclass(frozen=True)
class Refused:
    """A file that is left out: its path within the folder, and the reason."""

    path: str
    reason: str


class RefusedError(Exception):
    """A file must be left out; the message is the reason."""


def files_in(folder: Path, suffixes: tuple[str, ...], others: tuple[str, ...], what: str) -> Listing:
    """The files with one of these suffixes, in a folder and those beneath it. ``others`` are suffixes of the same kind that cannot be
    read; messages call the kind ``what``. Hidden files and folders, such as macOS' ``._chair.obj``, are passed over, links to folders not
    followed. `UserError` if there is no such folder, no such file, or more than `MOST_FILES`."""
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
    """Raise `RefusedError` for a file that is a link out of its folder: the folder's maker need not own the file that the link leads to."""
    try:
        inside = (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle of links
        inside = True  # reading the file fails later, with a message of its own
    if not inside:
        raise RefusedError("it is a link to a file outside the folder; put a copy in its place")


def passed_over(passed: Mapping[str, int]) -> str:
    """A phrase with the number of files passed over, by suffix."""
    return "passed over: " + ", ".join(f"{count:,} {suffix}" for suffix, count in passed.items())


def remarks(notes: Iterable[tuple[str, str]], refused: Iterable[Refused], passed: Mapping[str, int]) -> list[str]:
    """Lines to print: notes (path, note), files left out with reasons, and numbers of files passed over, by suffix."""
    lines = [f"note: {path}: {note}" for path, note in notes]
    lines += [f"left out: {one.path}: {one.reason}" for one in refused]
    lines += [f"{passed_over(passed)}; these formats are not read"] if passed else []
    return [one_line(line) for line in lines]


def read_each(
    files: list[str], title: str, read: Callable[[str], tuple[str, T]]
) -> tuple[dict[str, T], dict[str, str], tuple[Refused, ...]]:
    """The values that `read`, which returns an id and a value, gives for the files, by id; the files' paths by id; and the files left out.
    Those are files for which `read` raises `RefusedError`, and files with the id of an earlier one. ``title`` labels the progress bar."""
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
    """The id of a file in graphics code: its name as a `slug`, and the first digits of its digest."""
    return f"{slug(path.stem)}-{digest[:_MARK]}"


def kept_file(cache: Path, suffix: str, name: str) -> Path | None:
    """The cached file of an id from `file_id`; None if there is none. Files in the cache are named by the whole digest."""
    found = _ID.fullmatch(name)
    return min(cache.glob(f"{found[1]}*{suffix}"), default=None) if found else None


def first_folder(name: str) -> str | None:
    """The `class_name` of the first folder of a relative path; None for a path without a folder."""
    parts = Path(name).parts
    return class_name(parts[0]) if len(parts) > 1 else None


def class_name(name: str) -> str:
    """The name of a file or folder in the letters that graphics code allows; different names have different results.

    A name that `slug` leaves alone stays as it is. Any other gets a digest of the name appended, and so does a name that already ends
    like one with a digest.
    """
    plain = slug(name)
    if plain == name and not _MARKED.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_CLASS_MARK]
    return f"{plain}-{digest}"


def slug(text: str) -> str:
    """The text in at most 48 ASCII letters, digits, ``.``, ``_`` and ``-``; different texts may have the same result."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:48] or "file"
