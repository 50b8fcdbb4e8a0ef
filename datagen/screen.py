"""Safe output on a terminal: control characters in printed names and codes, which anybody may have written, become escapes."""

from __future__ import annotations

import io
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except the tab, the line feed, and the carriage return, which progress bars need; Unicode's separators of lines;
characters that change the direction of text; and surrogates, which stand for bytes that are no text."""

LONGEST = 2000  # characters of a message or of a line of it, which may quote names of any length


def printable(text: str) -> str:
    """A text of which anybody may have written parts, as one line: ends of lines, control characters, characters that change the direction
    of text, and what is no Unicode are written as escapes."""
    return text if text.isprintable() else "".join(letter if _is_shown(letter) else repr(letter)[1:-1] for letter in text)


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"  # other spaces: macOS puts U+202F into names


def uncontrolled(text: str) -> str:
    """A text with its line ends as they are, and the characters of `_CONTROLS` written as escapes."""
    return _CONTROLS.sub(lambda found: repr(found.group())[1:-1], text)


def print_line(text: str, file: TextIO | None = None) -> None:
    """Print a text as `one_line`; to standard error unless another file is given."""
    print(one_line(text), file=file or sys.stderr, flush=True)


def one_line(text: str) -> str:
    """A text as exactly one line of bounded length, whatever names are in it."""
    return printable(in_bounds(text))


def in_bounds(message: str) -> str:
    """A message, without its middle if it is longer than `LONGEST` characters."""
    half = LONGEST // 2
    return message if len(message) <= LONGEST else f"{message[:half]} [...] {message[-half:]}"


@contextmanager
def plain_output() -> Iterator[None]:
    """Within the block, print control characters, and characters that the terminal's encoding lacks, as escapes."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (stream and cast(TextIO, _Plain(stream)) for stream in before)  # None if the process has no such stream
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Plain:
    """A stream whose `write` escapes control characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text with control characters as escapes, such as ``\\x1b``."""
        return self._stream.write(uncontrolled(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
