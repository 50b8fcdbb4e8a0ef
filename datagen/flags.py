"""Flags of a command line, declared beside the fields of the dataclasses that they set, and how their texts are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True, eq=False)
class Flag:
    """The flag of a field, in its ``Annotated``: ``help`` is its help text, ``read`` converts its text (None: by the field's type).

    ``name`` is the flag's name if it is not the field's. A ``word`` is a positional argument. Exactly one of a verb's flags that are
    ``one_of`` must be given. ``more`` holds further arguments of `argparse.ArgumentParser.add_argument`.
    """

    help: str
    metavar: str | None = None
    read: Callable[[str], Any] | None = None
    name: str = ""
    word: bool = False
    one_of: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FlagsOf:
    """The flags of a nested dataclass, in the ``Annotated`` of a field that holds the class as a `functools.partial` with the given values.

    ``where`` is "module:Class", imported when the flags are needed. Without ``defaults``, the help does not show the defaults of the class,
    because others take their place.
    """

    where: str
    defaults: bool = True

    @property
    def kind(self) -> type:
        """The nested dataclass, imported."""
        return resolve_name(self.where)


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def positive(text: str) -> int:
    """A whole number above 0."""
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def number(text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def words(text: str) -> tuple[str, ...]:
    """Words, separated by commas."""
    found = tuple(word.strip() for word in text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: there is nothing before or after a comma")
    return found


def integers(text: str) -> tuple[int, ...]:
    """Whole numbers, separated by commas."""
    return tuple(map(whole, words(text)))
