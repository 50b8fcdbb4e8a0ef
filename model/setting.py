"""Settings as fields of dataclasses: their help sentence, type and range, and the messages about impossible values."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, NamedTuple

from datagen.errors import UserError

MOST_LEVELS = 20  # of nested lists and tables
TRUTHS = {"true": True, "false": False}
LONGEST_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Range:
    """The range of a numeric setting, from ``least`` to ``most``; ``open`` names the end that is excluded."""

    least: float
    most: float
    open: Literal["", "least", "most"] = ""

    def __contains__(self, value: float) -> bool:
        above = value > self.least if self.open == "least" else value >= self.least
        return above and (value < self.most if self.open == "most" else value <= self.most)  # NaN fails these comparisons

    def __str__(self) -> str:
        above, below = ("above" if self.open == "least" else "at least"), ("below" if self.open == "most" else "at most")
        return f"{above} {self.least:,} and {below} {self.most:,}"


class Setting(NamedTuple):
    """A setting: the type of its values (``kind``), its help sentence, and its range if it is a number.

    ``group`` is empty for a setting in no group. ``shared`` is true if a de-rendering model has it as well as an IG-LLM.
    """

    name: str
    group: str
    kind: Any
    help: str
    within: Range | None
    shared: bool

    @property
    def key(self) -> str:
        """Its name with its group, as ``--set`` takes it."""
        return f"{self.group}.{self.name}" if self.group else self.name


def setting(default: Any, help: str, within: Range | None = None, *, shared: bool = False) -> Any:
    """A field of a dataclass that is a setting; see `Setting`."""
    return field(default=default, metadata={"help": help, "within": within, "shared": shared})


class Group:
    """Settings that belong together. `UserError`, naming the setting, for a value of another type or outside its range."""

    def __post_init__(self) -> None:
        check_values(self)


@cache
def declared(kind: Any, group: str = "") -> dict[str, Setting]:
    """The settings that a class declares, by name."""
    hints = typing.get_type_hints(kind)
    return {each.name: Setting(each.name, group, hints[each.name], **each.metadata) for each in fields(kind) if each.metadata}


def check_values(holder: Any) -> None:
    """`UserError` unless each setting of an object has a value of its type and in its range."""
    for name, each in declared(holder.__class__).items():
        value = getattr(holder, name)
        if not _fits(value, each.kind) or (each.within is not None and value not in each.within):
            within = "" if each.within is None else f" {each.within}"
            raise UserError(f"{name} is {shown(value)}: {_expected(each.kind)}{within} is expected")


def check_table(name: str, table: Any) -> None:
    """`UserError` unless a table holds plain values alone: text, finite numbers, booleans, lists and tables of them."""
    if not isinstance(table, Mapping):
        raise UserError(f"{name} is {shown(table)}: a table of the fields of a Hugging Face configuration is expected")
    for key, value in table.items():
        if not isinstance(key, str) or not _is_plain(value):
            raise UserError(
                f"[{name}]: {key} is {shown(value)}: text, finite numbers, true, false, or lists and tables of them are expected, "
                f"{MOST_LEVELS} in each other at most"
            )


def _is_plain(value: Any, levels: int = MOST_LEVELS) -> bool:
    """Whether a value is text, a finite number, a boolean, None, or lists and tables of these, nested at most ``levels`` deep."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and _is_plain(list(value.values()), levels)
    if isinstance(value, list | tuple):
        return levels > 0 and all(_is_plain(item, levels - 1) for item in value)
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _fits(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return any(type(value) is type(each) and value == each for each in typing.get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def parsed(key: str, text: str, kind: Any) -> Any:
    """The value of type ``kind`` that ``--set KEY=TEXT`` states; `UserError` if the text is no such value."""
    try:
        if typing.get_origin(kind) is Literal:
            return TRUTHS.get(text.lower(), text) if True in typing.get_args(kind) else text
        return TRUTHS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise UserError(f"--set {key}={shown(text)}: {_expected(kind)} is expected") from None


def _expected(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(str(each).lower() for each in typing.get_args(kind))}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    try:
        text = value if isinstance(value, str) and value and value.isprintable() else repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = "too large a number"
    except RecursionError:
        text = "nested too deeply"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
