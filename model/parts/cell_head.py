"""A head that can also say what it sees in one cell of the image, numbers and words.

Which of several objects is told next can be a toss-up. A value computed from the state then lies between them, where there is nothing;
what the dense read-out (`model.parts.dense_head`) says of a cell is where one of them is. So a number has a choice: the head's own value,
or that of any cell, found by attention (a pointer network, Vinyals, Fortunato and Jaitly 2015). All together are a mixture of Laplace
distributions (a mixture density network, Bishop 1994), which is learnt by its likelihood: of what may be said, what is sharp and often
right wins.

Words can be helped alike: to the language model's logits is added the logarithm of what the read-out says of the cells that the state
looks at (as pointer-generator networks copy words of their source, See, Liu and Manning 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from model.parts.numeric_head import NumericHead, distances

KEY_WIDTH = 64
OWN_FIRST = 5.0  # the log odds of the head's own value against any one cell, about: where training begins
FIRST_SPREAD = -3.0  # and the logarithm of each one's spread
SHOWN = 0.3  # weight of the loss that shows which token an object is on, beside that of its numbers
UNLIKELIEST = 1e-3  # probability of a word, below which what is seen does not count against it further
SHARPEST, WIDEST = 0.005, 1.0  # spreads, normalised: a sharper one would pull at every digit


@dataclass(frozen=True)
class Cells:
    """What can be said of a batch's cells: ``keys`` (batch, cells, `KEY_WIDTH`) they are found by, ``values`` (batch, cells, slots), and
    ``words`` (batch, cells, words of all choices), their probabilities."""

    keys: torch.Tensor
    values: torch.Tensor
    words: torch.Tensor

    def at(self, rows: torch.Tensor) -> Cells:
        """Those of some images, in that order."""
        return Cells(self.keys[rows], self.values[rows], self.words[rows])


class Mixture(NamedTuple):
    """Laplace distributions, (..., 1 + cells) each, the head's own value first: logarithms of weights, centres, logarithms of spreads."""

    weights: torch.Tensor
    centres: torch.Tensor
    spreads: torch.Tensor

    def among(self, open_: torch.Tensor) -> Mixture:
        """What of it is open (..., 1 + cells): the rest weighs nothing."""
        return self._replace(weights=self.weights.masked_fill(~open_, -torch.inf))

    def likeliest(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Which one weighs most, and its centre; (...) each."""
        option = self.weights.argmax(-1)
        return option, self.centres.gather(-1, option[..., None]).squeeze(-1)

    def surprises(self, true: torch.Tensor, period: torch.Tensor) -> torch.Tensor:
        """(...) minus the log-density of true values (...); where ``period`` is positive, distances are the shorter way around."""
        off = distances(self.centres, true[..., None], period[..., None])
        return -(self.weights - off * (-self.spreads).exp() - self.spreads - math.log(2)).logsumexp(-1)


def misses(weights: torch.Tensor, tokens: torch.Tensor, split: int) -> torch.Tensor:
    """(n,) minus the logarithm of the weight of the cells of one visual token each, of logarithms of weights (n, cells)."""
    of_tokens = weights.reshape(len(tokens), -1, split**2).logsumexp(-1)
    return -of_tokens.gather(1, tokens[:, None]).squeeze(1)


class CellHead(NumericHead):
    """See the module's docstring. ``slots`` numbers are told apart; a visual token has ``split`` x ``split`` cells."""

    def __init__(self, width: int, slots: int, split: int) -> None:
        super().__init__(width)
        self.own = nn.Linear(width, 2)
        self.query = nn.Linear(width, KEY_WIDTH)
        self.key = nn.Linear(width, split**2 * KEY_WIDTH)
        self.spread = nn.Embedding(slots, 1)

    def cells(self, visual: torch.Tensor, values: torch.Tensor, words: torch.Tensor) -> Cells:
        """Of visual tokens (batch, tokens, width), and what the dense read-out says of their cells, as `Cells` has it."""
        with torch.autocast(visual.device.type, enabled=False):
            keys = self.key(visual.to(self.key.weight.dtype))
            return Cells(keys.reshape(len(visual), -1, KEY_WIDTH), values.to(keys.dtype), words.to(keys.dtype))

    def look(self, states: torch.Tensor, cells: Cells) -> torch.Tensor:
        """(batch, length, cells) the logarithms of weights, among cells alone, before states (batch, length, width)."""
        with torch.autocast(states.device.type, enabled=False):
            queries = self.query(states.to(self.query.weight.dtype))
            return (queries @ cells.keys.transpose(1, 2) / math.sqrt(KEY_WIDTH)).log_softmax(-1)

    def mixture(self, states: torch.Tensor, slots: torch.Tensor, images: torch.Tensor, cells: Cells) -> Mixture:
        """What may be said of numbers before states (numbers, width), in slots (numbers,), of the images (numbers,) of a batch."""
        with torch.autocast(states.device.type, enabled=False):
            states = states.to(self.value.weight.dtype)
            thought = self.thought(states)
            own_weight, own_spread = self.own(thought).chunk(2, dim=-1)
            values = cells.values.transpose(1, 2)[images, slots]
            found = torch.einsum("nk,nck->nc", self.query(states), cells.keys[images]) / math.sqrt(KEY_WIDTH)
            weights = torch.cat([own_weight + OWN_FIRST, found], dim=-1).log_softmax(-1)
            spreads = torch.cat([own_spread, self.spread(slots).expand_as(values)], dim=-1) + FIRST_SPREAD
            centres = torch.cat([self.value(thought), values], dim=-1)
            return Mixture(weights, centres, spreads.clamp(math.log(SHARPEST), math.log(WIDEST)))


def hints(looks: torch.Tensor, cells: Cells) -> torch.Tensor:
    """(batch, length, words) the logarithms of the words' probabilities in the cells that are looked at, as `CellHead.look` gives them."""
    return (looks.exp() @ cells.words).clamp(min=UNLIKELIEST).log()
