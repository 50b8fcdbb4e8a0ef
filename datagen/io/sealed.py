"""A file of finished rows, which an interrupted call leaves and the next goes on from: a header that says what they are made with, then a
line for each, sealed.

A kill may cut the file off anywhere, and what lies in its place may be anything: rows are read up to the first line that is not as it was
written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import msgspec
from msgspec import Struct, structs

from datagen.errors import UserError
from datagen.io.declared import as_declared, to_plain
from datagen.io.files import MOST_OF_LINE, check_own, is_there, naming, open_plain, removed, write_bytes
from datagen.io.json_text import decode_row
from datagen.screen import print_line

Header = TypeVar("Header", bound=Struct)
Line = TypeVar("Line", bound=Struct)


class SealedFile(Generic[Header, Line]):
    """The file at ``path`` with this ``header``. A line is a `Struct` with a field ``seal``, the SHA-256 of the header and the rest of the
    line."""

    def __init__(self, path: Path, header: Header, line: type[Line], verb: str) -> None:
        """``verb`` is the one that its messages are of."""
        self.path, self.header = path, header
        self._line, self._verb = line, verb

    def left(self) -> tuple[Header | None, list[Line]]:
        """The header and the lines of an earlier call, up to the first that is damaged, where the file is cut off; ``(None, [])`` if there
        is nothing. `UserError` if there is a link, or no plain file, in its place."""
        check_own(self.path)
        if not self.path.exists():
            return None, []
        header: Header | None = None
        lines: list[Line] = []
        end = 0
        with open_plain(self.path) as stream:
            while (text := stream.readline(MOST_OF_LINE)).endswith(b"\n"):  # a last line without its end was cut off by a kill
                try:
                    row = decode_row(text.decode(errors="replace"), str(self.path))
                    if header is None:
                        header = as_declared(row, type(self.header), str(self.path))
                    else:
                        lines.append(self._checked(row, header))
                except UserError:
                    self.tell("of what an interrupted call left, a line is damaged: it and those behind it are begun anew")
                    break
                end += len(text)
        os.truncate(self.path, end)
        return header, lines

    def begin(self) -> None:
        """Write the file anew, with its header alone."""
        write_bytes(self.path, _encoded(self.header))

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Open the file; `append` may be called within the block."""
        with self.path.open("ab", buffering=0) as stream:
            self._stream: IO[bytes] = stream
            yield

    def append(self, line: Line) -> None:
        """Seal and write a line. `UserError` if somebody has removed the file at ``path``."""
        if not is_there(self.path, self._stream.fileno()):
            raise removed(self.path.parent)
        with naming(self.path):
            self._stream.write(_encoded(_sealed(line, self.header)))

    def tell(self, text: str) -> None:
        """Print a message of the verb."""
        print_line(f"{self._verb}: {text}")

    def _checked(self, row: Any, header: Header) -> Line:
        line = as_declared(row, self._line, str(self.path))
        if line != _sealed(line, header):
            raise UserError(f"{self.path}: not as it was written")
        return line


def _sealed(line: Line, header: Struct) -> Line:
    """The line with the correct seal, equal to the line itself if that is unchanged."""
    text = msgspec.json.encode([header, structs.replace(line, seal="")])
    return structs.replace(line, seal=hashlib.sha256(text).hexdigest())


def _encoded(row: Struct) -> bytes:
    return json.dumps(to_plain(row)).encode() + b"\n"
