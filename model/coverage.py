"""Coverage (Tu et al. 2016): which objects of an image a text has described, so that it describes none of them twice.

A model knows what it has written only by reading it, and it can lose track: describe one object twice, or give the x of one object and the
y of another, where nothing is. Where the domain keeps its objects apart (`datagen.domains.base.Spacing`) and a number may be the value of
an image cell (`model.parts.cell_head`), both are ruled out:

- A cell whose place is nearer to an object of the text than two objects can be shows that object, and is ruled out.
- Cells whose places are nearer to each other than that show one object. Once a number of a place is a cell's value, cells of other objects
  are ruled out for the rest of that place.
- A number that would put an object nearer to another than two can be is ruled out, whether it is a cell's or the head's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datagen.domains.base import Domain
from datagen.errors import UserError
from model.parts.cell_head import Cells, LaplaceMixture
from model.tokens.codec import Slot

UNKNOWN = torch.nan  # a coordinate of no place: compared with any distance, the distance to it gives false


@dataclass(frozen=True)
class Coverage:
    """The rule of a domain: no two objects are nearer to each other than ``least``, in the numbers of these ``slots`` (components,).

    ``halves`` (components,) are half the ranges of the slots: factors from normalised values to lengths.

    The methods take the state of texts, a row each: ``numbers`` (rows, slots), the latest of each slot; ``placed`` (rows, objects,
    components), the places of their objects, `UNKNOWN` beyond those; ``cell_place`` (rows, components), the place of the cell whose value
    is the first number of the latest object, `UNKNOWN` if that is no cell's; ``cells``, those of their images; ``slot`` (rows,), that
    of the number to write, -1 for none.
    """

    slots: torch.Tensor
    halves: torch.Tensor
    least: float

    @staticmethod
    def of(domain: Domain, slots: Sequence[Slot], device: torch.device) -> Coverage | None:
        """The rule of a domain whose one statement has these ``slots``; None if nothing keeps its objects apart."""
        if domain.spacing is None:
            return None
        at = sorted(_find(name, slots, domain) for name in domain.spacing.components)
        halves = torch.tensor([(slots[i].high - slots[i].low) / 2 for i in at], device=device)
        return Coverage(torch.tensor(at, device=device), halves, domain.spacing.least)

    def nothing_placed(self, rows: int, objects: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``placed`` and ``cell_place`` of texts without objects, which can get so many."""
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
        """(rows, 1 + cells) which values of a mixture may be written."""
        component = self._component(slot)[:, None]
        of_cells = self._places(cells.values)
        own = torch.full_like(of_cells[:, :1], UNKNOWN)
        value = mixture.centres[..., None] * self.halves
        before, now = (self._every < component)[:, None], (self._every == component)[:, None]
        places = torch.where(before, self._places(numbers)[:, None], torch.where(now, value, torch.cat([own, of_cells], 1)))
        taken = (torch.cdist(places, placed, compute_mode="donot_use_mm_for_euclid_dist") < self.least).any(-1)
        elsewhere = torch.cat([places[:, :1], of_cells], 1).sub(cell_place[:, None]).norm(dim=-1) >= self.least
        return (component < 0) | ~(taken | elsewhere & (component > 0))

    def cell_place_after(self, slot: torch.Tensor, option: torch.Tensor, cells: Cells, cell_place: torch.Tensor) -> torch.Tensor:
        """``cell_place`` once an option of a mixture (rows,), 0 for the head's own value, has been written."""
        of_cells = self._places(cells.values)
        place = of_cells.gather(1, (option - 1).clamp(min=0)[:, None, None].expand(-1, 1, of_cells.shape[2]))[:, 0]
        place = torch.where(option[:, None] > 0, place, UNKNOWN)
        return torch.where((self._component(slot) == 0)[:, None], place, cell_place)

    def placed_after(self, slot: torch.Tensor, numbers: torch.Tensor, objects: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
        """``placed`` once a number of the latest of so many objects (rows,) has been written."""
        whole = self._component(slot) == len(self.slots) - 1
        latest = torch.arange(placed.shape[1], device=slot.device) == objects[:, None] - 1
        return torch.where((whole[:, None] & latest)[..., None], self._places(numbers)[:, None], placed)

    def _component(self, slot: torch.Tensor) -> torch.Tensor:
        """Which component of a place a slot holds, -1 for none; of the same shape."""
        found = slot[..., None] == self.slots
        return torch.where(found.any(-1), found.int().argmax(-1), -1)

    @property
    def _every(self) -> torch.Tensor:
        return torch.arange(len(self.slots), device=self.slots.device)

    def _places(self, numbers: torch.Tensor) -> torch.Tensor:
        """(..., slots) normalised numbers to (..., components) places, in the unit of ``least`` up to a shift that is the same for all."""
        return numbers[..., self.slots] * self.halves


def _find(component: str, slots: Sequence[Slot], domain: Domain) -> int:
    """The slot of a component: ``loc.x``, or the name of a number that has but one."""
    for i, slot in enumerate(slots):
        of_several = slot.argument.components > 1
        if component == (f"{slot.argument.name}.{'xyz'[slot.component : slot.component + 1]}" if of_several else slot.argument.name):
            return i
    raise UserError(f"the {domain.name} domain keeps its objects apart in {component}, which is no number of its code")
