"""Coverage (Tu et al. 2016): tracks which objects of an image a text has described, so that none is described twice.

A language model can lose track of its own text: describe one object twice, or combine the x of one object with the y of another, where
there is no object. If the domain has a minimum distance between objects (`datagen.domains.base.Spacing`) and a number may be the value of
an image cell (`model.parts.cell_head`), decoding excludes both:

- A cell whose position is within that distance of a described object shows this object, and is excluded.
- Cells whose positions are within that distance of each other show one object. Once the first number of a position is a cell's value,
  cells of other objects are excluded for the rest of that position.
- A number that would place an object within that distance of another is excluded, whether it is a cell's or the head's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datagen.domains.base import Domain
from datagen.errors import UserError
from model.parts.cell_head import Cells, LaplaceMixture
from model.tokens.codec import Slot

UNKNOWN = torch.nan  # coordinate of an absent position: distances to it are NaN, whose comparisons are false


@dataclass(frozen=True)
class Coverage:
    """The minimum distance between a domain's objects: ``least``, between the positions in these ``slots`` (components,).

    ``halves`` (components,) are half the ranges of the slots: factors from normalised values to lengths.

    The methods' arguments describe unfinished texts, a row each: ``numbers`` (rows, slots), the latest normalised number of each slot;
    ``placed`` (rows, objects, components), the positions of the described objects, then `UNKNOWN`; ``cell_place`` (rows, components), the
    position of the cell whose value is the first number of the latest object's position, `UNKNOWN` if that number is the head's own;
    ``cells``, the read-outs of the images; ``slot`` (rows,), the slot of the next number, -1 for none.
    """

    slots: torch.Tensor
    halves: torch.Tensor
    least: float

    @staticmethod
    def of(domain: Domain, slots: Sequence[Slot], device: torch.device) -> Coverage | None:
        """The coverage of a domain whose one statement has these ``slots``; None if the domain has no minimum distance."""
        if domain.spacing is None:
            return None
        at = sorted(_find(name, slots, domain) for name in domain.spacing.components)
        halves = torch.tensor([(slots[i].high - slots[i].low) / 2 for i in at], device=device)
        return Coverage(torch.tensor(at, device=device), halves, domain.spacing.least)

    def nothing_placed(self, rows: int, objects: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``placed`` and ``cell_place`` of texts without objects yet, with room for ``objects`` each."""
        placed = torch.full((rows, objects, len(self.slots)), UNKNOWN, device=self.slots.device)
        return placed, placed[:, 0]

    def allowed(
        self,
        mixture: LaplaceMixture,
        slot: torch.Tensor,
        cells: Cells,
        *,
        numbers: torch.Tensor,
        placed: torch.Tensor,
        cell_place: torch.Tensor,
    ) -> torch.Tensor:
        """(rows, 1 + cells) bool: which values of a mixture may be written; all of them where ``slot`` is not part of a position."""
        component = self._component(slot)[:, None]
        of_cells = self._places(cells.values)
        own = torch.full_like(of_cells[:, :1], UNKNOWN)
        value = mixture.centres[..., None] * self.halves
        before, now = (self._every < component)[:, None], (self._every == component)[:, None]
        places = torch.where(before, self._places(numbers)[:, None], torch.where(now, value, torch.cat([own, of_cells], 1)))
        taken = (torch.cdist(places, placed, compute_mode="donot_use_mm_for_euclid_dist") < self.least).any(-1)
        elsewhere = torch.cat([places[:, :1], of_cells], 1).sub(cell_place[:, None]).norm(dim=-1) >= self.least
        return (component < 0) | ~(taken | elsewhere & (component > 0))

    def of_one_object(self, cells: Cells, cell_place: torch.Tensor) -> torch.Tensor:
        """(rows, 1 + cells) bool: which values of a mixture are of the object that the cell at ``cell_place`` shows: the head's own, and
        those of cells that show a place within the minimum distance; all where ``cell_place`` is `UNKNOWN`."""
        elsewhere = self._places(cells.values).sub(cell_place[:, None]).norm(dim=-1) >= self.least
        return ~torch.cat([torch.zeros_like(elsewhere[:, :1]), elsewhere], 1)

    def cell_place_after(self, slot: torch.Tensor, option: torch.Tensor, cells: Cells, cell_place: torch.Tensor) -> torch.Tensor:
        """``cell_place`` after writing an ``option`` (rows,) of a mixture: 0 for the head's own value, 1 + i for that of cell i."""
        of_cells = self._places(cells.values)
        place = of_cells.gather(1, (option - 1).clamp(min=0)[:, None, None].expand(-1, 1, of_cells.shape[2]))[:, 0]
        place = torch.where(option[:, None] > 0, place, UNKNOWN)
        return torch.where((self._component(slot) == 0)[:, None], place, cell_place)

    def placed_after(self, slot: torch.Tensor, numbers: torch.Tensor, objects: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
        """``placed`` after writing a number of the latest object; ``objects`` (rows,) counts the objects so far."""
        whole = self._component(slot) == len(self.slots) - 1
        latest = torch.arange(placed.shape[1], device=slot.device) == objects[:, None] - 1
        return torch.where((whole[:, None] & latest)[..., None], self._places(numbers)[:, None], placed)

    def _component(self, slot: torch.Tensor) -> torch.Tensor:
        """The component of a position that each slot holds, -1 for none; of the same shape as ``slot``."""
        found = slot[..., None] == self.slots
        return torch.where(found.any(-1), found.int().argmax(-1), -1)

    @property
    def _every(self) -> torch.Tensor:
        return torch.arange(len(self.slots), device=self.slots.device)

    def _places(self, numbers: torch.Tensor) -> torch.Tensor:
        """(..., slots) normalised numbers to (..., components) positions in the unit of ``least``, up to a constant shift."""
        return numbers[..., self.slots] * self.halves


def _find(component: str, slots: Sequence[Slot], domain: Domain) -> int:
    """The index of the slot of a position component, named as ``loc.x``, or as a number with a single component."""
    for i, slot in enumerate(slots):
        of_several = slot.argument.components > 1
        if component == (f"{slot.argument.name}.{'xyz'[slot.component : slot.component + 1]}" if of_several else slot.argument.name):
            return i
    raise UserError(f"the {domain.name} domain keeps its objects apart in {component}, which is no number of its code")
