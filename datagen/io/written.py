"""The list of files that igllm has written into a folder, so that it continues, replaces and removes no others.

The list is a hidden file in the folder. Each line has a file's name, a digest of its inputs, and the SHA-256 of its content, written before
the file takes its place. A file is igllm's as long as the list has the SHA-256 of its content under its name: all others belong to their
owners, and so do those behind a link.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from msgspec import Struct

from datagen.errors import UserError
from datagen.io.declared import Digest, InnerPath, read_rows, to_plain
from datagen.io.files import (
    TEMPORARY,
    atomic_file,
    check_own,
    file_sha256,
    inner,
    naming,
    read_json,
    read_whole,
    removed,
    standing,
    sync_folder,
    unfinished,
    write_jsonl,
)

MOST_LIST_BYTES = 1 << 28  # of a list, which has some 150 bytes for each file
MOST_FACTS_BYTES = 1 << 24  # of a JSON file of results that an earlier version wrote
DRAFT = ".igllm-draft"  # where files that belong together are written before they take their places


def list_name(verb: str) -> str:
    """The name of a verb's list: each verb has its own, so that none takes another's files for its own."""
    return f".igllm-{verb}.jsonl"


class WrittenFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the list."""

    file: InnerPath  # within the folder, because the file may be removed
    made_from: str
    sha256: Digest | None = None


class Written:
    """The files that a verb has written into a folder, which need not exist yet. `UserError` if the list is damaged, or names a folder as
    a file."""

    def __init__(self, folder: Path, verb: str) -> None:
        self.folder, self.list = folder, folder / list_name(verb)
        self._rows: dict[str, WrittenFile] = {}
        self._digests: dict[str, set[str]] = defaultdict(set)  # by name, of each content that a killed call may have left
        self._unlisted: list[WrittenFile] = []  # files that an earlier version wrote
        path = self.list
        check_own(path)
        if path.exists():
            lines = read_whole(path, MOST_LIST_BYTES)
            if not lines.endswith(b"\n"):  # a kill has cut the last line short
                os.truncate(path, lines.rfind(b"\n") + 1)
            del lines
            try:
                for where, row in read_rows(path, WrittenFile):
                    _check_path(self.folder, row.file, where)
                    self._learn(row)
            except UserError as error:
                raise UserError(f"{error}; the list is damaged, so choose another folder") from None
            for name in self._rows:
                place = inner(folder, name)
                if place.is_dir() and not place.is_symlink():
                    raise UserError(f"{place}: is a folder, but {path} names a file there; move it elsewhere or choose another folder")

    @property
    def made_from(self) -> Mapping[str, str]:
        """The digest of each file's inputs, by the file's name."""
        return {name: row.made_from for name, row in self._rows.items()}

    def tidy(self) -> None:
        """Remove the unfinished versions of listed files that killed calls have left in the folder itself, not in folders below."""
        for left in (*self.folder.glob(f".*{TEMPORARY}"), *self.folder.glob(f".*{TEMPORARY}@")):  # the latter by Blender
            if left.name[1:].removesuffix("@").removesuffix(TEMPORARY) in self._rows:
                check_own(left)
                left.unlink()

    def adopt(self, names: Iterable[str], facts: str, stated: Set[str]) -> None:
        """As `take`, for files of earlier versions, which left no list. Does so only if the file `facts` is not listed, and holds a JSON
        object with the keys `stated`, which igllm has always written in it."""
        if facts not in self._rows and _states(self.folder / facts, stated):
            self.take(names)

    def take(self, names: Iterable[str]) -> None:
        """Treat the plain files of these names as igllm's, with their present content."""
        places = {name: inner(self.folder, name) for name in names}
        plain = {name: place for name, place in places.items() if place.is_file() and not place.is_symlink()}
        self._unlisted = [WrittenFile(name, "", file_sha256(place)) for name, place in plain.items()]
        for row in self._unlisted:
            self._learn(row)

    def refuse_strangers(self, names: Iterable[str]) -> None:
        """`UserError` if one of these names has a file that igllm has not written, or that others have changed since."""
        for name in names:
            place = inner(self.folder, name)
            check_own(unfinished(place))  # else the error would come only when the file is written
            if not os.path.lexists(place):
                continue
            if not self._digests.get(name):
                raise UserError(f"{place}: is there already, and igllm has not written it; choose another folder")
            if place.is_symlink() or not place.is_file() or file_sha256(place) not in self._digests[name]:
                raise UserError(f"{place}: was changed after igllm wrote it, and would be replaced or removed now; move it elsewhere")

    def check(self, names: Iterable[str] = ()) -> None:
        """`UserError` if somebody has removed the folder or its list since files were begun, or one of these finished files."""
        if not (self.list.exists() and all((self.folder / name).exists() for name in names)):
            raise removed(self.folder)

    def is_whole(self, name: str, made_from: str) -> bool:
        """Whether a file is there, unchanged since it was written, and was made from inputs with this digest."""
        row, place = self._rows.get(name), self.folder / name
        return row is not None and row.made_from == made_from and place.is_file() and file_sha256(place) == row.sha256

    def begin(self, made_from: Mapping[str, str]) -> None:
        """List files that will be written, by name, each with the digest of its inputs."""
        self._append([WrittenFile(name, digest) for name, digest in made_from.items()])

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, each atomically: those that were begun, or others, which are listed without a digest of inputs."""
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        begun = {name: self._rows[name].made_from for name in files if name in self._rows}
        self._append([WrittenFile(name, begun.get(name, ""), digest) for name, digest in digests.items()])
        places = {inner(self.folder, name): data for name, data in files.items()}
        for place, data in places.items():
            with atomic_file(place, settle=False) as stream:
                stream.write(data)
        for folder in {place.parent for place in places}:
            sync_folder(folder)

    def put(self, built: Path, name: str) -> None:
        """Move a finished file to the place of one that was begun."""
        self._append([WrittenFile(name, self._rows[name].made_from, file_sha256(built))])
        built.replace(inner(self.folder, name))

    @contextmanager
    def drafting(self) -> Iterator[tuple[Path, Callable[[], None]]]:
        """A folder in which to write the files to install, removed when the block ends, and a function to call now and then, which raises
        `UserError` if somebody has removed the folder."""
        draft = self.folder / DRAFT
        check_own(draft, folder=True)
        shutil.rmtree(draft, ignore_errors=True)  # of a call that was killed
        try:
            with standing(draft, self.folder) as check:
                yield draft, check
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            with suppress(OSError):  # it is not empty
                self.folder.rmdir()

    def install(self, draft: Path, names: Iterable[str]) -> None:
        """Replace all listed files by the files of a draft. FileNotFoundError if one of these is not there any more.

        `UserError`, before anything changes, if a file that would be replaced or removed is not igllm's.
        """
        rows = [WrittenFile(name, "", file_sha256(draft / name)) for name in sorted(names)]
        new = {row.file for row in rows}
        old = [name for name in self._rows if name not in new]
        self.refuse_strangers((*old, *new))
        known = [WrittenFile(name, "", digest) for name, digests in self._digests.items() for digest in digests]
        write_jsonl(self.list, map(to_plain, (*known, *rows)))
        for row in rows:
            place = inner(self.folder, row.file)
            place.parent.mkdir(parents=True, exist_ok=True)
            (draft / row.file).replace(place)
        for folder in {(self.folder / name).parent for name in new}:
            sync_folder(folder)
        self._unlink(old)
        self._rows, self._digests = {}, defaultdict(set)
        for row in rows:
            self._learn(row)
        write_jsonl(self.list, map(to_plain, rows))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that are listed. `UserError`, before any is removed, if one is not igllm's, or was changed by others since."""
        names = list(names)
        self.refuse_strangers(names)
        self._unlink(names)
        for name in names:
            del self._rows[name]
            self._digests.pop(name, None)
        if names:
            write_jsonl(self.list, map(to_plain, self._rows.values()))

    def _unlink(self, names: Iterable[str]) -> None:
        """Remove files, and the folders within this one that they leave empty."""
        for name in names:
            inner(self.folder, name).unlink(missing_ok=True)
            with suppress(OSError):  # it is not empty, so other files are in there
                for folder in list(PurePosixPath(name).parents)[:-1]:
                    (self.folder / folder).rmdir()

    def _learn(self, row: WrittenFile) -> None:
        self._rows[row.file] = row
        if row.sha256 is not None:
            self._digests[row.file].add(row.sha256)

    def _append(self, rows: list[WrittenFile]) -> None:
        if not rows:
            return
        rows, self._unlisted = [*self._unlisted, *rows], []
        for row in rows:
            self._learn(row)
        self.folder.mkdir(parents=True, exist_ok=True)
        with naming(self.list), self.list.open("a") as stream:
            stream.writelines(json.dumps(to_plain(row)) + "\n" for row in rows)
            stream.flush()
            os.fsync(stream.fileno())


def _states(path: Path, keys: Set[str]) -> bool:
    """Whether a file holds a JSON object with all these keys."""
    try:
        content = read_json(path, MOST_FACTS_BYTES)
    except UserError:
        return False
    return isinstance(content, dict) and content.keys() >= keys


def _check_path(folder: Path, name: str, where: str) -> None:
    """`UserError` if no file of that name can be in a folder."""
    try:
        if PurePosixPath(name).as_posix() == name != ".":
            (folder / name).lstat()
            return
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:  # the name is too long
        pass
    raise UserError(f"{where}: file is {name!r:.80}, but must be the path of a file in the folder, seen from there")
