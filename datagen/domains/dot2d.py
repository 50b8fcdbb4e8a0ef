"""One dot on a plain image: IG-LLM's two-dimensional task (Kulits et al. 2024), whose code holds numbers and no words.

The unit square lies in the middle of the frame, as large as it can be with every dot wholly within the frame: x runs to the right, y
upwards, and both are 0 in its lower left corner. Lengths are in sides of the square.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from datagen.code.statements import Number, Statement
from datagen.domains.base import PaintedDomain
from datagen.domains.splits import Region, Split
from datagen.geometry.disc import Disc
from datagen.geometry.view import NOBODY, View
from datagen.rng import Stream
from datagen.scene import Object, Scene, Shot, Vec3

RADIUS = 0.05
DOT, GROUND = (255, 0, 0), (255, 255, 255)
"""8-bit RGB of the dot and of the background."""
DECIMALS = 4
CHECKERS = 13  # cells along each side of the checkerboard's square
_AT_ONCE = 2**20  # pixels painted together in floating point, at 24 bytes each
PLACEMENT_TRIES = 100  # positions tried for one dot before the scene is given up


def checkerboard(cells: int, decimals: int = DECIMALS) -> tuple[Region, ...]:
    """The cells of a sparse checkerboard on a grid of `cells` by `cells`: every other row, in each every fourth cell, all corners included.

    The checkerboard is its own mirror image, so that mirrored training images stay in training cells. `cells` is one more than a multiple
    of 4.
    """
    edges = [round(i / cells, decimals) for i in range(cells + 1)]

    def lines(first: int) -> tuple[tuple[float, float], ...]:
        return tuple((edges[i], edges[i + 1]) for i in range(first, cells, 4))

    return tuple((("loc.x", lines(first)), ("loc.y", lines(first))) for first in (0, 2))


def gaps(cells: int, decimals: int = DECIMALS) -> tuple[Region, ...]:
    """The part of the square outside `checkerboard`: the rows that it skips, and the gaps between its cells in the other rows."""
    least = 10.0**-decimals

    def between(taken: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        ends = [(0.0, -least), *sorted(taken), (1.0 + least, 1.0)]
        left = ((round(a[1] + least, decimals), round(b[0] - least, decimals)) for a, b in pairwise(ends))
        return tuple((low, high) for low, high in left if low <= high)

    fields = [dict(region) for region in checkerboard(cells, decimals)]
    rows: Region = (("loc.y", between(row for field in fields for row in field["loc.y"])),)
    return (rows, *((("loc.x", between(field["loc.x"])), ("loc.y", field["loc.y"])) for field in fields))


class Dot2d(PaintedDomain):
    """The domain of scenes of dots. See the module's docstring and `Domain`."""

    def location(self, obj: Object) -> Vec3:
        x, y = obj["loc"]
        return (x, y, 0.0)

    def mirrored(self, scene: Scene) -> Scene:
        flipped = (obj.replaced(loc=(1.0 - obj["loc"][0], obj["loc"][1])) for obj in scene.objects)
        return self.canonical(Scene(scene.domain, tuple(flipped)))

    def sample_scene(self, rng: Stream, count: int, split: Split) -> Scene | None:
        """Draw each dot uniformly from the positions that the split allows."""
        dots = []
        for _ in range(count):
            spot = _spot(rng, split)
            if spot is None:
                return None
            dots.append(self.canonical_object(Object("dot", {"loc": spot})))
        return Scene(self.name, tuple(sorted(dots, key=self.order)))

    def centres(self, objects: Sequence[Object], shot: Shot) -> np.ndarray:
        side, left, bottom = _square(shot)
        places = np.array([self.location(obj) for obj in objects]).reshape(-1, 3)
        return places * (side, -side, 1.0) + (left, bottom, 0.0)

    def view(self, scene: Scene, shot: Shot, least: float = 0.0) -> View | None:
        """A pixel shows a dot if the dot covers its centre; of several dots, it shows the last."""
        owner = np.full((shot.height, shot.width), NOBODY, np.int16)
        for index, disc in enumerate(self._discs(scene, shot)):
            window = disc.window(shot.width, shot.height)
            owner[window][disc.inside(window)] = index
        view = View(owner)
        return view if (view.visible_pixels(len(scene)) >= least).all() else None

    def paint(self, scene: Scene, shot: Shot) -> np.ndarray:
        """Paint each pixel with the exact mean colour over its area, an integral rounded to 8 bits, not a sample."""
        image = np.empty((shot.height, shot.width, 3), np.uint8)
        discs = [(disc, *disc.window(shot.width, shot.height)) for disc in self._discs(scene, shot)]
        at_once = max(1, _AT_ONCE // shot.width)
        for top in range(0, shot.height, at_once):
            bottom = min(top + at_once, shot.height)
            part = np.full((bottom - top, shot.width, 3), GROUND, float)
            for disc, rows, columns in discs:
                first, last = max(rows.start, top), min(rows.stop, bottom)
                if first < last:
                    seen = part[first - top : last - top, columns]
                    seen += (np.array(DOT) - seen) * disc.coverage((slice(first, last), columns))[..., None]
            image[top:bottom] = np.rint(part)
        return image

    def _discs(self, scene: Scene, shot: Shot) -> list[Disc]:
        """The dots on the frame in pixels, in the scene's order. Dots share one colour, so the order does not matter for painting."""
        side, _, _ = _square(shot)
        return [Disc(x, y, RADIUS * side) for x, y, _ in self.centres(scene.objects, shot).tolist()]


def _square(shot: Shot) -> tuple[float, float, float]:
    """The unit square on the frame, in pixels: its side, x of its left edge, y of its lower edge."""
    side = min(shot.width, shot.height) / (1 + 2 * RADIUS)
    return side, (shot.width - side) / 2, (shot.height + side) / 2


def _spot(rng: Stream, split: Split) -> tuple[float, float] | None:
    """A position drawn uniformly from those that the split allows; None after `PLACEMENT_TRIES`."""
    ends = [split.range(name, 0.0, 1.0) for name in ("loc.x", "loc.y")]
    for _ in range(PLACEMENT_TRIES):
        x, y = (round(rng.uniform(*pair), DECIMALS) for pair in ends)
        if split.holds({"loc.x": x, "loc.y": y}):
            return x, y
    return None


DOT2D = Dot2d(
    name="dot2d",
    statements=(Statement("dot", (Number("loc", (0.0, 0.0), (1.0, 1.0), DECIMALS, "sides"),)),),
    max_objects=1,
    splits={
        split.name: split
        for split in (
            Split("default", objects=(1, 1)),
            Split("checkerboard", objects=(1, 1), regions=checkerboard(CHECKERS)),
            Split("checkerboard-gaps", objects=(1, 1), regions=gaps(CHECKERS)),
        )
    },
    drawn_numbers=("loc.x", "loc.y"),
    unit="sides",
    ap_thresholds=(math.inf, 0.1, 0.05, 0.02, 0.01),
)
