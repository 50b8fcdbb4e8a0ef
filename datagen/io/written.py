"""Which files of a folder igllm has written, with what they were made from: what is taken up, replaced or removed is told from all else.

A hidden list in the folder holds a line a file: its name, a digest of what it was made from, and the SHA-256 of its content, which is
stated once the file is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from datagen.errors import UserError
from datagen.io.declared import Digest, InnerPath, read_rows, to_plain
from datagen.io.files import TEMPORARY, check_own, file_sha256, naming, read_whole, removed, write_jsonl


def list_name(verb: str) -> str:
    """The name of a verb's list: what one has written, another must not take for its own."""
    return f".igllm-{verb}.jsonl"


class WrittenFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the list."""

    file: InnerPath  # which may be removed
    made_from: str
    sha256: Digest | None = None


class Written:
    """The files that a verb has written into a folder, which need not be there yet. `UserError` if its list is damaged."""

    def __init__(self, folder: Path, verb: str) -> None:
        self.folder, self.list = folder, folder / list_name(verb)
        self._rows: dict[str, WrittenFile] = {}
        path = self.list
        check_own(path)
        if path.exists():
            lines = read_whole(path)
            if not lines.endswith(b"\n"):  # a kill has cut the last line short
                os.truncate(path, lines.rfind(b"\n") + 1)
            try:
                self._rows = {row.file: row for _, row in read_rows(path, WrittenFile)}
            except UserError as error:
                raise UserError(f"{error}; the list is damaged, so choose another folder") from None

    @property
    def made_from(self) -> Mapping[str, str]:
        """By file, the digest of what it was made from."""
        return {name: row.made_from for name, row in self._rows.items()}

    def tidy(self) -> None:
        """Remove what calls that were killed left half written of the listed files in the folder itself."""
        for left in (*self.folder.glob(f".*{TEMPORARY}"), *self.folder.glob(f".*{TEMPORARY}@")):  # the latter by Blender
            if left.name[1:].removesuffix("@").removesuffix(TEMPORARY) in self._rows:
                left.unlink()

    def refuse_strangers(self, names: Iterable[str]) -> None:
        """`UserError` if a file of one of these names is there that igllm has not written."""
        for name in names:
            if name not in self._rows and (self.folder / name).exists():
                raise UserError(f"{self.folder / name}: is there already, and igllm has not written it; choose another folder")

    def check(self, names: Iterable[str] = ()) -> None:
        """`UserError` if somebody has removed the folder since files were begun, or one of these that are finished."""
        if not (self.list.exists() and all((self.folder / name).exists() for name in names)):
            raise removed(self.folder)

    def is_whole(self, name: str, made_from: str) -> bool:
        """Whether a file is there that was made from this, to the last byte as it was written."""
        row = self._rows.get(name)
        return row is not None and row.made_from == made_from and self._is_untouched(row)

    def begin(self, made_from: Mapping[str, str]) -> None:
        """State, before they are written, that these files are igllm's, and by what digest they are made."""
        self._append([WrittenFile(name, digest) for name, digest in made_from.items()])

    def finish(self, names: Iterable[str]) -> None:
        """State that these files, which were begun, are whole."""
        self._append([WrittenFile(name, self._rows[name].made_from, file_sha256(self.folder / name)) for name in names])

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that igllm has written. `UserError`, before any is removed, if one was changed by others since."""
        rows = [self._rows[name] for name in names]
        for row in rows:
            if row.sha256 is not None and (self.folder / row.file).exists() and not self._is_untouched(row):
                raise UserError(f"{self.folder / row.file}: was changed after igllm wrote it, and would be removed now; move it elsewhere")
        for row in rows:
            (self.folder / row.file).unlink(missing_ok=True)
            del self._rows[row.file]
        if rows:
            write_jsonl(self.list, map(to_plain, self._rows.values()))

    def _is_untouched(self, row: WrittenFile) -> bool:
        path = self.folder / row.file
        return path.is_file() and file_sha256(path) == row.sha256

    def _append(self, rows: list[WrittenFile]) -> None:
        if not rows:
            return
        self._rows.update({row.file: row for row in rows})
        self.folder.mkdir(parents=True, exist_ok=True)
        with naming(self.list), self.list.open("a") as stream:
            stream.writelines(json.dumps(to_plain(row)) + "\n" for row in rows)
            stream.flush()
            os.fsync(stream.fileno())
