"""The paint of a slot: one colour, a pattern of two, or an image. A texture's id, such as ``checks-12``, is its pattern and seed."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from datagen.assets.ids import SeededIds
from datagen.assets.library import Asset
from datagen.assets.model import GREY, PAINTS, WOODS, Levels, pick, two_paints
from datagen.errors import UserError
from datagen.geometry.rotations import NO_SYMMETRY, Symmetry
from datagen.rng import Stream
from datagen.scene import Vec3

Pattern = Literal["plain", "stripes", "checks", "noise", "wood", "image"]
Finish = Literal["rubber", "metal"]
PATTERNS: tuple[str, ...] = tuple(pattern for pattern in get_args(Pattern) if pattern != "image")
"""The patterns that have ids; an image has a file instead."""
_IDS = SeededIds("texture", "texture pattern", PATTERNS, "checks-12")


@dataclass(frozen=True)
class Paint:
    """A surface as plain data, in the asset's own frame, so that it turns and scales with the asset.

    ``first`` and ``second`` are the pattern's colours; ``cells`` the number of stripes, checks or grains along a length of 1, the distance
    of the asset's farthest vertex; ``turn`` the pattern's axes as Euler angles in degrees, ``offset`` its origin. An ``image`` is projected
    from the six sides of a box.
    """

    pattern: Pattern
    first: Levels = GREY
    second: Levels = GREY
    cells: float = 1.0
    turn: Vec3 = (0.0, 0.0, 0.0)
    offset: Vec3 = (0.0, 0.0, 0.0)
    finish: Finish = "rubber"
    image: str | None = None

    def symmetry(self, asset: Asset) -> Symmetry:
        """The symmetry of the asset with this paint in slot 0: none if it is a pattern or an image."""
        return asset.symmetry if self.pattern == "plain" else NO_SYMMETRY


def texture_id(pattern: str, seed: int) -> str:
    """The id of a pattern with a seed. `UserError` for an unknown pattern, or a seed outside [0, `datagen.assets.ids.MOST_SEED`]."""
    return _IDS.join(pattern, seed)


@lru_cache(maxsize=1024)
def texture(name: str) -> Paint:
    """The paint of an id like ``checks-12``, the same in every process. `UserError` if there is none."""
    pattern, seed = _IDS.split(name)
    return _drawn(pattern, Stream(zlib.crc32(b"texture " + pattern.encode()), seed))


def _drawn(pattern: str, rng: Stream) -> Paint:
    offset = (rng.random(), rng.random(), rng.random())
    first, second = two_paints(rng)
    finish: Finish = "metal" if rng.random() < 0.2 else "rubber"
    if pattern == "stripes":  # along any direction
        turn = (0.0, math.degrees(math.acos(rng.uniform(-1, 1))), rng.uniform(-180, 180))
        return Paint("stripes", first, second, rng.uniform(2.5, 7.0), turn, offset, finish)
    if pattern == "checks":
        return Paint("checks", first, second, rng.uniform(2.5, 6.0), (0.0, 0.0, rng.uniform(0, 90)), offset, finish)
    if pattern == "noise":
        return Paint("noise", first, second, rng.uniform(2.0, 6.0), (0.0, 0.0, 0.0), offset, finish)
    if pattern == "wood":
        light, dark = two_paints(rng, WOODS)
        return Paint("wood", light, dark, rng.uniform(2.0, 4.0), (rng.uniform(-25, 25), rng.uniform(60, 120), 0.0), offset)
    return Paint("plain", pick(rng, PAINTS), finish=finish)


def image_paint(path: Path, cells: float = 0.5, finish: Finish = "rubber") -> Paint:
    """The paint of an image file, repeated `cells` times along a length of 1. `UserError` if there is no such file."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such image; name a PNG or JPEG file")
    return Paint("image", cells=cells, finish=finish, image=str(path.absolute()))


def paints(asset: Asset, over: Paint | None = None) -> tuple[Paint, ...]:
    """One paint for each of an asset's slots: its own colours, but ``over``, if given, for slot 0."""
    own = tuple(Paint("plain", color) for color in asset.colors)
    return own if over is None else (over, *own[1:])
