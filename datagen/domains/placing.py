"""Placement on the ground: free positions for an object beside those placed before, by CLEVR's rules (Johnson et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable

from datagen.rng import Stream
from datagen.scene import Vec3

MIN_GAP = 0.25  # metres between bounding circles on the plane
MIN_MARGIN = 0.4  # metres along each of left/right/front/behind
LEAST_APART = math.hypot(MIN_MARGIN, MIN_MARGIN)  # the margins keep any two positions this far apart, whatever the objects' sizes
PLACEMENT_TRIES = 50  # positions tried for one object before the scene is drawn anew

Disc = tuple[float, float, float]
"""What an object covers of the plane: x, y, radius in metres."""
Axes = tuple[Vec3, Vec3]
"""Unit vectors on the plane: right and behind, as the camera sees them."""


def free_spot(  # noqa: PLR0917
    rng: Stream,
    taken: list[Disc],
    radius: float,
    x_ends: tuple[float, float],
    y_ends: tuple[float, float],
    axes: Axes,
    allowed: Callable[[float, float], bool] | None,
) -> tuple[float, float] | None:
    """A position in metres, rounded to millimetres, that is allowed and keeps CLEVR's gap and margins; None after `PLACEMENT_TRIES`."""
    random = rng.random
    (x_low, x_high), (y_low, y_high) = x_ends, y_ends
    x_span, y_span = x_high - x_low, y_high - y_low
    for _ in range(PLACEMENT_TRIES):
        x = round((x_low + x_span * random()) * 1000) / 1000
        y = round((y_low + y_span * random()) * 1000) / 1000
        if (allowed is None or allowed(x, y)) and _keeps_clear(x, y, radius, taken, axes):
            return x, y
    return None


def _keeps_clear(x: float, y: float, radius: float, taken: list[Disc], axes: Axes) -> bool:
    """Whether an object of this radius at (x, y) keeps CLEVR's gap and margins to the taken discs."""
    (right_x, right_y, _), (behind_x, behind_y, _) = axes
    for other_x, other_y, other in taken:
        off_x, off_y = x - other_x, y - other_y
        if abs(off_x * right_x + off_y * right_y) < MIN_MARGIN or abs(off_x * behind_x + off_y * behind_y) < MIN_MARGIN:
            return False
        if math.hypot(off_x, off_y) - radius - other < MIN_GAP:
            return False
    return True
