"""What is printed, so that it can do no more to a terminal than be read: names and codes in it are anybody's."""

from __future__ import annotations

import io
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""All but the ends of lines, the tab, and what progress bars go back with; what turns the direction of text; and what stands for a byte
that is no text."""

LONGEST = 2000  # characters of a message: what it names may be as long as anyone likes


def printable(text: str) -> str:
    """A text of which anybody may have written parts, as one line: ends of lines, control characters, what turns the direction of text
    and what is no Unicode are written as escapes."""
    return text if text.isprintable() else "".join(letter if _is_shown(letter) else repr(letter)[1:-1] for letter in text)


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"  # other spaces: macOS puts U+202F into names


def uncontrolled(text: str) -> str:
    """A text whose lines are meant, with all other control characters, and what turns the direction of text, written as escapes."""
    return _CONTROLS.sub(lambda found: repr(found.group())[1:-1], text)


def print_line(text: str, file: TextIO | None = None) -> None:
    """Print a line, and no more than one, whatever names are in it; to the standard error unless another file is given."""
    print(printable(text), file=file or sys.stderr, flush=True)


def in_bounds(message: str) -> str:
    """A message, less the middle of one that nobody would read to its end."""
    half = LONGEST // 2
    return message if len(message) <= LONGEST else f"{message[:half]} [...] {message[-half:]}"


@contextmanager
def plain_output() -> Iterator[None]:
    """While it lasts, what this process prints has control characters, and what a terminal's encoding lacks, written as escapes."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (stream and cast(TextIO, _Plain(stream)) for stream in before)  # None where the process was given none
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Plain:
    """A stream that differs in what `write` does."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text of which a control character is shown as ``\\x1b``, not obeyed."""
        return self._stream.write(uncontrolled(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
