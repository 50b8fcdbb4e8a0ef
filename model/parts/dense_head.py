"""A dense auxiliary task on the visual tokens: what object, if any, has its centre in a token's cell.

The labels come with every rendered sample. They teach the tower to see, long before the language model's loss does or without it. In
prediction, only a numeric head that may say what a cell shows (`model.parts.cell_head`) makes use of what was learnt.
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

NOTHING = -100
RARE = -4.0  # the log odds of a cell that holds a centre, about: where the read-out begins
NUMBER_WEIGHT = 2.0  # of the numbers' loss beside one choice's
CLOSE = 0.05  # errors below this, in normalised units, count by their square


@dataclass(frozen=True)
class DenseLayout:
    """What is read per cell: presence, every numeric slot, and a word for every choice (``words`` holds the vocabularies' sizes).

    A visual token's cell is split into ``split`` x ``split`` cells, so that near neighbours need not share one. Numbers are
    read as `Slot.coordinates`.
    """

    slots: tuple[Slot, ...]
    words: tuple[int, ...]
    split: int = 1

    @staticmethod
    def of(domain: Language, slots: Sequence[Slot], split: int = 1) -> DenseLayout | None:
        """The layout of a domain with one statement; None where statements differ and a cell has no one set of answers."""
        if len(domain.statements) != 1:
            return None
        return DenseLayout(tuple(slots), tuple(len(c.words) for c in domain.statements[0].choices), split)

    @property
    def numbers(self) -> int:
        """How many numbers are read per cell."""
        return sum(slot.coordinate_count for slot in self.slots)

    @property
    def width(self) -> int:
        """How much is read per cell."""
        return 1 + self.numbers + sum(self.words)

    def targets(self, objects: tuple[Object, ...], cells: list[int | None], tokens: int, domain: Language) -> dict[str, np.ndarray]:
        """Targets of all cells of ``tokens`` tokens, where object i has its centre in ``cells[i]``; the first object in a cell wins.

        ``dense_numbers`` (cells, numbers) float32 in normalised units and ``dense_words`` (cells, 1 + choices) int64: presence (0 or 1),
        then each choice's word, -100 where there is nothing.
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
    """The cell of a point, x and y in [0, 1) of the frame, over ``rows`` x ``columns`` tokens of ``split`` x ``split`` cells; None outside.

    Cells are numbered token by token, and within a token in reading order.
    """
    row, column = math.floor(y * rows * split), math.floor(x * columns * split)
    if not (0 <= row < rows * split and 0 <= column < columns * split):
        return None
    (row, below), (column, beside) = divmod(row, split), divmod(column, split)
    return ((row * columns + column) * split + below) * split + beside


class DenseHead(nn.Module):
    """A linear read-out of every visual token, and its loss."""

    def __init__(self, width: int, layout: DenseLayout) -> None:
        super().__init__()
        self.layout = layout
        self.read = nn.Linear(width, layout.split**2 * layout.width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to (batch, cells, layout's width): log odds of presence, numbers, logits of every choice's words."""
        answer = self.read(tokens).unflatten(-1, (-1, self.layout.width)).flatten(1, 2)
        return torch.cat([answer[..., :1] + RARE, answer[..., 1:]], dim=-1)

    @torch.no_grad()
    def values(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to (batch, cells, slots): the normalised numbers of what has its centre in a cell, if anything has."""
        answer = self(tokens.to(self.read.weight.dtype))[..., 1 : 1 + self.layout.numbers]
        parts = answer.split([slot.coordinate_count for slot in self.layout.slots], dim=-1)
        read = [
            part.squeeze(-1) if not slot.period else torch.atan2(*part.unbind(-1)) * slot.period / (2 * math.pi)
            for slot, part in zip(self.layout.slots, parts, strict=True)
        ]
        return torch.stack(read, dim=-1)

    @torch.no_grad()
    def words(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to (batch, cells, words of all choices): the probability of every word, among its choice's."""
        answer = self(tokens.to(self.read.weight.dtype))[..., 1 + self.layout.numbers :]
        choices = answer.split(list(self.layout.words), dim=-1) if self.layout.words else ()
        return torch.cat([answer[..., :0], *(choice.softmax(-1) for choice in choices)], dim=-1)

    def loss(self, tokens: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Presence's cross-entropy summed over cells, and that of every choice and the numbers' Huber loss summed over objects.

        ``tokens`` (batch, tokens, width); ``numbers`` and ``words`` as `DenseLayout.targets` gives them.
        """
        answer = self(tokens)
        present = words[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(answer[..., 0], present.to(answer.dtype), reduction="sum")
        occupied = present == 1
        answer, at = answer[occupied], 1 + self.layout.numbers
        off = nn.functional.smooth_l1_loss(answer[:, 1:at], numbers[occupied], reduction="sum", beta=CLOSE)
        loss = loss + NUMBER_WEIGHT * off
        for i, size in enumerate(self.layout.words, 1):
            loss = loss + nn.functional.cross_entropy(answer[:, at : at + size], words[occupied][:, i], reduction="sum")
            at += size
        return loss
