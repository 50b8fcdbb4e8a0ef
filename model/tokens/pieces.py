"""The pieces of code that a codec writes with tokens: fixed text, words with the fixed text before them, and the slots of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datagen.code.statements import Argument, Choice, Language, Number, Statement
from datagen.domains.views import IN_IMAGE
from datagen.scene import Object
from model.tokens.digits import CHARACTERS

LARGEST = 1e6  # the largest absolute value that is written
ANCHOR = "\n"  # texts are tokenized after it, because a tokenizer may put a space before the very first character


@dataclass(frozen=True)
class Slot:
    """One numeric place of a statement: a component of a `Number`. Of a header, ``statement`` is the line's key, as ``lamp fill``."""

    statement: str
    argument: Number
    component: int

    @property
    def low(self) -> float:
        return self.argument.low[self.component]

    @property
    def high(self) -> float:
        return self.argument.high[self.component]

    @property
    def in_image(self) -> bool:
        """Whether the slot is a place in the image, in half longer sides (`datagen.domains.views`)."""
        return self.argument.unit == IN_IMAGE and self.component < 2

    @property
    def middle(self) -> float:
        """The middle of the declared range."""
        return (self.high + self.low) / 2

    @property
    def half(self) -> float:
        """Half of the declared range."""
        return (self.high - self.low) / 2

    @property
    def period(self) -> float:
        """The period in normalised units; 0 where values do not wrap."""
        return (self.argument.period or 0.0) / self.half

    @property
    def whole_digits(self) -> int:
        """How many digits before the decimal point the declared range needs."""
        return max(len(self.text(abs(end)).partition(".")[0]) for end in (self.low, self.high))

    def value(self, obj: Object) -> float:
        """The object's number in this slot."""
        return self.argument.as_tuple(obj[self.argument.name])[self.component]

    def normalise(self, value: float) -> float:
        """A value as a normalised one: the declared range becomes [-1, 1]."""
        return (value - self.middle) / self.half

    def denormalise(self, value: float) -> float:
        """The inverse of `normalise`."""
        return value * self.half + self.middle

    @property
    def coordinate_count(self) -> int:
        """How many `coordinates` a value has."""
        return 2 if self.period else 1

    def coordinates(self, value: float) -> tuple[float, ...]:
        """A normalised value as a network learns it: itself, or, where it has a period, sine and cosine of its phase, which do not jump."""
        if not self.period:
            return (value,)
        phase = 2 * math.pi * value / self.period
        return math.sin(phase), math.cos(phase)

    def from_coordinates(self, coordinates: Sequence[float]) -> float:
        """The normalised value of coordinates; if periodic, it is within half a period of 0, and sine and cosine may have any norm."""
        return math.atan2(*coordinates) * self.period / (2 * math.pi) if self.period else coordinates[0]

    def text(self, value: float) -> str:
        """A value, of any size or NaN, as a decimal of the declared precision that the grammar can parse."""
        held = min(max(value, -LARGEST), LARGEST) if math.isfinite(value) else 0.0
        return f"{round(held, self.argument.decimals) + 0.0:.{self.argument.decimals}f}"  # + 0.0: no negative zero


@dataclass(frozen=True)
class Words:
    """Fixed text, ``before``, and behind it one of the ``words`` of an argument; without an argument, the fixed text alone."""

    before: str
    words: tuple[str, ...] = ()
    argument: str | None = None

    def text(self, word: str) -> str:
        """The fixed text with that word, one of the argument's or a synonym."""
        return f'{self.before}"{word}"'

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that the piece may have."""
        return tuple(map(self.text, self.words)) if self.argument else (self.before,)


Piece = Words | Slot


def pieces(statement: Statement, arguments: Sequence[Argument] | None = None, key: tuple[str, ...] | None = None) -> list[Piece]:
    """The pieces of a line of a statement's code, in order. ``arguments`` are the statement's own in another order than declared.

    For a ``key`` of a header's statement (`Statement.keys`), the line is about that key alone, and its slots are named after it.
    """
    found: list[Piece] = []
    named = " ".join(key or (statement.name,))
    text = f"{statement.name}("
    for i, argument in enumerate(statement.arguments if arguments is None else arguments):
        text += f"{', ' if i else ''}{argument.name}="
        if isinstance(argument, Choice):
            words = argument.words if key is None or argument.name != "name" else key[1:]
            found.append(Words(text, words, argument.name))
            text = ""
            continue
        many = argument.components > 1
        text += "(" if many else ""
        for component in range(argument.components):
            found += [Words(text), Slot(named, argument, component)]
            text = ", "
        text = ")" if many else ""
    return [*found, Words(text + ")\n")]


def header_pieces(domain: Language) -> dict[tuple[str, ...], list[Piece]]:
    """The pieces of each line of a domain's header, in order."""
    return {key: pieces(statement, key=key) for statement in domain.header for key in statement.keys}


def code_texts(domain: Language) -> list[str]:
    """Every text that a codec may have tokenized for canonical code of a domain."""
    lines = [*map(pieces, domain.statements), *header_pieces(domain).values()]
    words = [text for line in lines for piece in line if isinstance(piece, Words) for text in piece.texts]
    return [*words, *(ANCHOR + word for word in words), *CHARACTERS]


def word_texts(statement: Statement) -> list[str]:
    """The words of a statement's choices, each with the fixed text before it, in declared order."""
    return [text for piece in pieces(statement) if isinstance(piece, Words) and piece.argument for text in piece.texts]


def word_tokens(domain: Language, tokenizer: Any) -> list[int]:
    """The tokens of `word_texts`, one each. Empty for a domain of several statements, for which cells have no words, and if a text
    takes several tokens."""
    if len(domain.statements) != 1:
        return []
    found = [tokenizer.encode(text, add_special_tokens=False) for text in word_texts(domain.statements[0])]
    return [ids[0] for ids in found] if all(len(ids) == 1 for ids in found) else []


def numeric_slots(domain: Language) -> list[Slot]:
    """All slots of a domain's statements, in declared order, then those of its header; indices of slots refer to this list."""
    lines = [*map(pieces, domain.statements), *header_pieces(domain).values()]
    return [piece for line in lines for piece in line if isinstance(piece, Slot)]


def choice_targets(obj: Object, domain: Language) -> list[int]:
    """The index of each of an object's words in its vocabulary, in declared order."""
    return [choice.words.index(obj[choice.name]) for choice in domain.statement(obj.statement).choices]
