"""The file of an unfinished refinement, from which the next call goes on: a header with the settings, then a line for each scene."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from datagen.errors import UserError
from datagen.io.declared import as_declared, to_plain
from datagen.io.files import MOST_OF_LINE, check_own, is_there, naming, open_plain, removed, write_bytes
from datagen.io.json_text import decode_row
from datagen.screen import print_line
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

    def sealed(self, header: Header) -> Kept:
        """The line with the correct seal, equal to the line itself if that is unchanged."""
        text = msgspec.json.encode([header, structs.replace(self, seal="")])
        return structs.replace(self, seal=hashlib.sha256(text).hexdigest())


class Partial:
    """The file at ``path``, and the finished ``rows`` by key."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.rows: dict[str, RefinedPrediction] = {}
        self._header = Header(version("igllm"), dict(settings))

    def take_up(self, made_from: Mapping[str, str]) -> None:
        """Load the rows that an earlier call with the same settings finished of unchanged predictions and images, and print how many.
        ``made_from`` has the SHA-256 of these by key."""
        check_own(self.path)
        header, kept = self._left()
        if header != self._header:
            write_bytes(self.path, json.dumps(to_plain(self._header)).encode() + b"\n")
            if kept:
                print_line("refine: what an interrupted call left is begun anew: it was made with other settings, or by another version")
            return
        self.rows = {key: line.row for key, line in kept.items() if made_from.get(key) == line.made_from}
        if self.rows:
            print_line(f"refine: {len(self.rows)} of {len(made_from)} scenes taken up from an interrupted call")

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Open the file; `add` may be called within the block."""
        with self.path.open("ab", buffering=0) as self._stream:
            yield

    def add(self, row: RefinedPrediction, made_from: str) -> None:
        """Append a row. `UserError` if somebody has removed the file."""
        if not is_there(self.path, self._stream.fileno()):
            raise removed(self.path.parent)
        self.rows[row.key] = row
        with naming(self.path):
            self._stream.write(json.dumps(to_plain(Kept(row, made_from).sealed(self._header))).encode() + b"\n")

    def _left(self) -> tuple[Header | None, dict[str, Kept]]:
        """The header and, by key, the lines of an earlier call, up to the first line that is damaged; truncate the file there."""
        if not self.path.exists():
            return None, {}
        header: Header | None = None
        kept: dict[str, Kept] = {}
        end = 0
        with open_plain(self.path) as stream:
            while (line := stream.readline(MOST_OF_LINE)).endswith(b"\n"):  # a last line without its end was cut off by a kill
                try:
                    content = decode_row(line.decode(errors="replace"), str(self.path))
                    if header is None:
                        header = as_declared(content, Header, str(self.path))
                    else:
                        one = as_declared(content, Kept, str(self.path))
                        if one != one.sealed(header):
                            raise UserError(f"{self.path}: not as it was written")
                        kept[one.row.key] = one
                except UserError:
                    print_line("refine: of what an interrupted call left, a line is damaged: it and those behind it are begun anew")
                    break
                end += len(line)
        os.truncate(self.path, end)
        return header, kept
