"""The errors a user may meet; everything else is a bug."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from datagen.screen import printable


class UserError(Exception):
    """Something the user can mend. The message says what, where and what to do; the command line exits with 2.

    Each argument is a line of it: names and words in it are anybody's, and make no lines of their own.
    """

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


class PartlyDone(UserError):
    """Part of what was asked could not be done, the rest was. The message says which part; the command line exits with 1."""


class Hopeless(UserError):
    """What one job met and every other would: none is worth trying."""


class ImageError(UserError):
    """An image that cannot be read. Where there are others, they are read without it."""


class CodeError(UserError):
    """Graphics code that breaks the grammar: the place and what is wrong there. ``line`` and ``column`` count from 1."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        self.line, self.column, self.problem = line, column, problem
        super().__init__(f"line {line}, column {column}: {problem}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean "red"?`` for the known word that is most like one that is not known, to end a message with; empty if none is."""
    by_letters = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_letters, n=1)
    return f'; did you mean "{by_letters[near[0]]}"?' if near else ""
