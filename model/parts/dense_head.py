"""The dense read-out, an auxiliary task on what the tower sees: which object, if any, has its centre in a cell of the image.

The labels come with every rendered sample. They teach the tower to see objects long before the language model's loss does, or without
it. In prediction, only `model.parts.cell_head` uses the read-out.

`LinearReader` is a linear map of every visual token. `ContextReader` is a small network of each of the tower's patches and of the image as
a whole. It reads places in the image relative to the cell, so that the same patch means the same anywhere; it reads the numbers of a
header (camera and lamps) off the whole image; and it says of every number how far off it expects to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from datagen.code.statements import Language
from datagen.domains.dialects import Dialect
from datagen.scene import Scene
from model.constants import constant
from model.parts.numeric_head import distances
from model.tokens.pieces import Slot, choice_targets

NOTHING = -100  # the target of a word in a cell without an object
PRESENCE_LOG_ODDS = -4.0  # approximately, of a centre in a cell, initially
NUMBER_WEIGHT = 2.0  # of the numbers' loss relative to that of one choice
CLOSE = 0.05  # normalised units, or cells: smaller errors have a quadratic loss, others a linear one
HEADER_CLOSE = 0.02  # normalised units: as `CLOSE`, for the numbers of a header
LOG_SPREAD = -2.0  # approximately, the logarithm of each number's spread, initially
LEAST_SPREAD = 0.01  # normalised, or cells: sharper ones would reward every further digit
LEAST_HEADER_SPREAD = 0.005  # normalised
MOST_LOG_SPREAD = 1.0
SURPRISE = 8.0
IMAGE_WEIGHT = 2.0  # of a header's numbers as the image says them, relative to what one object says


class ReadOut(NamedTuple):
    """What is read of the cells of images: ``values`` (batch, cells, slots), normalised numbers, which only mean something in cells with
    an object; ``words`` (batch, cells, words of all choices), their probabilities; ``log_spreads``, of the shape of ``values``, the
    logarithm of the mean error expected of each number, None if that is not read. Slots of a header have the same numbers in all cells."""

    values: torch.Tensor
    words: torch.Tensor
    log_spreads: torch.Tensor | None


@dataclass(frozen=True)
class DenseLayout:
    """What is read off each cell: presence, the number of every slot, and a word of every choice (``words``: the vocabularies' sizes).

    Numbers are read as `Slot.coordinates`. A visual token has ``split`` x ``split`` cells, so that near neighbours need not share one.
    ``header`` are the slots of the header, whose numbers belong to the image as a whole. With ``masked``, rotations that cannot be seen, as
    a sphere's, are no targets: as a constant, they would be learnt for all objects that may be spheres.
    """

    slots: tuple[Slot, ...]
    words: tuple[int, ...]
    split: int = 1
    header: tuple[Slot, ...] = ()
    masked: bool = False

    @staticmethod
    def of(domain: Language, slots: Sequence[Slot], split: int = 1, masked: bool = False) -> DenseLayout | None:
        """The layout of a domain with these slots; None for several statements, each of which would need its own layout."""
        if len(domain.statements) != 1:
            return None
        own = domain.statements[0].name
        header = tuple(slot for slot in slots if slot.statement != own)
        words = tuple(len(c.words) for c in domain.statements[0].choices)
        return DenseLayout(tuple(slot for slot in slots if slot.statement == own), words, split, header, masked)

    @property
    def numbers(self) -> int:
        """How many numbers are read off a cell."""
        return sum(slot.coordinate_count for slot in self.slots)

    @property
    def width(self) -> int:
        """How many outputs a cell has."""
        return 1 + self.numbers + sum(self.words)

    def targets(self, scene: Scene, cells: list[int | None], tokens: int, written: Dialect) -> dict[str, np.ndarray]:
        """The targets of all cells of ``tokens`` tokens for a scene in a dialect. Object i has its centre in ``cells[i]``; of several in a
        cell the first counts.

        ``dense_numbers`` (cells, numbers) float32, in normalised units, NaN for what is ``masked``. ``dense_words`` (cells, 1 + choices)
        int64: presence (0 or 1), then the index of each choice's word, `NOTHING` where no object is. ``image_numbers`` (slots of the
        header,) float32, NaN where unknown, if there are some.
        """
        count = tokens * self.split**2
        numbers = np.zeros((count, self.numbers), np.float32)
        words = np.full((count, 1 + len(self.words)), NOTHING, np.int64)
        words[:, 0] = 0
        for obj, cell in zip(scene.objects, cells, strict=True):
            if cell is None or words[cell, 0]:
                continue
            words[cell] = [1, *choice_targets(obj, written)]
            turned = not self.masked or written.shows_rotation(obj)
            numbers[cell] = [
                x if turned or slot.argument.name != "rotation" else np.nan
                for slot in self.slots
                for x in slot.coordinates(slot.normalise(slot.value(obj)))
            ]
        found: dict[str, np.ndarray] = {"dense_numbers": numbers, "dense_words": words}
        if self.header:
            lines = {" ".join(written.statement(obj.statement).key(obj)): obj for obj in scene.header}
            found["image_numbers"] = np.array([slot.normalise(slot.value(lines[slot.statement])) for slot in self.header], np.float32)
        return found


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
    """What all read-outs have in common: their outputs as numbers and words, and the loss of these."""

    def __init__(self, layout: DenseLayout) -> None:
        super().__init__()
        self.layout = layout

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to (batch, cells, layout's width): log odds of presence, numbers, logits of every choice's words."""
        raise NotImplementedError

    def read_out(self, seen: torch.Tensor) -> ReadOut:
        """What is read of (batch, tokens, width); no gradients flow."""
        raise NotImplementedError

    def values(self, output: torch.Tensor) -> torch.Tensor:
        """The outputs of cells (..., layout's width) to their normalised numbers (..., slots)."""
        parts = torch.split(output[..., 1 : 1 + self.layout.numbers], [slot.coordinate_count for slot in self.layout.slots], dim=-1)
        read = [
            part.squeeze(-1) if not slot.period else torch.atan2(*part.unbind(-1)) * slot.period / (2 * math.pi)
            for slot, part in zip(self.layout.slots, parts, strict=True)
        ]
        return torch.stack(read, dim=-1)

    def words(self, output: torch.Tensor) -> torch.Tensor:
        """The outputs of cells (..., layout's width) to the probability of every word among those of its choice (..., words)."""
        choices = torch.split(output[..., 1 + self.layout.numbers :], list(self.layout.words), dim=-1) if self.layout.words else ()
        return torch.cat([output[..., :0], *(choice.softmax(-1) for choice in choices)], dim=-1)

    def words_loss(self, output: torch.Tensor, words: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The sum of the cross-entropies of presence over all cells, and of the words' over cells with an object; and the indices of these
        cells. ``output`` is that of `forward`, ``words`` stacked `DenseLayout.targets`."""
        present = words[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(output[..., 0], present.to(output.dtype), reduction="sum")
        occupied = (present == 1).nonzero(as_tuple=True)
        of_objects, words, at = output[occupied], words[occupied], 1 + self.layout.numbers
        for i, size in enumerate(self.layout.words, 1):
            loss = loss + nn.functional.cross_entropy(of_objects[:, at : at + size], words[:, i], reduction="sum")
            at += size
        return loss, occupied

    def loss(
        self, seen: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor, image_numbers: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The loss of `words_loss`, and that of the numbers of cells with an object; of a header's, where a reader reads them.

        ``seen`` (batch, tokens, width); the others are stacked `DenseLayout.targets`.
        """
        raise NotImplementedError


class LinearReader(DenseHead):
    """A linear map of every visual token. It reads no header."""

    def __init__(self, width: int, layout: DenseLayout) -> None:
        super().__init__(layout)
        self.read = nn.Linear(width, layout.split**2 * layout.width)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        output = self.read(seen).unflatten(-1, (-1, self.layout.width)).flatten(1, 2)
        return torch.cat([output[..., :1] + PRESENCE_LOG_ODDS, output[..., 1:]], dim=-1)

    @torch.no_grad()
    def read_out(self, seen: torch.Tensor) -> ReadOut:
        output = self(seen.to(self.read.weight.dtype))
        values = self.values(output)
        nothing = values.new_zeros(*values.shape[:-1], len(self.layout.header))
        return ReadOut(torch.cat([values, nothing], -1), self.words(output), None)

    def loss(
        self, seen: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor, image_numbers: torch.Tensor | None = None
    ) -> torch.Tensor:
        output = self(seen)
        loss, occupied = self.words_loss(output, words)
        at = 1 + self.layout.numbers
        off = nn.functional.smooth_l1_loss(output[occupied][:, 1:at], numbers[occupied], reduction="sum", beta=CLOSE)
        return loss + NUMBER_WEIGHT * off


@dataclass(frozen=True)
class Grid:
    """The cells of a frame of ``height`` x ``width`` pixels: ``split`` x ``split`` in each of ``rows`` x ``columns`` visual tokens."""

    rows: int
    columns: int
    split: int
    height: int
    width: int

    @property
    def cell(self) -> float:
        """The width of a cell, in half longer sides of the frame."""
        return 2 * self.width / (self.columns * self.split) / max(self.width, self.height)

    def centres(self) -> torch.Tensor:
        """(cells, 2) the cells' centres in half longer sides, to the right and up of the frame's centre; cells are in `cell_of`'s order."""
        half = max(self.width, self.height) / 2
        rows, columns = self.rows * self.split, self.columns * self.split
        x = ((torch.arange(columns) + 0.5) / columns - 0.5) * self.width / half
        y = (0.5 - (torch.arange(rows) + 0.5) / rows) * self.height / half
        grid = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], dim=-1)
        return grid.view(self.rows, self.split, self.columns, self.split, 2).transpose(1, 2).reshape(-1, 2)


@lru_cache(maxsize=16)
def anchors(grid: Grid, axes: tuple[int | None, ...]) -> tuple[tuple[float, ...], ...]:
    """For each cell of a grid, its centre along each of these axes, 0 for None."""
    with torch.device("cpu"):
        centres = grid.centres().tolist()
    return tuple(tuple(0.0 if axis is None else centre[axis] for axis in axes) for centre in centres)


class ContextReader(DenseHead):
    """See the module's docstring. ``channels`` is how many a patch has; a visual token's patches stand side by side, as in the tower.

    What an image says of its camera and lamps is seen best at its objects, by their shadows and sides. So every cell reads the header's
    numbers, those with an object are trained to, and the image's are the mean of its cells', weighted by how likely an object is there and
    by the inverse square of the error that the cell expects.
    """

    def __init__(self, channels: int, layout: DenseLayout, grid: Grid) -> None:
        super().__init__(layout)
        self.channels, self.grid = channels, grid
        self.patch = nn.Linear(channels, channels)
        self.around = nn.Linear(2 * channels, channels, bias=False)
        self.read = nn.Linear(channels, sum(self._parts))

    @property
    def _parts(self) -> list[int]:
        """How many outputs of a cell are its own, the spreads of its numbers, the header's numbers, and their spreads."""
        return [self.layout.width, len(self.layout.slots), len(self.layout.header), len(self.layout.header)]

    # Constants are made when they are needed: transformers builds models without memory, where buffers get no values.

    def _anchors(self, device: torch.device) -> torch.Tensor:
        """(cells, numbers) what each number is relative to: the cell's centre for places in the image, else 0."""
        return constant(anchors(self.grid, tuple(s.component if s.in_image else None for s in self._slot_of_each_number())), device)

    def _scale(self, device: torch.device) -> torch.Tensor:
        """(numbers,) the unit of each number: a cell's width for places in the image, else 1."""
        return constant(tuple(self.grid.cell if slot.in_image else 1.0 for slot in self._slot_of_each_number()), device)

    def _slot_scale(self, device: torch.device) -> torch.Tensor:
        """(slots,) as `_scale`."""
        return constant(tuple(self.grid.cell if slot.in_image else 1.0 for slot in self.layout.slots), device)

    def _slot_of_each_number(self) -> list[Slot]:
        return [slot for slot in self.layout.slots for _ in range(slot.coordinate_count)]

    def _read(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The outputs of cells (batch, cells, layout's width), numbers relative to anchors and in scales; the logarithms of their spreads
        (batch, cells, slots), in scales too; and the header's numbers and the logarithms of their spreads (batch, cells, slots of it)."""
        patches = seen.reshape(len(seen), -1, self.channels)
        pooled = torch.cat([patches.mean(1), patches.amax(1)], dim=-1)
        hidden = nn.functional.gelu(self.patch(patches) + self.around(pooled)[:, None])
        cells, spreads, header, header_spreads = self.read(hidden).split(self._parts, dim=-1)
        cells = torch.cat([cells[..., :1] + PRESENCE_LOG_ODDS, cells[..., 1:]], dim=-1)
        least = math.log(LEAST_HEADER_SPREAD)
        return cells, spreads + LOG_SPREAD, header, (header_spreads + LOG_SPREAD).clamp(min=least, max=MOST_LOG_SPREAD)

    @staticmethod
    def _of_image(cells: torch.Tensor, header: torch.Tensor, spreads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The header's numbers of whole images and the logarithms of their spreads, (batch, slots of the header) each."""
        weights = (nn.functional.logsigmoid(cells[..., :1]) - 2 * spreads).softmax(1)
        return (weights * header).sum(1), (weights * spreads).sum(1)

    def _placed(self, cells: torch.Tensor) -> torch.Tensor:
        """The outputs of cells with numbers in normalised units."""
        at = 1 + self.layout.numbers
        return torch.cat(
            [cells[..., :1], cells[..., 1:at] * self._scale(cells.device) + self._anchors(cells.device), cells[..., at:]], dim=-1
        )

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return self._placed(self._read(seen)[0])

    @torch.no_grad()
    def read_out(self, seen: torch.Tensor) -> ReadOut:
        with torch.autocast(seen.device.type, enabled=False):
            cells, spreads, *header = self._read(seen.to(self.read.weight.dtype))
        output = self._placed(cells)
        of_image = [part[:, None].expand(-1, output.shape[1], -1) for part in self._of_image(cells, *header)]
        log_spreads = torch.cat([spreads + self._slot_scale(seen.device).log(), of_image[1]], dim=-1)
        return ReadOut(torch.cat([self.values(output), of_image[0]], -1), self.words(output), log_spreads)

    def loss(
        self, seen: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor, image_numbers: torch.Tensor | None = None
    ) -> torch.Tensor:
        with torch.autocast(seen.device.type, enabled=False):
            cells, spreads, *header = self._read(seen)
        loss, occupied = self.words_loss(cells, words)
        at = 1 + self.layout.numbers
        true = numbers[occupied]
        relative = (true - self._anchors(true.device)[occupied[1]]) / self._scale(true.device)
        off = known_loss(cells[occupied][:, 1:at], relative, CLOSE).sum()
        loss = loss + NUMBER_WEIGHT * off + self._spread_loss(self._placed(cells)[occupied].detach(), spreads[occupied], true)
        return loss if image_numbers is None else loss + self._header_loss((cells, *header), occupied, image_numbers)

    def _spread_loss(self, output: torch.Tensor, spreads: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """The negative log-likelihood of the numbers of objects as Laplace distributions around what is read, which it does not change.

        ``output`` (objects, layout's width), ``spreads`` (objects, slots), ``true`` (objects, numbers).
        """
        labelled = torch.cat([output[:, :1], true, output[:, 1 + self.layout.numbers :]], dim=-1)
        periods = constant(tuple(slot.period for slot in self.layout.slots), true.device).expand(len(true), -1)
        right = self.values(labelled)
        off = distances(self.values(output), right.nan_to_num(), periods) / self._slot_scale(true.device)
        return spread_loss(off, spreads.clamp(min=math.log(LEAST_SPREAD), max=MOST_LOG_SPREAD))[~right.isnan()].sum()

    def _header_loss(self, read: Sequence[torch.Tensor], occupied: tuple[torch.Tensor, ...], true: torch.Tensor) -> torch.Tensor:
        """The Huber losses of the header's numbers (batch, slots), NaN where unknown, and the losses of their spreads: at each of the
        ``occupied`` cells, and, with the weight of `IMAGE_WEIGHT` objects, of the images. ``read`` is what `_of_image` takes."""
        cells, header, spreads = read
        of_cells = header[occupied], spreads[occupied], true[occupied[0]]
        of_images = *self._of_image(cells.detach(), header, spreads), true
        losses = []
        for guess, spread, target in (of_cells, of_images):
            errors = (guess - target.nan_to_num()).abs()
            losses.append(known_loss(guess, target, HEADER_CLOSE).sum() + spread_loss(errors, spread)[~target.isnan()].sum())
        return losses[0] + IMAGE_WEIGHT * losses[1]


def known_loss(guess: torch.Tensor, target: torch.Tensor, close: float) -> torch.Tensor:
    """Huber losses of guesses, quadratic up to errors of ``close``; 0 where the target is NaN, which means unknown."""
    loss = nn.functional.smooth_l1_loss(guess, target.nan_to_num(), reduction="none", beta=close)
    return loss.masked_fill(target.isnan(), 0.0)


def spread_loss(off: torch.Tensor, log_spreads: torch.Tensor) -> torch.Tensor:
    """The negative log-likelihoods of distances ``off`` under Laplace distributions of these spreads, which alone are learnt; of a distance
    that was thought impossible, as of one of `SURPRISE` spreads."""
    ratio = off.detach() * (-log_spreads).exp()
    return torch.where(ratio > SURPRISE, SURPRISE * (1 - log_spreads + log_spreads.detach()), ratio) + log_spreads + math.log(2)
