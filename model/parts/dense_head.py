"""The dense read-out, an auxiliary task on the visual tokens: which object, if any, has its centre in a cell of the image.

The labels come with every rendered sample. They teach the tower to see objects long before the language model's loss does, or without
it. In prediction, only `model.parts.cell_head` uses the read-out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from datagen.code.statements import Language
from datagen.scene import Object
from model.tokens.codec import Slot, choice_targets

NOTHING = -100  # the target of a word in a cell without an object
PRESENCE_LOG_ODDS = -4.0  # approximately, of a centre in a cell, initially
NUMBER_WEIGHT = 2.0  # of the numbers' loss relative to that of one choice
CLOSE = 0.05  # normalised units: smaller errors have a quadratic loss, others a linear one


@dataclass(frozen=True)
class DenseLayout:
    """What is read off each cell: presence, the number of every slot, and a word of every choice (``words``: the vocabularies' sizes).

    Numbers are read as `Slot.coordinates`. A visual token has ``split`` x ``split`` cells, so that near neighbours need not share one.
    """

    slots: tuple[Slot, ...]
    words: tuple[int, ...]
    split: int = 1

    @staticmethod
    def of(domain: Language, slots: Sequence[Slot], split: int = 1) -> DenseLayout | None:
        """The layout of a domain with these slots; None for several statements, each of which would need its own layout."""
        if len(domain.statements) != 1:
            return None
        return DenseLayout(tuple(slots), tuple(len(c.words) for c in domain.statements[0].choices), split)

    @property
    def numbers(self) -> int:
        """How many numbers are read off a cell."""
        return sum(slot.coordinate_count for slot in self.slots)

    @property
    def width(self) -> int:
        """How many outputs a cell has."""
        return 1 + self.numbers + sum(self.words)

    def targets(self, objects: tuple[Object, ...], cells: list[int | None], tokens: int, domain: Language) -> dict[str, np.ndarray]:
        """The targets of all cells of ``tokens`` tokens. Object i has its centre in ``cells[i]``; of several in a cell the first counts.

        ``dense_numbers`` (cells, numbers) float32, in normalised units, and ``dense_words`` (cells, 1 + choices) int64: presence (0 or 1),
        then the index of each choice's word, `NOTHING` where no object is.
        """
        count = tokens * self.split**2
        numbers = np.zeros((count, self.numbers), np.float32)
        words = np.full((count, 1 + len(self.words)), NOTHING, np.int64)
        words[:, 0] = 0
        for obj, cell in zip(objects, cells, strict=True):
            if cell is None or words[cell, 0]:
                continue
            words[cell] = [1, *choice_targets(obj, domain)]
            numbers[cell] = [x for slot in self.slots for x in slot.coordinates(slot.normalise(slot.value(obj)))]
        return {"dense_numbers": numbers, "dense_words": words}


def cell_of(x: float, y: float, rows: int, columns: int, split: int = 1) -> int | None:
    """The cell of a point over ``rows`` x ``columns`` tokens of ``split`` x ``split`` cells; None unless x and y are in [0, 1).

    Cells are numbered token by token, and within a token in reading order.
    """
    row, column = math.floor(y * rows * split), math.floor(x * columns * split)
    if not (0 <= row < rows * split and 0 <= column < columns * split):
        return None
    (row, below), (column, beside) = divmod(row, split), divmod(column, split)
    return ((row * columns + column) * split + below) * split + beside


class DenseHead(nn.Module):
    """A linear read-out of every visual token, with its loss."""

    def __init__(self, width: int, layout: DenseLayout) -> None:
        super().__init__()
        self.layout = layout
        self.read = nn.Linear(width, layout.split**2 * layout.width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to (batch, cells, layout's width): log odds of presence, numbers, logits of every choice's words."""
        output = self.read(tokens).unflatten(-1, (-1, self.layout.width)).flatten(1, 2)
        return torch.cat([output[..., :1] + PRESENCE_LOG_ODDS, output[..., 1:]], dim=-1)

    @torch.no_grad()
    def values(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to (batch, cells, slots): normalised numbers, which only mean something in cells with an object."""
        output = self(tokens.to(self.read.weight.dtype))[..., 1 : 1 + self.layout.numbers]
        parts = output.split([slot.coordinate_count for slot in self.layout.slots], dim=-1)
        read = [
            part.squeeze(-1) if not slot.period else torch.atan2(*part.unbind(-1)) * slot.period / (2 * math.pi)
            for slot, part in zip(self.layout.slots, parts, strict=True)
        ]
        return torch.stack(read, dim=-1)

    @torch.no_grad()
    def words(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to (batch, cells, words of all choices): the probability of every word among those of its choice."""
        output = self(tokens.to(self.read.weight.dtype))[..., 1 + self.layout.numbers :]
        choices = output.split(list(self.layout.words), dim=-1) if self.layout.words else ()
        return torch.cat([output[..., :0], *(choice.softmax(-1) for choice in choices)], dim=-1)

    def loss(self, tokens: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """The sum of the cross-entropies of presence over all cells, and, over cells with an object, of the words' cross-entropies and
        `NUMBER_WEIGHT` times the numbers' smooth L1 losses.

        ``tokens`` (batch, tokens, width); ``numbers`` and ``words`` are stacked `DenseLayout.targets`.
        """
        output = self(tokens)
        present = words[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(output[..., 0], present.to(output.dtype), reduction="sum")
        occupied = (present == 1).nonzero(as_tuple=True)
        output, words, at = output[occupied], words[occupied], 1 + self.layout.numbers
        off = nn.functional.smooth_l1_loss(output[:, 1:at], numbers[occupied], reduction="sum", beta=CLOSE)
        loss = loss + NUMBER_WEIGHT * off
        for i, size in enumerate(self.layout.words, 1):
            loss = loss + nn.functional.cross_entropy(output[:, at : at + size], words[:, i], reduction="sum")
            at += size
        return loss
