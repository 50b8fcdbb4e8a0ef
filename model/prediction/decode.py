"""Decoding: batched, with a key-value cache, and held to the grammar, so that every text parses.

A text's log-likelihood is the sum, over its tokens, of their log-probability among the tokens that the grammar allows. A number of the
numeric head is a function of the text before it (where the head weighs several values, the likeliest), and adds nothing. So texts with
the same words have the same numbers, and candidates differ in their words and in how many objects they have. Numbers written digit by
digit are tokens like any other.

Where `model.coverage` rules out some of the values that a head weighs, the likeliest of the others is chosen, and the logarithm of their
total weight, the probability that the object's place is a possible one, is added. Where all values are ruled out, there is no such
object, and the text ends before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import compress
from types import SimpleNamespace
from typing import NamedTuple

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


class Text(NamedTuple):
    """A text that was written: its ``log_likelihood``, and for each token its id, its normalised value, its log-probability and its
    ``spread``: the mean absolute deviation, in normalised units, of the distribution that the value was chosen from; 0 where there is
    none."""

    log_likelihood: float
    tokens: list[int]
    values: list[float]
    scores: list[float]
    spreads: list[float]


@dataclass(frozen=True)
class Decoded:
    """The code of one image and a confidence in [0, 1] for each of its statements; ``candidates``, best first, begin with that code.

    An object's confidence is the probability, among what the grammar allowed, that there is one more object, times that of each of its
    words, times the weight of the values that coverage allowed for its place. ``text`` is what the code was decoded from. ``look`` has the
    means of the image's visual tokens, channel by channel, then their deviations.
    """

    code: str
    confidence: tuple[float, ...]
    candidates: tuple[Candidate, ...]
    text: Text
    look: tuple[float, ...]


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
    """The code of each image of a batch (batch, 3, height, width); sets evaluation mode. ``prompt`` holds the token ids after the image.

    Random draws depend on ``keys``, the images' names (by default their places in the batch). `UserError` if the model's output is NaN.
    """
    model.eval()
    writer = _TextWriter(model, codec, decoding, keys or [str(i) for i in range(len(pixel_values))])
    writer.begin(pixel_values, prompt)
    while writer.images:
        writer.write_token()
        ended, forced = writer.fetch_progress()
        if 2 * sum(ended) >= len(ended):  # seldom enough that removal costs little, often enough that ended texts do
            writer.remove(ended)
        if writer.images:
            writer.read_written(forced)
    return [writer.decoded[i] for i in range(len(pixel_values))]


@dataclass
class _Texts:
    """The texts that are being written, a row each; those of one image are next to each other.

    ``hidden`` (rows, width) is the state that predicts the next token. ``state`` (rows,) is the automaton's, ``statements`` (rows,) the
    number of statements begun, ``log_likelihood`` (rows,) that of the text.
    ``tokens``, ``values``, ``scores`` and ``spreads`` (rows, most tokens) hold what `Text` has of each token; ``draws`` of the same shape
    has the random draw for each. ``numbers`` (rows, slots) holds the latest number of each slot, and ``last_slot`` (rows,) the slot of the
    latest number, -1 for none. ``begin`` (rows,) is where the latest statement begins, and ``shorter`` (rows,) the log-likelihood of the
    text that ends there. ``placed`` and ``cell_place`` are as in `Coverage`.
    """

    hidden: torch.Tensor
    state: torch.Tensor
    statements: torch.Tensor
    log_likelihood: torch.Tensor
    tokens: torch.Tensor
    values: torch.Tensor
    scores: torch.Tensor
    spreads: torch.Tensor
    numbers: torch.Tensor
    last_slot: torch.Tensor
    draws: torch.Tensor
    begin: torch.Tensor
    shorter: torch.Tensor
    placed: torch.Tensor
    cell_place: torch.Tensor

    def select(self, rows: torch.Tensor) -> _Texts:
        """Some of the texts, in that order."""
        return _Texts(*(getattr(self, field.name)[rows] for field in fields(self)))


class _TextWriter:
    """Writes the texts of a batch. ``images`` are those whose texts have not ended, by number; ``decoded`` holds the code of the others.

    ``length`` is the number of tokens that every text has. A step is `write_token`, `fetch_progress`, perhaps `remove`, `read_written`.
    """

    def __init__(self, model: IGLLM, codec: CodeCodec, decoding: Decoding, keys: Sequence[str]) -> None:
        self.model, self.codec, self.decoding, self.device = model, codec, decoding, model.device
        self.images, self.decoded, self.length = list(range(len(keys))), dict[int, Decoded](), 0
        arrays = {**vars(codec.table), "slot_at": codec.slot_at}
        self.grammar = SimpleNamespace(**{name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()})
        self.every_slot = torch.arange(len(codec.slots), device=self.device)
        self.end_option = codec.table.tokens[START].tolist().index(codec.end)
        self.together = None if model.number_feedback is None else model.number_feedback.together(self.device)
        # This cache keeps all tokens, even if the configuration has an attention window: the mask alone limits attention, as in training.
        self.cache = DynamicCache()
        self.draws = decoding.draws(keys, codec.max_tokens).to(self.device)

    def begin(self, pixel_values: torch.Tensor, prompt: list[int]) -> None:
        """Read images and prompt, and begin the texts."""
        ids = torch.tensor(prompt, device=self.device).expand(len(pixel_values), -1)
        seen = self.model.see(pixel_values)
        self.looks = torch.cat([seen.visual.float().mean(1), seen.visual.float().std(1, correction=0)], 1).tolist()
        hidden = self._read(torch.cat([self.model.prepend_prefix(seen.visual), self.model.embed(ids, None, None)], dim=1))
        self.cells = self.model.read_cells(seen)
        self.coverage = None if self.cells is None else Coverage.of(self.codec.dialect, self.codec.slots, self.device)
        if self.decoding.texts_per_image > 1:
            self.cache.batch_repeat_interleave(self.decoding.texts_per_image)
        self.texts = self._empty_texts(hidden.repeat_interleave(self.decoding.texts_per_image, 0))

    def _empty_texts(self, hidden: torch.Tensor) -> _Texts:
        rows, most = self.draws.shape
        count = torch.zeros(rows, dtype=torch.long, device=self.device)
        log_likelihood = torch.zeros(rows, device=self.device)
        if self.decoding.beams > 1:
            log_likelihood.view(-1, self.decoding.beams)[:, 1:] = -torch.inf  # a beam search begins with one text
        column = torch.zeros(rows, most, device=self.device)
        if self.coverage is None:
            placed = cell_place = column[:, :0]
        else:
            placed, cell_place = self.coverage.nothing_placed(rows, self.codec.domain.max_objects)
        return _Texts(
            hidden=hidden,
            state=count + self.codec.begin,
            statements=count,
            log_likelihood=log_likelihood,
            tokens=torch.full((rows, most), self.codec.end, device=self.device),
            values=column,
            scores=column.clone(),
            spreads=column.clone(),
            numbers=torch.zeros(rows, len(self.codec.slots), device=self.device),
            last_slot=count - 1,
            draws=self.draws,
            begin=count,
            shorter=log_likelihood,
            placed=placed,
            cell_place=cell_place,
        )

    def _read(self, embedded: torch.Tensor) -> torch.Tensor:
        """Run the language model on embedded tokens (rows, length, width); the hidden state of the last one (rows, width).

        It is contiguous: torch multiplies a strided state by the output embedding row by row, on a CPU in bfloat16 40 times as slowly.
        """
        return self.model.run_decoder(embedded, past_key_values=self.cache, use_cache=True).last_hidden_state[:, -1].contiguous()

    def write_token(self) -> None:
        """Append a token to every text, and its value where it is a number."""
        self._end_full_texts()
        images = torch.arange(len(self.texts.hidden), device=self.device) // self.decoding.texts_per_image
        cells = None if self.cells is None else self.cells.select(images)
        option, log_probability = self._choose(self._log_probability(cells))
        slot = self.grammar.slot_at[self.texts.state]
        self._append(option, log_probability)
        if self.model.numeric_head is not None:
            self._append_value(slot, images, cells)
        self.length += 1

    def _end_full_texts(self) -> None:
        """Allow only the end-of-sequence token in texts that have as many objects as the domain allows."""
        texts = self.texts
        full = (texts.state == START) & (texts.statements >= self.codec.domain.max_objects)
        texts.state = texts.state.masked_fill(full, self.codec.ended)

    def _log_probability(self, cells: Cells | None) -> torch.Tensor:
        """(rows, options) the log-probabilities of the tokens that the grammar allows next."""
        state = self.texts.state
        logits = self.model.token_logits(self.texts.hidden[:, None], cells)[:, 0].gather(-1, self.grammar.tokens[state]).float()
        return logits.masked_fill(~self.grammar.allowed[state], -torch.inf).log_softmax(-1)

    def _choose(self, log_probability: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The option of each text, and the log-probabilities of all. A beam search may replace texts by copies of others of their image."""
        texts = self.texts
        rows, option = self.decoding.choose(log_probability, texts.log_likelihood, texts.draws[:, self.length])
        if rows is not None:
            self.texts, log_probability = texts.select(rows), log_probability[rows]
            self.cache.reorder_cache(rows)
        return option, log_probability

    def _append(self, option: torch.Tensor, log_probability: torch.Tensor) -> None:
        """Append to each text the token of its chosen ``option`` (rows,). ``log_probability`` (rows, options) is of all options."""
        texts, state = self.texts, self.texts.state
        score = log_probability.gather(-1, option[:, None])[:, 0]
        texts.begin = torch.where(state == START, self.length, texts.begin)
        texts.shorter = torch.where(state == START, texts.log_likelihood + log_probability[:, self.end_option], texts.shorter)
        texts.tokens[:, self.length] = self.grammar.tokens[state, option]
        texts.scores[:, self.length] = score
        texts.log_likelihood = texts.log_likelihood + score
        texts.statements = texts.statements + (state == START)
        texts.state = self.grammar.targets[state, option]

    def _append_value(self, slot: torch.Tensor, images: torch.Tensor, cells: Cells | None) -> None:
        """Write the value of the token just appended, a number of ``slot`` (rows,); where that is -1, the value is not used.

        ``images`` (rows,) are the places of the texts' images in the batch, ``cells`` the cells of these images.
        """
        texts = self.texts
        if cells is None or self.cells is None:
            assert self.model.numeric_head is not None
            value = self.model.numeric_head(texts.hidden).float()
        else:
            mixture = self.model.mixture(texts.hidden, slot.clamp(min=0), images, self.cells)
            if self.coverage is not None:
                mixture = mixture.restricted(
                    self.coverage.allowed(mixture, slot, cells, numbers=texts.numbers, placed=texts.placed, cell_place=texts.cell_place)
                )
            option, value = mixture.likeliest()
            value = value.float()
        texts.values[:, self.length] = value
        texts.numbers = torch.where(slot[:, None] == self.every_slot, value[:, None], texts.numbers)
        texts.last_slot = torch.where(slot >= 0, slot, texts.last_slot)
        if cells is None:
            return
        whole = mixture
        if self.coverage is not None:
            texts.cell_place = self.coverage.cell_place_after(slot, option, cells, texts.numbers, texts.cell_place)
            texts.placed = self.coverage.placed_after(slot, texts.numbers, texts.statements, texts.placed)
            whole = mixture.restricted(self.coverage.of_one_object(cells, texts.numbers, texts.cell_place))
            self._add_score(torch.where(slot >= 0, mixture.log_weights.logsumexp(-1), 0.0))
        texts.spreads[:, self.length] = torch.where(slot >= 0, whole.deviation(value), 0.0)

    def _add_score(self, score: torch.Tensor) -> None:
        """Add ``score`` (rows,), the logarithm of the total weight that coverage allows for the value just appended. Where it is -inf,
        remove the latest object and end the text."""
        texts, nothing = self.texts, score.isneginf()
        texts.scores[:, self.length] += score
        texts.log_likelihood = torch.where(nothing, texts.shorter, texts.log_likelihood + score)
        texts.state = texts.state.masked_fill(nothing, self.codec.ended)
        latest = torch.arange(texts.tokens.shape[1], device=self.device) >= texts.begin[:, None]
        texts.tokens = texts.tokens.masked_fill(nothing[:, None] & latest, self.codec.end)

    def fetch_progress(self) -> tuple[list[int], int]:
        """For each image whether all its texts have ended (1, else 0), and how many tokens the grammar now forces in every text.

        A step copies nothing else from the device.
        """
        texts = self.texts
        ended = (texts.state == self.codec.ended) | texts.log_likelihood.isneginf()  # the latter are unused places of a beam search
        forced = self.grammar.run_length[texts.state].min()
        *of_images, run = torch.cat([ended.view(-1, self.decoding.texts_per_image).all(1), forced[None]]).tolist()
        return of_images, run

    def remove(self, ended: list[int]) -> None:
        """Decode the images whose texts have ended, and remove them from the batch."""
        each = self.decoding.texts_per_image
        mask = torch.tensor(ended, dtype=torch.bool, device=self.device).repeat_interleave(each)
        done = self.texts.select(mask.nonzero()[:, 0])
        columns = (column[:, : self.length].tolist() for column in (done.tokens, done.values, done.scores, done.spreads))
        rows = [Text(*row) for row in zip(done.log_likelihood.tolist(), *columns, strict=True)]
        for place, image in enumerate(compress(self.images, ended)):
            self.decoded[image] = self._decoded(rows[place * each : (place + 1) * each], self.looks[image])
        self.images = [image for image, over in zip(self.images, ended, strict=True) if not over]
        left = (~mask).nonzero()[:, 0]
        self.texts = self.texts.select(left)
        if self.cells is not None:
            self.cells = self.cells.select((1 - torch.tensor(ended, device=self.device)).nonzero()[:, 0])
        self.cache.batch_select_indices(left)

    def read_written(self, forced: int) -> None:
        """Append the ``forced`` next tokens, which the grammar determines, and run the model on them and the token before them."""
        texts, first = self.texts, self.length - 1
        texts.tokens[:, self.length : self.length + forced] = self.grammar.run_tokens[texts.state, :forced]
        texts.state = self.grammar.run_states[texts.state, forced]
        self.length += forced
        embedded = self.model.embed(texts.tokens[:, first : self.length], None, None)
        if self.model.number_feedback is not None and self.together is not None:
            fed_back = self.model.number_feedback.embedded(texts.numbers, self.together[texts.last_slot])
            embedded = embedded + fed_back[:, None].to(embedded.dtype)
        texts.hidden = self._read(embedded)

    def _decoded(self, rows: list[Text], look: list[float]) -> Decoded:
        """The `Decoded` of one image, whose texts these are. `UserError` for NaN."""
        if any(math.isnan(row.log_likelihood) for row in rows):
            name = self.model.config.name_or_path or "the model"
            raise UserError(f"{name}: its output is not a number: its weights are damaged, or its training went astray")
        rows = sorted((row for row in rows if row.log_likelihood > -math.inf), key=lambda row: -row.log_likelihood)
        codes = [self.codec.decode(row.tokens, row.values) for row in rows]
        candidates = [Candidate(code, round(row.log_likelihood, 6)) for code, row in zip(codes, rows, strict=True)]
        if self.decoding.beams > 1:  # texts that differ in the digits of an invisible rotation have the same code
            candidates = [c for i, c in enumerate(candidates) if c.code not in codes[:i]]
        confidence = self.codec.confidence(rows[0].tokens, rows[0].scores)
        return Decoded(codes[0], tuple(round(c, 6) for c in confidence), tuple(candidates[: self.decoding.samples]), rows[0], tuple(look))
