"""Scenes as token sequences and back, and the grammar on token ids that decoding is held to.

Code is encoded piece by piece, the pieces being what the grammar can choose between: a run of fixed text, a word with the text before
it, a number. A number is `[NUM]`, its value travels beside it. So the automaton over token ids is exact for any tokenizer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.code import parse_code, write_object
from datagen.domain import Choice, Domain, Number, Statement
from datagen.errors import UserError
from datagen.scene import Object, Scene

NUM = "[NUM]"
DEAD = -1
LARGEST = 1e6


@dataclass(frozen=True)
class Slot:
    """One numeric place of a statement: a component of a `Number`."""

    statement: str
    argument: Number
    component: int

    @property
    def _middle(self) -> float:
        return (self.argument.high[self.component] + self.argument.low[self.component]) / 2

    @property
    def _half(self) -> float:
        return (self.argument.high[self.component] - self.argument.low[self.component]) / 2

    @property
    def period(self) -> float:
        """In normalised units; 0 where values do not wrap."""
        return (self.argument.period or 0.0) / self._half

    def normalise(self, value: float) -> float:
        """The declared range to [-1, 1]."""
        return (value - self._middle) / self._half

    def denormalise(self, value: float) -> float:
        """The inverse of `normalise`."""
        return value * self._half + self._middle


@dataclass(frozen=True)
class Words:
    """A place where the grammar chooses one of some texts; fixed text is a choice of one. ``names`` tells the choice's words apart."""

    texts: tuple[str, ...]
    names: tuple[str, ...] = ()
    argument: str | None = None


Piece = Words | Slot


def pieces(statement: Statement) -> list[Piece]:
    """A statement as the sequence of places that a line of its code runs through."""
    found: list[Piece] = []
    text = f"{statement.name}("
    for i, argument in enumerate(statement.arguments):
        text += f"{', ' if i else ''}{argument.name}="
        if isinstance(argument, Choice):
            found.append(Words(tuple(f'{text}"{word}"' for word in argument.words), argument.words, argument.name))
            text = ""
            continue
        many = argument.components > 1
        text += "(" if many else ""
        for component in range(argument.components):
            found += [Words((text,)), Slot(statement.name, argument, component)]
            text = ", "
        text = ")" if many else ""
    return [*found, Words((text + ")\n",))]


def numeric_slots(domain: Domain) -> list[Slot]:
    """Every numeric place of a domain's statements, in declared order: what a slot's index counts."""
    return [piece for statement in domain.statements for piece in pieces(statement) if isinstance(piece, Slot)]


@dataclass(frozen=True)
class Encoded:
    """Token ids; for each, the normalised value and the slot's index where it is `[NUM]`, else 0 and -1."""

    ids: list[int]
    values: list[float]
    slots: list[int]


class CodeCodec:
    """The code of one domain in the tokens of one tokenizer.

    ``next_state`` (states, vocabulary) int32 is the automaton: the state after a token, -1 where the grammar forbids it. ``slot_at``
    (states,) holds the slot's index where `[NUM]` comes next, else -1. State 0 is the start of a line.
    """

    def __init__(self, domain: Domain, tokenizer: Any) -> None:
        self.domain, self.tokenizer = domain, tokenizer
        self.num, self.end = tokenizer.convert_tokens_to_ids(NUM), tokenizer.eos_token_id
        if self.num is None or self.num == tokenizer.unk_token_id or self.end is None:
            raise UserError(f"the tokenizer has no {NUM} or no end-of-sequence token, so it is not one of a trained run")
        self._pieces = {s.name: pieces(s) for s in domain.statements}
        self.slots = numeric_slots(domain)
        self._tokens = {t: self._tokenize(t) for ps in self._pieces.values() for p in ps if isinstance(p, Words) for t in p.texts}
        self.next_state, self.slot_at = self._automaton()

    def _tokenize(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        if self.tokenizer.unk_token_id in ids or self.num in ids:
            raise UserError(f"the tokenizer cannot write {text!r}")
        return ids

    def encode(self, scene: Scene) -> Encoded:
        """A scene's code in the order of its objects, closed by the end-of-sequence token."""
        ids: list[int] = []
        values: list[float] = []
        slots: list[int] = []
        for obj in scene.objects:
            for piece in self._pieces[obj.statement]:
                if isinstance(piece, Slot):
                    ids.append(self.num)
                    values.append(piece.normalise(piece.argument.as_tuple(obj[piece.argument.name])[piece.component]))
                    slots.append(self.slots.index(piece))
                else:
                    which = piece.names.index(obj[piece.argument]) if piece.argument else 0
                    tokens = self._tokens[piece.texts[which]]
                    ids += tokens
                    values += [0.0] * len(tokens)
                    slots += [-1] * len(tokens)
        return Encoded([*ids, self.end], [*values, 0.0], [*slots, -1])

    def decode(self, ids: list[int], values: list[float]) -> str:
        """The code that token ids spell, `[NUM]` replaced by its normalised value's meaning; one line per object, canonical in itself."""
        text, state = [], 0
        run: list[int] = []
        for token, value in zip(ids, values, strict=True):
            if token == self.end:
                break
            if token == self.num:
                slot = self.slots[self.slot_at[state]]
                text += [self.tokenizer.decode(run), _decimal(slot.denormalise(value))]
                run = []
            else:
                run.append(token)
            state = int(self.next_state[state, token])
        text.append(self.tokenizer.decode(run))
        scene = parse_code("".join(text), self.domain)
        return "".join(write_object(self.domain.canonical_object(obj), self.domain) + "\n" for obj in scene.objects)

    def _automaton(self) -> tuple[np.ndarray, np.ndarray]:
        table = _Table()
        for statement in self.domain.statements:
            state = 0
            steps = self._pieces[statement.name]
            for i, piece in enumerate(steps):
                target = 0 if i == len(steps) - 1 else table.new_state()
                if isinstance(piece, Slot):
                    table.link(state, [self.num], target)
                    table.slot_at[state] = self.slots.index(piece)
                else:
                    for text in piece.texts:
                        table.link(state, self._tokens[text], target)
                state = target
        ended = table.new_state()
        table.link(0, [self.end], ended)
        return table.arrays(len(self.tokenizer))


class _Table:
    """Transitions while they are collected; texts that begin alike share states, as in a trie."""

    def __init__(self) -> None:
        self.transitions: list[dict[int, int]] = [{}]
        self.slot_at: dict[int, int] = {}

    def new_state(self) -> int:
        self.transitions.append({})
        return len(self.transitions) - 1

    def link(self, state: int, tokens: list[int], target: int) -> None:
        for token in tokens[:-1]:
            if token not in self.transitions[state]:
                self.transitions[state][token] = self.new_state()
            state = self.transitions[state][token]
        self.transitions[state][tokens[-1]] = target

    def arrays(self, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
        next_state = np.full((len(self.transitions), vocabulary), DEAD, np.int32)
        for state, transitions in enumerate(self.transitions):
            for token, target in transitions.items():
                next_state[state, token] = target
        slot_at = np.full(len(self.transitions), -1, np.int32)
        for state, slot in self.slot_at.items():
            slot_at[state] = slot
        return next_state, slot_at


def _decimal(value: float) -> str:
    """A decimal that the grammar can hold, whatever an untrained head says."""
    return f"{min(max(value, -LARGEST), LARGEST):.6f}" if math.isfinite(value) else "0"


def choice_targets(obj: Object, domain: Domain) -> list[int]:
    """The index of each word of an object in its vocabulary, in declared order."""
    return [choice.words.index(obj[choice.name]) for choice in domain.statement(obj.statement).choices]
