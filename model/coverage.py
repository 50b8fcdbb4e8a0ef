"""Which objects of an image a text has named, so that it names none of them again (coverage: Tu et al. 2016).

What a model has said it knows by having read it, and it can lose track: say one object twice, or of one object x and of another y, where
nothing is. Where the domain keeps its objects apart (`datagen.domains.base.Spacing`) and a number may be what a cell shows
(`model.parts.cell_head`), both are ruled out:

- A cell that shows a place nearer to an object that was named than two objects can be shows that object, and is closed.
- Two cells that show places nearer than that show one object. Once a number of a place is what a cell shows, other objects' cells are
  closed to the rest of that place.
- A number that would put an object nearer to another than can be is closed, whoever says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datagen.domains.base import Domain
from datagen.errors import UserError
from model.parts.cell_head import Cells, Mixture
from model.tokens.codec import Slot

UNKNOWN = torch.nan  # nearer to nothing, and farther from nothing


@dataclass(frozen=True)
class Coverage:
    """The rule of a domain: no two places, in the numbers of these ``slots``, are nearer than ``least``. ``halves`` are of the slots'
    ranges, which turn normalised values into lengths.

    Of texts, a row each, ``numbers`` (rows, slots) are the latest of each slot; ``named`` (rows, objects, components) the places of their
    objects, `UNKNOWN` beyond those; ``shown`` (rows, components) the place that the cell shows which said the first number of the latest,
    `UNKNOWN` if none did. ``cells`` are those of their images, and ``slot`` (rows,) is that of the number in question, -1 for none.
    """

    slots: torch.Tensor
    halves: torch.Tensor
    least: float

    @staticmethod
    def of(domain: Domain, slots: Sequence[Slot], device: torch.device) -> Coverage | None:
        """That of a domain of one statement, of whose numbers ``slots`` are; None if nothing keeps its objects apart."""
        if domain.spacing is None:
            return None
        at = sorted(_find(name, slots, domain) for name in domain.spacing.components)
        halves = torch.tensor([(slots[i].high - slots[i].low) / 2 for i in at], device=device)
        return Coverage(torch.tensor(at, device=device), halves, domain.spacing.least)

    def nothing_named(self, rows: int, objects: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``named`` and ``shown`` of texts before their first object, which can come to have so many."""
        named = torch.full((rows, objects, len(self.slots)), UNKNOWN, device=self.slots.device)
        return named, named[:, 0]

    def open(
        self, mixture: Mixture, slot: torch.Tensor, cells: Cells, *, numbers: torch.Tensor, named: torch.Tensor, shown: torch.Tensor
    ) -> torch.Tensor:
        """(rows, 1 + cells) which values of a mixture may be said."""
        component = self._component(slot)[:, None]
        seen = self._places(cells.values)
        own = torch.full_like(seen[:, :1], UNKNOWN)
        value = mixture.centres[..., None] * self.halves
        before, now = (self._every < component)[:, None], (self._every == component)[:, None]
        places = torch.where(before, self._places(numbers)[:, None], torch.where(now, value, torch.cat([own, seen], 1)))
        taken = (torch.cdist(places, named, compute_mode="donot_use_mm_for_euclid_dist") < self.least).any(-1)
        elsewhere = torch.cat([places[:, :1], seen], 1).sub(shown[:, None]).norm(dim=-1) >= self.least
        return (component < 0) | ~(taken | elsewhere & (component > 0))

    def showing(self, slot: torch.Tensor, option: torch.Tensor, cells: Cells, shown: torch.Tensor) -> torch.Tensor:
        """``shown``, once an option of a mixture has been said."""
        seen = self._places(cells.values)
        place = seen.gather(1, (option - 1).clamp(min=0)[:, None, None].expand(-1, 1, seen.shape[2]))[:, 0]
        place = torch.where(option[:, None] > 0, place, UNKNOWN)
        return torch.where((self._component(slot) == 0)[:, None], place, shown)

    def naming(self, slot: torch.Tensor, numbers: torch.Tensor, objects: torch.Tensor, named: torch.Tensor) -> torch.Tensor:
        """``named``, once a number of the latest of so many objects (rows,) has been said."""
        whole = self._component(slot) == len(self.slots) - 1
        latest = torch.arange(named.shape[1], device=slot.device) == objects[:, None] - 1
        return torch.where((whole[:, None] & latest)[..., None], self._places(numbers)[:, None], named)

    def _component(self, slot: torch.Tensor) -> torch.Tensor:
        """Which number of a place slots are, -1 for none."""
        found = slot[..., None] == self.slots
        return torch.where(found.any(-1), found.int().argmax(-1), -1)

    @property
    def _every(self) -> torch.Tensor:
        return torch.arange(len(self.slots), device=self.slots.device)

    def _places(self, numbers: torch.Tensor) -> torch.Tensor:
        """(..., slots) normalised numbers to (..., components) lengths, whose zero is anywhere."""
        return numbers[..., self.slots] * self.halves


def _find(component: str, slots: Sequence[Slot], domain: Domain) -> int:
    """The slot of a component: ``loc.x``, or the name of a number that has but one."""
    for i, slot in enumerate(slots):
        of_several = slot.argument.components > 1
        if component == (f"{slot.argument.name}.{'xyz'[slot.component : slot.component + 1]}" if of_several else slot.argument.name):
            return i
    raise UserError(f"the {domain.name} domain keeps its objects apart in {component}, which is no number of its code")
