"""A dense auxiliary task on the visual tokens: what object, if any, has its centre in a token's cell.

The labels come with every rendered sample. It teaches the tower to see long before the language model's loss does, and plays no part
in prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from datagen.domain import Domain
from datagen.scene import Object
from model.codec import Slot, choice_targets
from model.numbers import squared_errors

NOTHING = -100


@dataclass(frozen=True)
class DenseLayout:
    """What is predicted per cell: presence, every numeric slot, and a word for every choice (``words`` holds the vocabularies' sizes)."""

    slots: tuple[Slot, ...]
    words: tuple[int, ...]

    @staticmethod
    def of(domain: Domain, slots: list[Slot]) -> DenseLayout | None:
        """The layout of a domain with one statement; None where statements differ and a cell has no one set of answers."""
        if len(domain.statements) != 1:
            return None
        return DenseLayout(tuple(slots), tuple(len(c.words) for c in domain.statements[0].choices))

    @property
    def width(self) -> int:
        return 1 + len(self.slots) + sum(self.words)

    def targets(self, objects: tuple[Object, ...], cells: list[int | None], count: int, domain: Domain) -> dict[str, np.ndarray]:
        """Targets of ``count`` cells, where object i has its centre in ``cells[i]`` (None: outside); the first object in a cell wins.

        ``dense_numbers`` (count, slots) float32 in normalised units and ``dense_words`` (count, 1 + choices) int64: presence (0 or 1), then
        each choice's word, -100 where there is nothing.
        """
        numbers = np.zeros((count, len(self.slots)), np.float32)
        words = np.full((count, 1 + len(self.words)), NOTHING, np.int64)
        words[:, 0] = 0
        for obj, cell in zip(objects, cells, strict=True):
            if cell is None or words[cell, 0]:
                continue
            words[cell] = [1, *choice_targets(obj, domain)]
            numbers[cell] = [s.normalise(s.argument.as_tuple(obj[s.argument.name])[s.component]) for s in self.slots]
        return {"dense_numbers": numbers, "dense_words": words}


class DenseHead(nn.Module):
    """A linear read-out of every visual token, and its loss."""

    def __init__(self, width: int, layout: DenseLayout) -> None:
        super().__init__()
        self.layout = layout
        self.read = nn.Linear(width, layout.width)

    def losses(
        self, tokens: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor, period: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Presence's cross-entropy summed over cells; that of every choice and the numbers' mean squared error, summed over objects.

        ``tokens`` (batch, cells, width); ``numbers`` and ``words`` as `DenseLayout.targets` gives them; ``period`` (slots,).
        """
        answer = self.read(tokens)
        present = words[..., 0]
        cells = nn.functional.binary_cross_entropy_with_logits(answer[..., 0], present.to(answer.dtype), reduction="sum")
        occupied = present == 1
        answer, at = answer[occupied], 1 + len(self.layout.slots)
        objects = squared_errors(answer[:, 1:at], numbers[occupied], period).mean(-1).sum()
        for i, size in enumerate(self.layout.words, 1):
            objects = objects + nn.functional.cross_entropy(answer[:, at : at + size], words[occupied][:, i], reduction="sum")
            at += size
        return cells, objects
