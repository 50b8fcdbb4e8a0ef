"""Decoding: batched, with the key-value cache, and held to the grammar, so that what the model says always parses.

A text's log-likelihood is the sum, over its tokens, of their log-probability among what the grammar allows. A number that the numeric head
gives is its value, the likeliest where it weighs several, given the text before it, and adds nothing. So texts with the same words have
the same numbers, and candidates differ in their words and how many objects they name. Numbers written digit by digit are tokens like any
other.

Where coverage (`model.coverage`) closes some of the values that a head weighs, the likeliest of the others is said, and adds the logarithm
of their weight in all: how sure the model is of any place that an object can have. Where all are closed there is no such object, and the
text ends before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import compress
from types import SimpleNamespace

import torch
from transformers import DynamicCache

from datagen.code.predictions import Candidate
from datagen.errors import UserError
from model.coverage import Coverage
from model.igllm import IGLLM
from model.parts.cell_head import Cells
from model.prediction.decoding import Decoding
from model.tokens.automaton import START
from model.tokens.codec import CodeCodec

GREEDY = Decoding()


@dataclass(frozen=True)
class Decoded:
    """The code of one image and, per statement, a confidence in [0, 1]; all ``candidates`` for it, best first, which it heads.

    An object's confidence is the probability, among what the grammar allowed, that there is one more object, times that of each of its
    words, times the weight of what coverage left open to its place.
    """

    code: str
    confidence: tuple[float, ...]
    candidates: tuple[Candidate, ...]


@torch.inference_mode()
def decode(
    model: IGLLM,
    codec: CodeCodec,
    pixel_values: torch.Tensor,
    prompt: list[int],
    *,
    decoding: Decoding = GREEDY,
    keys: Sequence[str] | None = None,
) -> list[Decoded]:
    """The code of each of a batch of images (batch, 3, height, width), in evaluation mode.

    ``keys`` name the images; draws depend on them (by default on the place in the batch). `UserError` if the model says NaN.
    """
    model.eval()
    work = _Work(model, codec, decoding, keys or [str(i) for i in range(len(pixel_values))])
    work.see(pixel_values, prompt)
    while work.images:
        work.say()
        ended, forced = work.look()
        if 2 * sum(ended) >= len(ended):  # seldom enough to cost little, often enough that what has ended costs little
            work.set_aside(ended)
        if work.images:
            work.listen(forced)
    return [work.decoded[i] for i in range(len(pixel_values))]


@dataclass
class _Texts:
    """The texts that are being written, a row each, those of one image next to each other.

    ``hidden`` (rows, width) is the state that predicts the next token; ``state`` that of the automaton; ``statements`` counts those begun;
    ``likelihood`` is the logarithm of it. Of the tokens so far there are id, normalised value and log-probability in ``tokens``, ``values``
    and ``scores`` (rows, most); ``chances`` has a draw for each. ``numbers`` (rows, slots) holds the latest of each slot and ``last`` the
    slot that spoke last, -1 for none. ``begin`` is where the latest statement begins, and ``without`` the logarithm of the likelihood of
    the text that ends there. ``named`` and ``shown`` are as `Coverage` has them.
    """

    hidden: torch.Tensor
    state: torch.Tensor
    statements: torch.Tensor
    likelihood: torch.Tensor
    tokens: torch.Tensor
    values: torch.Tensor
    scores: torch.Tensor
    numbers: torch.Tensor
    last: torch.Tensor
    chances: torch.Tensor
    begin: torch.Tensor
    without: torch.Tensor
    named: torch.Tensor
    shown: torch.Tensor

    def at(self, rows: torch.Tensor) -> _Texts:
        """Those of some rows, in that order."""
        return _Texts(*(getattr(self, field.name)[rows] for field in fields(self)))


class _Work:
    """A batch while it is decoded: the ``images`` still at work, and what was ``decoded`` of the others."""

    def __init__(self, model: IGLLM, codec: CodeCodec, decoding: Decoding, keys: Sequence[str]) -> None:
        self.model, self.codec, self.decoding, self.device = model, codec, decoding, model.device
        self.images, self.decoded, self.said = list(range(len(keys))), dict[int, Decoded](), 0
        arrays = {**vars(codec.table), "slot_at": codec.slot_at}
        self.grammar = SimpleNamespace(**{name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()})
        self.every_slot = torch.arange(len(codec.slots), device=self.device)
        self.no_more = codec.table.tokens[START].tolist().index(codec.end)
        self.together = None if model.number_feedback is None else model.number_feedback.together(self.device)
        self.cache = DynamicCache()  # of all that was: what a model looks back at is its mask's to say, as in training
        self.chances = decoding.chances(keys, codec.max_tokens).to(self.device)

    def see(self, pixel_values: torch.Tensor, prompt: list[int]) -> None:
        """What comes before the code."""
        ids = torch.tensor(prompt, device=self.device).expand(len(pixel_values), -1)
        visual = self.model.see(pixel_values)
        hidden = self._think(torch.cat([self.model.after_prefix(visual), self.model.embed(ids, None, None)], dim=1))
        self.cells = self.model.cells(visual)
        self.coverage = None if self.cells is None else Coverage.of(self.codec.domain, self.codec.slots, self.device)
        if self.decoding.lanes > 1:
            self.cache.batch_repeat_interleave(self.decoding.lanes)
        self.texts = self._begun(hidden.repeat_interleave(self.decoding.lanes, 0))

    def _begun(self, hidden: torch.Tensor) -> _Texts:
        rows, most = self.chances.shape
        count = torch.zeros(rows, dtype=torch.long, device=self.device)
        likelihood = torch.zeros(rows, device=self.device)
        if self.decoding.beams > 1:
            likelihood.view(-1, self.decoding.beams)[:, 1:] = -torch.inf  # a search begins with one text
        column = torch.zeros(rows, most, device=self.device)
        numbers = torch.zeros(rows, len(self.codec.slots), device=self.device)
        tokens = torch.full((rows, most), self.codec.end, device=self.device)
        if self.coverage is None:
            named = shown = column[:, :0]
        else:
            named, shown = self.coverage.nothing_named(rows, self.codec.domain.max_objects)
        return _Texts(
            hidden=hidden,
            state=count + START,
            statements=count,
            likelihood=likelihood,
            tokens=tokens,
            values=column,
            scores=column.clone(),
            numbers=numbers,
            last=count - 1,
            chances=self.chances,
            begin=count,
            without=likelihood,
            named=named,
            shown=shown,
        )

    def _think(self, embedded: torch.Tensor) -> torch.Tensor:
        return self.model.think(embedded, past_key_values=self.cache, use_cache=True).last_hidden_state[:, -1]

    def say(self) -> None:
        """One token of every text."""
        texts = self.texts
        full = (texts.state == START) & (texts.statements >= self.codec.domain.max_objects)
        texts.state = texts.state.masked_fill(full, self.codec.ended)
        images = torch.arange(len(texts.hidden), device=self.device) // self.decoding.lanes
        cells = None if self.cells is None else self.cells.at(images)
        logits = self.model.token_logits(texts.hidden[:, None], cells)[:, 0].gather(-1, self.grammar.tokens[texts.state]).float()
        log_probability = logits.masked_fill(~self.grammar.allowed[texts.state], -torch.inf).log_softmax(-1)
        rows, option = self.decoding.choose(log_probability, texts.likelihood, texts.chances[:, self.said])
        if rows is not None:
            texts, log_probability = texts.at(rows), log_probability[rows]
            self.cache.reorder_cache(rows)
        state, score = texts.state, log_probability.gather(-1, option[:, None])[:, 0]
        texts.begin = torch.where(state == START, self.said, texts.begin)
        texts.without = torch.where(state == START, texts.likelihood + log_probability[:, self.no_more], texts.without)
        texts.tokens[:, self.said] = self.grammar.tokens[state, option]
        texts.scores[:, self.said] = score
        texts.likelihood = texts.likelihood + score
        texts.statements = texts.statements + (state == START)
        texts.state = self.grammar.targets[state, option]
        if self.model.numeric_head is not None:
            self._say_number(texts, self.grammar.slot_at[state], images, cells)
        self.texts, self.said = texts, self.said + 1

    def _say_number(self, texts: _Texts, slot: torch.Tensor, images: torch.Tensor, cells: Cells | None) -> None:
        """The value of the token that is being said, where it is a number, of a slot (rows,), else -1."""
        if cells is None or self.cells is None:
            assert self.model.numeric_head is not None
            value = self.model.numeric_head(texts.hidden).float()
        else:
            mixture = self.model.mixture(texts.hidden, slot.clamp(min=0), images, self.cells)
            if self.coverage is not None:
                of_texts = {"numbers": texts.numbers, "named": texts.named, "shown": texts.shown}
                mixture = mixture.among(self.coverage.open(mixture, slot, cells, **of_texts))
            option, value = mixture.likeliest()
            value = value.float()
        texts.values[:, self.said] = value
        texts.numbers = torch.where(slot[:, None] == self.every_slot, value[:, None], texts.numbers)
        texts.last = torch.where(slot >= 0, slot, texts.last)
        if cells is not None and self.coverage is not None:
            texts.shown = self.coverage.showing(slot, option, cells, texts.shown)
            texts.named = self.coverage.naming(slot, texts.numbers, texts.statements, texts.named)
            self._weigh(texts, torch.where(slot >= 0, mixture.weights.logsumexp(-1), 0.0))

    def _weigh(self, texts: _Texts, score: torch.Tensor) -> None:
        """Add the logarithm of what is open to the number that is being said; a text in which nothing is ends before this object."""
        closed = score.isneginf()
        texts.scores[:, self.said] += score
        texts.likelihood = torch.where(closed, texts.without, texts.likelihood + score)
        texts.state = texts.state.masked_fill(closed, self.codec.ended)
        within = torch.arange(texts.tokens.shape[1], device=self.device) >= texts.begin[:, None]
        texts.tokens = texts.tokens.masked_fill(closed[:, None] & within, self.codec.end)

    def listen(self, forced: int) -> None:
        """What the model makes of the token just said, and of so many more that the grammar forces every text to say."""
        texts, begin = self.texts, self.said - 1
        texts.tokens[:, self.said : self.said + forced] = self.grammar.run_tokens[texts.state, :forced]
        texts.state = self.grammar.run_states[texts.state, forced]
        self.said += forced
        embedded = self.model.embed(texts.tokens[:, begin : self.said], None, None)
        if self.model.number_feedback is not None and self.together is not None:
            said = self.together[texts.last]
            embedded = embedded + self.model.number_feedback.embedded(texts.numbers, said)[:, None].to(embedded.dtype)
        texts.hidden = self._think(embedded)

    def look(self) -> tuple[list[int], int]:
        """Of which images all texts have ended (1, else 0), and how many tokens the grammar now forces every text to say.

        All that a step has to fetch from the device.
        """
        texts = self.texts
        ended = (texts.state == self.codec.ended) | texts.likelihood.isneginf()  # the latter a search has no use for
        forced = self.grammar.run_length[texts.state].min()
        *of_images, run = torch.cat([ended.view(-1, self.decoding.lanes).all(1), forced[None]]).tolist()
        return of_images, run

    def set_aside(self, ended: list[int]) -> None:
        """Take the images that have ended out of the batch."""
        lanes = self.decoding.lanes
        mask = torch.tensor(ended, dtype=torch.bool, device=self.device).repeat_interleave(lanes)
        done = self.texts.at(mask.nonzero()[:, 0])
        columns = (column[:, : self.said].tolist() for column in (done.tokens, done.values, done.scores))
        rows = list(zip(done.likelihood.tolist(), *columns, strict=True))
        for place, image in enumerate(compress(self.images, ended)):
            self.decoded[image] = self._decoded(rows[place * lanes : (place + 1) * lanes])
        self.images = [image for image, over in zip(self.images, ended, strict=True) if not over]
        left = (~mask).nonzero()[:, 0]
        self.texts = self.texts.at(left)
        if self.cells is not None:
            self.cells = self.cells.at((1 - torch.tensor(ended, device=self.device)).nonzero()[:, 0])
        self.cache.batch_select_indices(left)

    def _decoded(self, rows: list[tuple[float, list[int], list[float], list[float]]]) -> Decoded:
        """The texts of one image: log-likelihood, tokens, values and scores of each."""
        if any(math.isnan(likelihood) for likelihood, *_ in rows):
            name = self.model.config.name_or_path or "the model"
            raise UserError(f"{name}: its output is not a number: its weights are damaged, or its training went astray")
        rows = sorted((row for row in rows if row[0] > -math.inf), key=lambda row: -row[0])
        codes = [self.codec.decode(tokens, values) for _, tokens, values, _ in rows]
        candidates = [Candidate(code, round(row[0], 6)) for code, row in zip(codes, rows, strict=True)]
        if self.decoding.beams > 1:  # digits of a rotation that cannot be seen make texts differ, not codes
            candidates = [c for i, c in enumerate(candidates) if c.code not in codes[:i]]
        confidence = self.codec.confidence(rows[0][1], rows[0][3])
        return Decoded(codes[0], tuple(round(c, 6) for c in confidence), tuple(candidates[: self.decoding.samples]))
