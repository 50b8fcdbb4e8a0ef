"""The file of an unfinished refinement, from which the next call goes on: a header with the settings, then a line for each scene."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import Struct

from datagen.io.sealed import SealedFile
from render.refined import RefinedPrediction


class Header(Struct):
    """The first line: the version that refines, and its settings."""

    igllm: str
    settings: dict[str, Any]


class Kept(Struct, frozen=True):
    """A line: a finished row, the SHA-256 of all that it was made from, and ``seal``, that of the header and the rest of the line."""

    row: RefinedPrediction
    made_from: str
    seal: str = ""


class Partial:
    """The file at ``path``, and the finished ``rows`` by key."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.rows: dict[str, RefinedPrediction] = {}
        self._file = SealedFile(path, Header(version("igllm"), dict(settings)), Kept, "refine")

    def take_up(self, made_from: Mapping[str, str]) -> None:
        """Load the rows that an earlier call with the same settings finished of unchanged predictions and images, and print how many.
        ``made_from`` has the SHA-256 of these by key."""
        header, lines = self._file.left()
        if header != self._file.header:
            self._file.begin()
            if lines:
                self._file.tell("what an interrupted call left is begun anew: it was made with other settings, or by another version")
            return
        self.rows = {line.row.key: line.row for line in lines if made_from.get(line.row.key) == line.made_from}
        if self.rows:
            self._file.tell(f"{len(self.rows)} of {len(made_from)} scenes taken up from an interrupted call")

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Open the file; `add` may be called within the block."""
        with self._file.appending():
            yield

    def add(self, row: RefinedPrediction, made_from: str) -> None:
        """Append a row. `UserError` if somebody has removed the file."""
        self._file.append(Kept(row, made_from))
        self.rows[row.key] = row
