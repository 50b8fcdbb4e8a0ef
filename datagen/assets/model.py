"""The model that a class's recipe makes, and the colours that recipes choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from datagen.assets.mesh import Mesh
from datagen.geometry.rotations import NO_SYMMETRY, Symmetry
from datagen.rng import Stream

Levels = tuple[int, int, int]
"""A colour as 8-bit red, green and blue, which are linear light, as in CLEVR."""

PAINTS: tuple[Levels, ...] = (
    (173, 35, 35),
    (42, 75, 215),
    (29, 105, 20),
    (255, 190, 40),
    (129, 38, 192),
    (41, 160, 190),
    (225, 95, 30),
    (220, 220, 215),
    (40, 50, 70),
    (200, 70, 120),
)
WOODS: tuple[Levels, ...] = ((140, 82, 40), (96, 52, 26), (188, 130, 76), (70, 38, 22))
CREAM: Levels = (226, 216, 196)
DARK: Levels = (24, 24, 27)
GLASS: Levels = (52, 74, 92)
GREY: Levels = (150, 152, 156)
RED: Levels = (190, 20, 16)

T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """A mesh before it is normalised. ``colors`` has one for each slot that the mesh uses; a scene repaints slot 0."""

    mesh: Mesh
    colors: tuple[Levels, ...]
    symmetry: Symmetry = NO_SYMMETRY


def pick(rng: Stream, options: Sequence[T]) -> T:
    """One of the options, each equally likely."""
    return options[rng.below(len(options))]


def two_paints(rng: Stream, options: Sequence[Levels] = PAINTS) -> tuple[Levels, Levels]:
    """Two different colours."""
    first = rng.below(len(options))
    second = (first + 1 + rng.below(len(options) - 1)) % len(options)
    return options[first], options[second]
