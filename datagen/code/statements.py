"""The declaration of a statement of graphics code: its name, its arguments, and their possible values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from datagen.scene import Object, Scene, Value


@dataclass(frozen=True)
class Choice:
    """An argument with one word out of a vocabulary."""

    name: str
    words: tuple[str, ...]
    form: ClassVar[str] = "a word"

    def fits(self, value: Value) -> bool:
        """Whether a value is a string; the vocabulary is not checked."""
        return isinstance(value, str)


@dataclass(frozen=True)
class Number:
    """A numeric argument: a scalar, or a tuple when it has several components.

    ``low`` and ``high`` bound each component, in ``unit``; ``decimals`` is the declared precision. With a ``period``,
    values that differ by a multiple of it mean the same (an angle).
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    decimals: int
    unit: str
    period: float | None = None

    @property
    def components(self) -> int:
        return len(self.low)

    @property
    def form(self) -> str:
        """The form of a value, for messages."""
        return "a finite number" if self.components == 1 else f"{self.components} finite numbers"

    def fits(self, value: Value) -> bool:
        """Whether a value has this argument's components, all of them finite numbers."""
        components = value if isinstance(value, tuple) else (value,)
        of_kind = isinstance(value, tuple) == (self.components > 1) and len(components) == self.components
        return of_kind and all(isinstance(x, int | float) and math.isfinite(x) for x in components)

    def as_tuple(self, value: Value) -> tuple[float, ...]:
        """The components of a value; a scalar becomes a tuple of one."""
        return value if isinstance(value, tuple) else (float(value),)

    def as_value(self, components: Sequence[float]) -> Value:
        """The inverse of `as_tuple`."""
        return tuple(components) if self.components > 1 else float(components[0])

    def rounded(self, value: Value) -> Value:
        """The value to the declared precision, without a negative zero."""
        return self.as_value([round(float(x), self.decimals) + 0.0 for x in self.as_tuple(value)])


Argument = Choice | Number


@dataclass(frozen=True)
class Statement:
    """One statement of the graphics code: its name and its arguments in canonical order."""

    name: str
    arguments: tuple[Argument, ...]

    def argument(self, name: str) -> Argument:
        """The argument of that name; KeyError if there is none."""
        for argument in self.arguments:
            if argument.name == name:
                return argument
        raise KeyError(name)

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """All that a statement of a header can be about, in order: the statement's name or, if its first argument is a ``name``, one for
        each name."""
        first = self.arguments[0]
        return tuple((self.name, word) for word in first.words) if isinstance(first, Choice) and first.name == "name" else ((self.name,),)

    def key(self, obj: Object) -> tuple[str, ...]:
        """Which of `keys` an object of this statement is about."""
        return (self.name,) if self.keys == ((self.name,),) else (self.name, obj["name"])

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(a for a in self.arguments if isinstance(a, Choice))

    @property
    def numbers(self) -> tuple[Number, ...]:
        return tuple(a for a in self.arguments if isinstance(a, Number))


@dataclass(frozen=True)
class Groups:
    """A grouping of a choice's words: the name of the argument, and the group of each of its words (``chair`` for a chair's name)."""

    argument: str
    of: Mapping[str, str]


class Language(Protocol):
    """The part of a `Domain`, or of a `datagen.domains.dialects.Dialect`, that the grammar of graphics code uses.

    ``statements`` describe objects. Those of ``header`` may stand before them, one for each of their `Statement.keys`.
    """

    @property
    def name(self) -> str: ...

    @property
    def statements(self) -> tuple[Statement, ...]: ...

    @property
    def header(self) -> tuple[Statement, ...]: ...

    @property
    def synonyms(self) -> Mapping[str, tuple[str, ...]]: ...

    @property
    def max_objects(self) -> int: ...

    def statement(self, name: str) -> Statement: ...


class Canonical(Language, Protocol):
    """A language with one canonical form for all scenes that mean the same."""

    def canonical(self, scene: Scene) -> Scene: ...
