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
from typing import Protocol

import torch

from datagen.domains.base import Domain
from datagen.domains.dialects import Dialect
from datagen.domains.staged import StagedDomain
from datagen.domains.views import camera_as_seen
from datagen.errors import UserError
from datagen.scene import Camera
from model.parts.cell_head import Cells, LaplaceMixture
from model.tokens.pieces import Slot

LEAST_FALL = 1e-2  # of a ray on each metre ahead: flatter ones meet the ground too far away to matter
UNKNOWN = torch.nan  # coordinate of an absent position: distances to it are NaN, whose comparisons are false


@dataclass(frozen=True)
class Coverage:
    """The minimum distance between a domain's objects: ``least``, between the positions in these ``slots`` (components,).

    ``metric`` turns normalised numbers into positions between which lengths are measured.

    The methods' arguments describe unfinished texts, a row each: ``numbers`` (rows, slots), the latest normalised number of each slot;
    ``placed`` (rows, objects, components), the positions of the described objects, then `UNKNOWN`; ``cell_place`` (rows, components), the
    position of the cell whose value is the first number of the latest object's position, `UNKNOWN` if that number is the head's own;
    ``cells``, the read-outs of the images; ``slot`` (rows,), the slot of the next number, -1 for none.
    """

    slots: torch.Tensor
    metric: Metric
    least: float

    @staticmethod
    def of(written: Dialect, slots: Sequence[Slot], device: torch.device) -> Coverage | None:
        """The coverage of a dialect whose one statement of objects has these ``slots``; None if its domain has no minimum distance."""
        domain = written.domain
        if domain.spacing is None:
            return None
        if written.seen:
            at = [i for i, slot in enumerate(slots) if slot.argument.name == "loc" and slot.statement == written.statements[0].name]
            metric: Metric = SeenPlaces.of(written, slots, at, device)
        else:
            at = sorted(_find(name, slots, domain) for name in domain.spacing.components)
            metric = WorldPlaces(torch.tensor([(slots[i].high - slots[i].low) / 2 for i in at], device=device))
        return Coverage(torch.tensor(at, device=device), metric, domain.spacing.least)

    def nothing_placed(self, rows: int, objects: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``placed`` and ``cell_place`` of texts without objects yet, with room for ``objects`` each."""
        placed = torch.full((rows, objects, self.metric.width), UNKNOWN, device=self.slots.device)
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
        of_cells = self._places(cells.values, numbers)
        shown = cells.values[..., self.slots]
        value, own = mixture.centres[..., None], torch.full_like(shown[:, :1], UNKNOWN)
        before, now = (self._every < component)[:, None], (self._every == component)[:, None]
        written = numbers[:, None, self.slots]
        places = self.metric(torch.where(before, written, torch.where(now, value, torch.cat([own, shown], 1))), numbers)
        taken = (torch.cdist(places, placed, compute_mode="donot_use_mm_for_euclid_dist") < self.least).any(-1)
        elsewhere = torch.cat([places[:, :1], of_cells], 1).sub(cell_place[:, None]).norm(dim=-1) >= self.least
        return (component < 0) | ~(taken | elsewhere & (component > 0))

    def of_one_object(self, cells: Cells, numbers: torch.Tensor, cell_place: torch.Tensor) -> torch.Tensor:
        """(rows, 1 + cells) bool: which values of a mixture are of the object that the cell at ``cell_place`` shows: the head's own, and
        those of cells that show a place within the minimum distance; all where ``cell_place`` is `UNKNOWN`."""
        elsewhere = self._places(cells.values, numbers).sub(cell_place[:, None]).norm(dim=-1) >= self.least
        return ~torch.cat([torch.zeros_like(elsewhere[:, :1]), elsewhere], 1)

    def cell_place_after(
        self, slot: torch.Tensor, option: torch.Tensor, cells: Cells, numbers: torch.Tensor, cell_place: torch.Tensor
    ) -> torch.Tensor:
        """``cell_place`` after writing an ``option`` (rows,) of a mixture: 0 for the head's own value, 1 + i for that of cell i."""
        of_cells = self._places(cells.values, numbers)
        place = of_cells.gather(1, (option - 1).clamp(min=0)[:, None, None].expand(-1, 1, of_cells.shape[2]))[:, 0]
        place = torch.where(option[:, None] > 0, place, UNKNOWN)
        return torch.where((self._component(slot) == 0)[:, None], place, cell_place)

    def placed_after(self, slot: torch.Tensor, numbers: torch.Tensor, objects: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
        """``placed`` after writing a number of the latest object; ``objects`` (rows,) counts the objects so far."""
        whole = self._component(slot) == len(self.slots) - 1
        latest = torch.arange(placed.shape[1], device=slot.device) == objects[:, None] - 1
        return torch.where((whole[:, None] & latest)[..., None], self._places(numbers[:, None], numbers), placed)

    def _component(self, slot: torch.Tensor) -> torch.Tensor:
        """The component of a position that each slot holds, -1 for none; of the same shape as ``slot``."""
        found = slot[..., None] == self.slots
        return torch.where(found.any(-1), found.int().argmax(-1), -1)

    @property
    def _every(self) -> torch.Tensor:
        return torch.arange(len(self.slots), device=self.slots.device)

    def _places(self, values: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """(rows, options, slots) normalised numbers to (rows, options, width) positions."""
        return self.metric(values[..., self.slots], numbers)


class Metric(Protocol):
    """Turns normalised numbers of a position (rows, options, components) into positions (rows, options, ``width``), in the unit of the
    minimum distance and up to a constant shift; ``numbers`` (rows, slots) are the latest of each slot, those of the header among them.
    """

    @property
    def width(self) -> int: ...

    def __call__(self, values: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class WorldPlaces:
    """Positions written in the world's frame: ``halves`` (components,) are half the ranges of their slots."""

    halves: torch.Tensor

    @property
    def width(self) -> int:
        return len(self.halves)

    def __call__(self, values: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return values * self.halves


@dataclass(frozen=True)
class SeenPlaces:
    """Positions written as places in the image and heights (`datagen.domains.views`): the points of the ground, to the right of the
    camera and before it, over which the objects stand. ``steps`` and ``middles`` (components,) turn normalised values into the
    dialect's. The camera is that in the slots ``camera`` (height of its target, elevation, log distance, log lens), each with its step and
    middle, or, without these, the one in ``fixed``, in the same order.
    """

    steps: torch.Tensor
    middles: torch.Tensor
    camera: tuple[Slot, ...]
    at: tuple[int, ...]
    fixed: tuple[float, ...]

    @staticmethod
    def of(written: Dialect, slots: Sequence[Slot], at: Sequence[int], device: torch.device) -> SeenPlaces:
        """The metric of a dialect with these slots, where those ``at`` these indices are a location's."""
        middles, halves = ([getattr(slots[i], end) for i in at] for end in ("middle", "half"))
        assert isinstance(written.domain, StagedDomain)
        own = camera_as_seen(written.domain.header_of(written.domain.canonical_shot(1, 1, "draft"))[0])
        fixed = (own["target"][2], own["loc"][2], own["loc"][3], float(own["lens"]))
        wanted = (("target", 2), ("loc", 2), ("loc", 3), ("lens", 0))
        found = {(s.argument.name, s.component): i for i, s in enumerate(slots) if s.statement == "camera"}
        places = tuple(found[name] for name in wanted) if found else ()
        return SeenPlaces(
            torch.tensor(halves, device=device), torch.tensor(middles, device=device), tuple(slots[i] for i in places), places, fixed
        )

    @property
    def width(self) -> int:
        return 2

    def __call__(self, values: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        right, up, height = (values * self.steps + self.middles).unbind(-1)
        if self.camera:
            stated = [(numbers[:, i] * slot.half + slot.middle)[:, None] for slot, i in zip(self.camera, self.at, strict=True)]
        else:
            stated = [values.new_full((1, 1), value) for value in self.fixed]
        target, elevation, distance, lens = stated[0], torch.deg2rad(stated[1]), stated[2].exp(), stated[3].exp()
        across = Camera.sensor_mm / 2 / lens
        over = target + distance * elevation.sin() - height
        down = elevation.sin() - up * across * elevation.cos()
        step = (over / down.clamp(min=LEAST_FALL)).clamp(min=0.0)
        return torch.stack([step * right * across, step * (elevation.cos() + up * across * elevation.sin())], dim=-1)


def _find(component: str, slots: Sequence[Slot], domain: Domain) -> int:
    """The index of the slot of a position component, named as ``loc.x``, or as a number with a single component."""
    for i, slot in enumerate(slots):
        of_several = slot.argument.components > 1
        if component == (f"{slot.argument.name}.{'xyz'[slot.component : slot.component + 1]}" if of_several else slot.argument.name):
            return i
    raise UserError(f"the {domain.name} domain keeps its objects apart in {component}, which is no number of its code")
