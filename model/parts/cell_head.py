"""A numeric head that can also use the dense read-out of the image's cells: their numbers, and their probabilities of words.

Which of several objects comes next in the code can be undecided. A value computed from the hidden state then lies between them, where
there is no object, but the value that the dense read-out (`model.parts.dense_head`) has for a cell is that of one object. So a number is
either the head's own value or that of a cell, weighted by attention (a pointer network, Vinyals, Fortunato and Jaitly 2015). Together they
form a mixture of Laplace distributions (a mixture density network, Bishop 1994), trained by its negative log-likelihood, which prefers
values that are often right and nearly exact.

Words use the cells in the same way: the logarithms of their probabilities in the attended cells are added to the language model's logits
(as pointer-generator networks copy words of their source, See, Liu and Manning 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from model.parts.dense_head import ReadOut
from model.parts.numeric_head import NumericHead, distances

KEY_WIDTH = 64
OWN_LOG_ODDS = 5.0  # approximately, of the head's own value against any one cell, initially
LOG_SPREAD = -3.0  # approximately, the logarithm of each value's spread, initially
ATTENTION_WEIGHT = 0.3  # of the attention loss beside the negative log-likelihood of a number
LEAST_PROBABILITY = 1e-3  # of a word: lower ones do not reduce its logit further
SHARPEST, WIDEST = 0.002, 1.0  # spreads, normalised: sharper ones would reward every further digit


@dataclass(frozen=True)
class Cells:
    """The read-out of the cells of a batch of images: ``keys`` of attention (batch, cells, `KEY_WIDTH`); ``values``, ``words`` and
    ``log_spreads`` are a `ReadOut`'s."""

    keys: torch.Tensor
    values: torch.Tensor
    words: torch.Tensor
    log_spreads: torch.Tensor | None = None

    def select(self, images: torch.Tensor) -> Cells:
        """The cells of the images with these indices, in that order."""
        spreads = None if self.log_spreads is None else self.log_spreads[images]
        return Cells(self.keys[images], self.values[images], self.words[images], spreads)


class LaplaceMixture(NamedTuple):
    """Mixtures of Laplace distributions: fields (..., 1 + cells), where the distribution around the head's own value comes first."""

    log_weights: torch.Tensor
    centres: torch.Tensor
    log_spreads: torch.Tensor

    def restricted(self, allowed: torch.Tensor) -> LaplaceMixture:
        """The mixture with zero weight for options that are not ``allowed`` (..., 1 + cells); the others are not renormalised."""
        return self._replace(log_weights=self.log_weights.masked_fill(~allowed, -torch.inf))

    def likeliest(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The option with the largest weight, and its centre; (...) each."""
        option = self.log_weights.argmax(-1)
        return option, self.centres.gather(-1, option[..., None]).squeeze(-1)

    def deviation(self, value: torch.Tensor) -> torch.Tensor:
        """(...) the mean absolute deviation from ``value`` (...), weights renormalised; 0 where no option is left.

        Of one Laplace distribution, it is the distance d of its centre from the value plus b exp(-d / b), with b its spread.
        """
        spread = self.log_spreads.exp()
        off = (self.centres - value[..., None]).abs()
        weights = (self.log_weights - self.log_weights.logsumexp(-1, keepdim=True)).exp().nan_to_num(0.0)
        return (weights * (off + spread * (-off / spread).exp())).sum(-1)

    def nll(self, true: torch.Tensor, period: torch.Tensor) -> torch.Tensor:
        """(...) the negative log-likelihood of values (...); where ``period`` is positive, distances are the shorter way around."""
        off = distances(self.centres, true[..., None], period[..., None])
        return -(self.log_weights - off * (-self.log_spreads).exp() - self.log_spreads - math.log(2)).logsumexp(-1)


class CellHead(NumericHead):
    """See the module's docstring. ``slots`` is how many slots there are; a visual token has ``split`` x ``split`` cells."""

    def __init__(self, width: int, slots: int, split: int) -> None:
        super().__init__(width)
        self.own = nn.Linear(width, 2)
        self.query = nn.Linear(width, KEY_WIDTH)
        self.key = nn.Linear(width, split**2 * KEY_WIDTH)
        self.spread = nn.Embedding(slots, 1)

    def read_cells(self, visual: torch.Tensor, read: ReadOut) -> Cells:
        """The `Cells` of visual tokens (batch, tokens, width), of which ``read`` is the dense read-out."""
        with torch.autocast(visual.device.type, enabled=False):
            keys = self.key(visual.to(self.key.weight.dtype))
            spreads = None if read.log_spreads is None else read.log_spreads.to(keys.dtype)
            return Cells(keys.reshape(len(visual), -1, KEY_WIDTH), read.values.to(keys.dtype), read.words.to(keys.dtype), spreads)

    def attention(self, states: torch.Tensor, cells: Cells) -> torch.Tensor:
        """(batch, length, cells) the logarithms of the attention of states (batch, length, width) on cells."""
        with torch.autocast(states.device.type, enabled=False):
            queries = self.query(states.to(self.query.weight.dtype))
            return (queries @ cells.keys.transpose(1, 2) / math.sqrt(KEY_WIDTH)).log_softmax(-1)

    def mixture(self, states: torch.Tensor, slots: torch.Tensor, images: torch.Tensor, cells: Cells) -> LaplaceMixture:
        """The distributions of numbers, (numbers, 1 + cells), from the hidden states that predict them (numbers, width).

        ``slots`` (numbers,) are the numbers' slots, ``images`` (numbers,) the indices of their images in the batch.
        """
        with torch.autocast(states.device.type, enabled=False):
            states = states.to(self.value.weight.dtype)
            features = self.features(states)
            own_weight, own_spread = self.own(features).chunk(2, dim=-1)
            values = cells.values.transpose(1, 2)[images, slots]
            attention = torch.einsum("nk,nck->nc", self.query(states), cells.keys[images]) / math.sqrt(KEY_WIDTH)
            log_weights = torch.cat([own_weight + OWN_LOG_ODDS, attention], dim=-1).log_softmax(-1)
            of_slots = self.spread(slots).expand_as(values)
            if cells.log_spreads is not None:  # of each number by itself: what is trained here corrects them for the slot
                of_slots = of_slots + cells.log_spreads.transpose(1, 2)[images, slots] - LOG_SPREAD
            log_spreads = torch.cat([own_spread, of_slots], dim=-1) + LOG_SPREAD
            centres = torch.cat([self.value(features), values], dim=-1)
            return LaplaceMixture(log_weights, centres, log_spreads.clamp(math.log(SHARPEST), math.log(WIDEST)))


def word_log_probabilities(attention: torch.Tensor, cells: Cells) -> torch.Tensor:
    """Logarithms (batch, length, words of all choices) of the words' probabilities, averaged over cells by `CellHead.attention`."""
    return (attention.exp() @ cells.words).clamp(min=LEAST_PROBABILITY).log()
