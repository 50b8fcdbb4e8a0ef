"""The errors a user may meet; everything else is a bug."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. The message says what, where and what to do; the command line exits with 2."""


class PartlyDone(UserError):
    """Part of what was asked could not be done, the rest was. The message says which part; the command line exits with 1."""


class Hopeless(UserError):
    """What one job met and every other would: none is worth trying."""


class ImageError(UserError):
    """An image that cannot be read. Where there are others, they are read without it."""


class CodeError(UserError):
    """Graphics code that breaks the grammar, with the place and what was expected there.

    ``line`` and ``column`` count from 1.
    """

    def __init__(self, line: int, column: int, found: str, expected: str) -> None:
        self.line, self.column, self.found, self.expected = line, column, found, expected
        super().__init__(f"line {line}, column {column}: found {found}, expected {expected}")
