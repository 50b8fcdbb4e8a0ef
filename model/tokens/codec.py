"""Scenes as token sequences and back, and the grammar over token ids that decoding is held to.

Code is tokenized piece by piece. A piece is fixed text, a word with the fixed text before it, or a number, which is either `[NUM]` with its
value beside it, or text digit by digit. So the automaton over token ids is exact for any tokenizer, and its arcs hold the tokens' text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from datagen.code.grammar import parse_code, write_object
from datagen.code.statements import Argument
from datagen.domains.base import Domain
from datagen.domains.dialects import dialect
from datagen.errors import UserError
from datagen.scene import Object, Scene
from model.tokens.automaton import START, Arc, Automaton
from model.tokens.digits import link_decimals
from model.tokens.pieces import ANCHOR, Piece, Slot, Words, header_pieces, numeric_slots, pieces

NUM = "[NUM]"


@dataclass(frozen=True)
class Style:
    """How code is varied at random in training: keywords shuffled, words replaced by synonyms."""

    rng: np.random.Generator
    shuffle: bool = False
    synonyms: bool = False

    def order(self, arguments: Sequence[Argument]) -> list[Argument]:
        """The arguments of a statement in the order in which one object has them."""
        order = self.rng.permutation(len(arguments)) if self.shuffle else range(len(arguments))
        return [arguments[i] for i in order]

    def word(self, word: str, synonyms: Mapping[str, tuple[str, ...]]) -> str:
        """The word or one of its synonyms, all equally likely."""
        words = (word, *synonyms.get(word, ())) if self.synonyms else (word,)
        return words[self.rng.integers(len(words))]


@dataclass(frozen=True)
class Encoded:
    """A text's token ids and, for each token, the normalised value and the slot's index of a `[NUM]`, else 0 and -1; and the index of the
    object that the token describes, -1 for none. A value that is not known is NaN."""

    ids: list[int]
    values: list[float]
    slots: list[int]
    objects: list[int]


class CodeCodec:
    """The code of one domain in the tokens of one tokenizer.

    ``rotations``, ``places`` and ``header`` choose the dialect of the tokens (`datagen.domains.dialects.dialect`); decoded code is in the
    domain's own. ``numbers`` is how a number is written: ``head``, as a `[NUM]` token with its value beside it and never as text, or
    ``char``, character by character to the declared decimals.

    ``automaton`` is the grammar of a text, which starts at ``begin``: the lines of the header, then, from `START` to `START`, those of the
    objects. ``table`` holds its arrays, whose runs end at `START` and before numbers. ``ended`` is the state of a complete text, which only
    the end-of-sequence token continues. ``slot_at`` (states,) is the slot's index where `[NUM]` comes next, else -1. `UserError` for a
    tokenizer that cannot write the code.
    """

    def __init__(
        self, domain: Domain, tokenizer: Any, numbers: str = "head", rotations: str = "own", *, places: str = "world", header: bool = False
    ) -> None:
        self.domain, self.tokenizer, self.numbers = domain, tokenizer, numbers
        self.dialect = dialect(domain, rotations, places, header)
        self.num, self.end = tokenizer.convert_tokens_to_ids(NUM), tokenizer.eos_token_id
        if self.end is None or (numbers == "head" and self.num in (None, tokenizer.unk_token_id)):
            raise UserError(f"the tokenizer has no {NUM} or no end-of-sequence token, so it is not one of a trained run")
        if self.end == self.num:
            raise UserError(f"the tokenizer ends texts with {NUM!r}, which stands for a number; another eos_token is needed")
        self._ids: dict[str, list[int]] = {}
        self._anchor = self._tokenized(ANCHOR)
        self._pieces = {s.name: pieces(s) for s in self.dialect.statements}
        self._header = header_pieces(self.dialect)
        words = [piece for line in self._pieces.values() for piece in line if isinstance(piece, Words)]
        self._argument_of = {text: piece.argument for piece in words if piece.argument for text in piece.texts}
        self.slots = numeric_slots(self.dialect)
        self._slot_index = {slot: i for i, slot in enumerate(self.slots)}
        self.automaton, self.begin, self.ended, self.slot_at = self._grammar()
        self.table = self.automaton.table(stops=[START, *np.flatnonzero(self.slot_at >= 0)])

    @property
    def max_tokens(self) -> int:
        """The most tokens that the code of a scene can take, the end-of-sequence token included."""
        return self.automaton.longest(self.begin) + self.domain.max_objects * self.automaton.longest(START) + 1

    def encode(self, scene: Scene, style: Style | None = None) -> Encoded:
        """The code of the domain's scene in the order of its objects, with the end-of-sequence token; canonical, or varied by a style.

        `UserError` for a number that ``char`` cannot write because it is too far outside its declared range, and for a scene without the
        header that the code needs.
        """
        return self.encode_written(self.dialect.written(scene), style)

    def encode_written(self, scene: Scene, style: Style | None = None) -> Encoded:
        """As `encode`, of a scene in the dialect of this codec."""
        ids: list[int] = []
        values: list[float] = []
        slots: list[int] = []
        objects: list[int] = []
        lines = [(-1, obj, self._header[self.dialect.statement(obj.statement).key(obj)]) for obj in scene.header]
        lines += [(number, obj, self._pieces_of(obj, style)) for number, obj in enumerate(scene.objects)]
        for number, obj, line in lines:
            for piece in line:
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
        """The domain's code for token ids, a canonical line per object; ``values``, one a token, are normalised and used for `[NUM]` alone.

        Up to the end-of-sequence token, the ids must be a path of the automaton.
        """
        text = []
        for (state, arc), value in zip(self._walk(ids), values, strict=False):
            slot = self.slot_at[state]
            text.append(arc.text if slot < 0 else self.slots[slot].text(self.slots[slot].denormalise(value)))
        meant = self.dialect.meant(parse_code("".join(text), self.dialect))
        return "".join(write_object(obj, self.domain) + "\n" for obj in (*meant.header, *meant.objects))

    def confidence(self, ids: Sequence[int], scores: Sequence[float]) -> list[float]:
        """For each object of a text, the exponential of the sum of its tokens' log-probabilities (``scores``), digits left out."""
        sums: list[float] = []
        for (state, arc), score in zip(self._walk(ids), scores, strict=False):
            if state == START:
                sums.append(0.0)
            if sums:
                sums[-1] += 0.0 if arc.in_number else score
        return [math.exp(score) for score in sums]

    def word_scores(self, ids: Sequence[int], scores: Sequence[float]) -> list[dict[str, float]]:
        """For each object of a text, the sum of the log-probabilities (``scores``) of each of its words' tokens, by argument. A word
        that begins its statement has that of the statement's beginning, too."""
        found: list[dict[str, float]] = []
        since = 0.0  # the sum since the last complete piece
        for (state, arc), score in zip(self._walk(ids), scores, strict=False):
            if state == START:
                found.append({})
            written = arc.in_number or self.slot_at[state] >= 0
            since = 0.0 if written else since + score
            if arc.text and not written:
                if found and (argument := self._argument_of.get(arc.text)) is not None:
                    found[-1][argument] = since
                since = 0.0
        return found

    @property
    def largest_token(self) -> int:
        """The largest token id that code is written with."""
        return max(self.num, self.end, *(token for arcs in self.automaton.arcs for token in arcs))

    def _walk(self, ids: Sequence[int]) -> Iterator[tuple[int, Arc]]:
        """The states on the path of token ids, each with the arc that leaves it, up to the end-of-sequence token."""
        state = self.begin
        for token in ids:
            if token == self.end:
                return
            arc = self.automaton.arcs[state][token]
            yield state, arc
            state = arc.target

    def _pieces_of(self, obj: Object, style: Style | None) -> list[Piece]:
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
        """The tokens of an object's number, character by character."""
        text = slot.text(slot.value(obj))
        sign, digits = text.startswith("-"), text.removeprefix("-").partition(".")[0]
        if len(digits) > slot.whole_digits or (sign and slot.low >= 0):
            name, low, high = slot.argument.name, slot.low, slot.high
            raise UserError(f"{name} {text} is outside the declared [{low:g}, {high:g}] and cannot be spelled; mend the data")
        return [token for character in text for token in self._tokens(character)]

    def _tokens(self, text: str) -> list[int]:
        """The token ids of a text in the middle of code."""
        if text not in self._ids:
            after = self._tokenized(ANCHOR + text)
            anchored = after[: len(self._anchor)] == self._anchor
            ids = after[len(self._anchor) :] if anchored else self._tokenized(text)
            if not ids or self.tokenizer.unk_token_id in ids or self.num in ids:
                raise UserError(f"the tokenizer cannot write {text!r}; choose a language model whose tokenizer can")
            if self.end in ids:
                eos = self.tokenizer.eos_token
                raise UserError(f"the tokenizer ends texts with {eos!r}, which {text!r} has too; another eos_token is needed")
            self._ids[text] = ids
        return self._ids[text]

    def _tokenized(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _grammar(self) -> tuple[Automaton, int, int, np.ndarray]:
        """The automaton, built from the end of each line to its beginning; `begin`; `ended`; and `slot_at`."""
        automaton = Automaton()
        ended = automaton.new_state()
        slot_at: dict[int, int] = {}
        for state in (START, ended):
            automaton.link(state, [self.end], ended, "")
        begin = START
        lines = [(line, START) for line in self._pieces.values()]
        for line, first in (*lines, *((line, None) for line in reversed(self._header.values()))):
            target = START if first is not None else begin
            for i, piece in reversed(list(enumerate(line))):
                state = first if i == 0 and first is not None else automaton.new_state()
                if isinstance(piece, Words):
                    follow = partial(self._link_words, automaton, piece, target)  # a preceding number without decimals calls it
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
            begin = begin if first is not None else target
        return automaton, begin, ended, np.array([slot_at.get(state, -1) for state in range(len(automaton.arcs))])

    def _link_words(self, automaton: Automaton, piece: Words, target: int, state: int) -> None:
        for text in piece.texts:
            automaton.link(state, self._tokens(text), target, text)
