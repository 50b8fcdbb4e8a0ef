"""The errors a user may meet; everything else is a bug."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from datagen.screen import one_line


class UserError(Exception):
    """An error that the user can mend. The message states what is wrong, where, and what to do; the command line exits with 2.

    Each argument is one line of the message: line ends and control characters in it, which may come from anybody's names, are escaped, and
    the middle of a very long one is left out.
    """

    def __str__(self) -> str:
        return "\n".join(one_line(str(line)) for line in self.args)


class PartlyDone(UserError):
    """Part of the work could not be done; the rest is done. The message names the part; the command line exits with 1."""


class Hopeless(UserError):
    """An error of one job that every other job would meet, so that no more are tried."""


class ImageError(UserError):
    """An image cannot be read. Where there are other images, they are read without it."""


class CodeError(UserError):
    """Graphics code that breaks the grammar: the place and what is wrong there. ``line`` and ``column`` count from 1."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        self.line, self.column, self.problem = line, column, problem
        super().__init__(f"line {line}, column {column}: {problem}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word, ``; did you mean "red"?``, with the known word most like it; empty if none is similar."""
    by_letters = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_letters, n=1)
    return f'; did you mean "{by_letters[near[0]]}"?' if near else ""
