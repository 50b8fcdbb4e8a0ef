"""Scenes as token sequences and back, and the grammar on token ids that decoding is held to.

Code is encoded piece by piece, the pieces being what the grammar can choose between: a run of fixed text, a word with the text before
it, a number. A number is `[NUM]`, its value beside it, or text digit by digit. So the automaton over token ids is exact for any
tokenizer, and tells which text the tokens write without asking the tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from datagen.code.grammar import parse_code, write_object
from datagen.code.statements import Argument, Choice, Language, Number, Statement
from datagen.domains.base import Domain
from datagen.domains.dialects import dialect
from datagen.errors import UserError
from datagen.scene import Object, Scene
from model.tokens.automaton import START, Arc, Automaton
from model.tokens.digits import CHARACTERS, link_decimals

NUM = "[NUM]"
LARGEST = 1e6
_ANCHOR = "\n"  # what a text is put behind to be cut: a tokenizer may put a space before what stands at the very beginning


@dataclass(frozen=True)
class Slot:
    """One numeric place of a statement: a component of a `Number`."""

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
    def _middle(self) -> float:
        return (self.high + self.low) / 2

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2

    @property
    def period(self) -> float:
        """In normalised units; 0 where values do not wrap."""
        return (self.argument.period or 0.0) / self._half

    @property
    def whole_digits(self) -> int:
        """The most digits before the decimal point that the declared range takes."""
        return max(len(self.written(abs(end)).partition(".")[0]) for end in (self.low, self.high))

    def value(self, obj: Object) -> float:
        """The number that an object has there."""
        return self.argument.as_tuple(obj[self.argument.name])[self.component]

    def normalise(self, value: float) -> float:
        """The declared range to [-1, 1]."""
        return (value - self._middle) / self._half

    def denormalise(self, value: float) -> float:
        """The inverse of `normalise`."""
        return value * self._half + self._middle

    @property
    def coordinate_count(self) -> int:
        """How many `coordinates` a value has."""
        return 2 if self.period else 1

    def coordinates(self, value: float) -> tuple[float, ...]:
        """A normalised value as a network reads it: where it has a period, sine and cosine of its phase, which do not jump as it does."""
        if not self.period:
            return (value,)
        phase = 2 * math.pi * value / self.period
        return math.sin(phase), math.cos(phase)

    def from_coordinates(self, coordinates: Sequence[float]) -> float:
        """The normalised value of coordinates, within half a period of 0 where it has one; need not lie on the circle."""
        return math.atan2(*coordinates) * self.period / (2 * math.pi) if self.period else coordinates[0]

    def written(self, value: float) -> str:
        """The decimal of the declared precision; one that the grammar can hold, whatever an untrained head says."""
        held = min(max(value, -LARGEST), LARGEST) if math.isfinite(value) else 0.0
        return f"{round(held, self.argument.decimals) + 0.0:.{self.argument.decimals}f}"  # + 0.0: no negative zero


@dataclass(frozen=True)
class Words:
    """A place where the grammar chooses one of an argument's words, behind a fixed text; without words, the fixed text alone."""

    before: str
    words: tuple[str, ...] = ()
    argument: str | None = None

    def text(self, word: str) -> str:
        """The text with that word, which may be a synonym of the declared one."""
        return f'{self.before}"{word}"'

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(map(self.text, self.words)) if self.argument else (self.before,)


Piece = Words | Slot


def pieces(statement: Statement, arguments: Sequence[Argument] | None = None) -> list[Piece]:
    """A statement as the sequence of places that a line of its code runs through, its arguments in declared or another order."""
    found: list[Piece] = []
    text = f"{statement.name}("
    for i, argument in enumerate(statement.arguments if arguments is None else arguments):
        text += f"{', ' if i else ''}{argument.name}="
        if isinstance(argument, Choice):
            found.append(Words(text, argument.words, argument.name))
            text = ""
            continue
        many = argument.components > 1
        text += "(" if many else ""
        for component in range(argument.components):
            found += [Words(text), Slot(statement.name, argument, component)]
            text = ", "
        text = ")" if many else ""
    return [*found, Words(text + ")\n")]


def code_texts(domain: Language) -> list[str]:
    """All that a domain's code is put together from, as a tokenizer is asked to cut it."""
    words = [text for statement in domain.statements for piece in pieces(statement) if isinstance(piece, Words) for text in piece.texts]
    return [*words, *(_ANCHOR + word for word in words), *CHARACTERS]


def word_texts(statement: Statement) -> list[str]:
    """The words of a statement's choices, each with what stands before it in code, in declared order."""
    return [text for piece in pieces(statement) if isinstance(piece, Words) and piece.argument for text in piece.texts]


def word_tokens(domain: Language, tokenizer: Any) -> list[int]:
    """The tokens of the words of all choices, in their order; none where statements differ, so that no cell has one set of words, or
    where the tokenizer cuts a word in pieces."""
    if len(domain.statements) != 1:
        return []
    found = [tokenizer.encode(text, add_special_tokens=False) for text in word_texts(domain.statements[0])]
    return [ids[0] for ids in found] if all(len(ids) == 1 for ids in found) else []


def numeric_slots(domain: Language) -> list[Slot]:
    """Every numeric place of a domain's statements, in declared order: what a slot's index counts."""
    return [piece for statement in domain.statements for piece in pieces(statement) if isinstance(piece, Slot)]


@dataclass(frozen=True)
class Style:
    """How code may be varied for training, by chance: keywords shuffled, a word exchanged for a synonym. Prediction is canonical."""

    rng: np.random.Generator
    shuffle: bool = False
    synonyms: bool = False

    def order(self, arguments: Sequence[Argument]) -> list[Argument]:
        """The arguments of one object in the order of its keywords."""
        places = self.rng.permutation(len(arguments)) if self.shuffle else range(len(arguments))
        return [arguments[i] for i in places]

    def word(self, word: str, synonyms: Mapping[str, tuple[str, ...]]) -> str:
        """The word or one of its synonyms, each as likely."""
        words = (word, *synonyms.get(word, ())) if self.synonyms else (word,)
        return words[self.rng.integers(len(words))]


@dataclass(frozen=True)
class Encoded:
    """Token ids; for each, the normalised value and the slot's index where it is `[NUM]`, else 0 and -1; the object it tells of, or -1."""

    ids: list[int]
    values: list[float]
    slots: list[int]
    objects: list[int]


class CodeCodec:
    """The code of one domain in the tokens of one tokenizer.

    ``rotations`` names the dialect that tokens spell (`datagen.domains.dialects`); scenes, and code that is decoded, are the domain's own.
    ``numbers`` says how a number is written: ``head``, as a `[NUM]` token whose value travels beside it (spelling it out is forbidden), or
    ``char``, character by character to the declared decimals. ``automaton`` is the grammar of a line from `START` to `START`, and ``table``
    its arrays, whose runs end at `START` and before numbers; in ``ended``, whose only token is the end-of-sequence token, all is said.
    ``slot_at`` (states,) holds the slot's index where `[NUM]` comes next, else -1. `UserError` for a tokenizer that cannot write the code.
    """

    def __init__(self, domain: Domain, tokenizer: Any, numbers: str = "head", rotations: str = "own") -> None:
        self.domain, self.dialect, self.tokenizer, self.numbers = domain, dialect(domain, rotations), tokenizer, numbers
        self.num, self.end = tokenizer.convert_tokens_to_ids(NUM), tokenizer.eos_token_id
        if self.end is None or (numbers == "head" and self.num in (None, tokenizer.unk_token_id)):
            raise UserError(f"the tokenizer has no {NUM} or no end-of-sequence token, so it is not one of a trained run")
        if self.end == self.num:
            raise UserError(f"the tokenizer ends texts with {NUM!r}, which stands for a number; another eos_token is needed")
        self._ids: dict[str, list[int]] = {}
        self._anchor = self._cut(_ANCHOR)
        self._pieces = {s.name: pieces(s) for s in self.dialect.statements}
        self.slots = numeric_slots(self.dialect)
        self._slot_index = {slot: i for i, slot in enumerate(self.slots)}
        self.automaton, self.ended, self.slot_at = self._grammar()
        self.table = self.automaton.table(stops=[START, *np.flatnonzero(self.slot_at >= 0)])

    @property
    def max_tokens(self) -> int:
        """The most tokens that the code of a scene can take, the end-of-sequence token included."""
        return self.domain.max_objects * self.automaton.longest_line() + 1

    def encode(self, scene: Scene, style: Style | None = None) -> Encoded:
        """A scene's code in the order of its objects, closed by the end-of-sequence token; canonical, or varied by a style.

        `UserError` for a number that ``char`` cannot write because it is too far outside its declared range.
        """
        ids: list[int] = []
        values: list[float] = []
        slots: list[int] = []
        objects: list[int] = []
        for number, obj in enumerate(map(self.dialect.said, scene.objects)):
            for piece in self._places(obj, style):
                if isinstance(piece, Slot) and self.numbers == "head":
                    ids.append(self.num)
                    values.append(piece.normalise(piece.value(obj)))
                    slots.append(self._slot_index[piece])
                    continue
                tokens = self._spelled(piece, obj) if isinstance(piece, Slot) else self._tokens(self._text(piece, obj, style))
                ids += tokens
                values += [0.0] * len(tokens)
                slots += [-1] * len(tokens)
            objects += [number] * (len(ids) - len(objects))
        return Encoded([*ids, self.end], [*values, 0.0], [*slots, -1], [*objects, -1])

    def decode(self, ids: Sequence[int], values: Sequence[float]) -> str:
        """The domain's code for what token ids spell, `[NUM]` replaced by its normalised value's meaning; one line per object, canonical in
        itself.

        The ids, up to the end-of-sequence token, are a path of the automaton.
        """
        text = []
        for (state, arc), value in zip(self._walk(ids), values, strict=False):
            slot = self.slot_at[state]
            text.append(arc.text if slot < 0 else self.slots[slot].written(self.slots[slot].denormalise(value)))
        scene = parse_code("".join(text), self.dialect)
        return "".join(write_object(self.dialect.meant(obj), self.domain) + "\n" for obj in scene.objects)

    def confidence(self, ids: Sequence[int], scores: Sequence[float]) -> list[float]:
        """For each statement that token ids spell, the exponential of the summed log-probabilities of its tokens, digits left out."""
        sums: list[float] = []
        for (state, arc), score in zip(self._walk(ids), scores, strict=False):
            if state == START:
                sums.append(0.0)
            sums[-1] += 0.0 if arc.in_number else score
        return [math.exp(score) for score in sums]

    @property
    def largest_token(self) -> int:
        """The largest id that code is written with."""
        return max(self.num, self.end, *(token for arcs in self.automaton.arcs for token in arcs))

    def _walk(self, ids: Sequence[int]) -> Iterator[tuple[int, Arc]]:
        """The states that token ids go through, each with the arc that is taken there, up to the end-of-sequence token."""
        state = START
        for token in ids:
            if token == self.end:
                return
            arc = self.automaton.arcs[state][token]
            yield state, arc
            state = arc.target

    def _places(self, obj: Object, style: Style | None) -> list[Piece]:
        if style is None:
            return self._pieces[obj.statement]
        statement = self.dialect.statement(obj.statement)
        return pieces(statement, style.order(statement.arguments))

    def _text(self, piece: Words, obj: Object, style: Style | None) -> str:
        if piece.argument is None:
            return piece.before
        word = obj[piece.argument]
        return piece.text(word if style is None else style.word(word, self.domain.synonyms))

    def _spelled(self, slot: Slot, obj: Object) -> list[int]:
        """A number of an object, character by character."""
        text = slot.written(slot.value(obj))
        sign, digits = text.startswith("-"), text.removeprefix("-").partition(".")[0]
        if len(digits) > slot.whole_digits or (sign and slot.low >= 0):
            name, low, high = slot.argument.name, slot.low, slot.high
            raise UserError(f"{name} {text} is outside the declared [{low:g}, {high:g}] and cannot be spelled; mend the data")
        return [token for character in text for token in self._tokens(character)]

    def _tokens(self, text: str) -> list[int]:
        """The token ids of a text, as they are in the middle of code."""
        if text not in self._ids:
            after = self._cut(_ANCHOR + text)
            anchored = after[: len(self._anchor)] == self._anchor
            ids = after[len(self._anchor) :] if anchored else self._cut(text)
            if not ids or self.tokenizer.unk_token_id in ids or self.num in ids:
                raise UserError(f"the tokenizer cannot write {text!r}; choose a language model whose tokenizer can")
            if self.end in ids:
                told = f"the tokenizer ends texts with {self.tokenizer.eos_token!r}, which {text!r} has too"
                raise UserError(f"{told}; another eos_token is needed")
            self._ids[text] = ids
        return self._ids[text]

    def _cut(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _grammar(self) -> tuple[Automaton, int, np.ndarray]:
        """The automaton, built from the end of each statement to its beginning; its last state; and `slot_at`."""
        automaton = Automaton()
        ended = automaton.new_state()
        slot_at: dict[int, int] = {}
        for state in (START, ended):
            automaton.link(state, [self.end], ended, "")
        for places in self._pieces.values():
            target = START
            for i, piece in reversed(list(enumerate(places))):
                state = START if i == 0 else automaton.new_state()
                if isinstance(piece, Words):
                    follow = partial(self._link_words, automaton, piece, target)  # used where digits, to the left, need it
                    follow(state)
                elif self.numbers == "head":
                    automaton.link(state, [self.num], target, "")
                    slot_at[state] = self._slot_index[piece]
                else:
                    link_decimals(
                        automaton,
                        state,
                        target,
                        tokens=self._tokens,
                        follow=follow,
                        signed=piece.low < 0,
                        whole_digits=piece.whole_digits,
                        decimals=piece.argument.decimals,
                    )
                target = state
        return automaton, ended, np.array([slot_at.get(state, -1) for state in range(len(automaton.arcs))])

    def _link_words(self, automaton: Automaton, piece: Words, target: int, state: int) -> None:
        for text in piece.texts:
            automaton.link(state, self._tokens(text), target, text)


def choice_targets(obj: Object, domain: Language) -> list[int]:
    """The index of each word of an object in its vocabulary, in declared order."""
    return [choice.words.index(obj[choice.name]) for choice in domain.statement(obj.statement).choices]
