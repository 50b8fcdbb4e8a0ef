"""What the solids of the 3-D view are made of: a colour, or a pattern that the page computes as Blender does (`blender_scenes.paints`)."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from datagen.assets.limits import MOST_BYTES
from datagen.assets.paint import Paint
from datagen.errors import ImageError
from datagen.images.encoding import decode_image, encode_image
from datagen.io.files import read_regular
from render.studio.kept import Kept

Levels = tuple[float, ...]
GREY = (0.5, 0.5, 0.5)


class Surfaces:
    """Makes the page's surfaces of paints. ``textures`` keeps the images that the pages fetch, as PNG by their keys."""

    def __init__(self, textures: Kept[bytes]) -> None:
        self._textures = textures

    def of(self, paint: Paint) -> dict[str, Any]:
        """The surface of a paint: its linear ``color``, 0 to 1, whether it is ``metal``, and its ``pattern``, None for a plain one and for
        an image that cannot be read. The colour of a pattern is its mean."""
        metal = paint.finish == "metal"
        if paint.pattern == "plain":
            return {"color": _linear(paint.first), "metal": metal, "pattern": None}
        color, image = _middle(paint), None
        if paint.image is not None:
            found = _image(paint.image)
            if found is None:
                return {"color": GREY, "metal": metal, "pattern": None}
            color, image, png = found
            self._textures.put(image, png)
        pattern = {
            "name": paint.pattern,
            "first": _linear(paint.first),
            "second": _linear(paint.second),
            "cells": paint.cells,
            "turn": [math.radians(angle) for angle in paint.turn],
            "offset": paint.offset,
            "image": image,
        }
        return {"color": color, "metal": metal, "pattern": pattern}


def _linear(levels: tuple[int, ...]) -> Levels:
    """8-bit levels, which are linear light, from 0 to 1."""
    return tuple(level / 255 for level in levels)


def _middle(paint: Paint) -> Levels:
    return tuple((a + b) / 2 for a, b in zip(_linear(paint.first), _linear(paint.second), strict=True))


@lru_cache(maxsize=64)
def _image(path: str) -> tuple[Levels, str, bytes] | None:
    """The mean linear colour of an image, its key and its pixels as PNG; None if it cannot be read."""
    try:
        pixels = decode_image(read_regular(Path(path), MOST_BYTES), path)
    except (ImageError, OSError):
        return None
    png = encode_image(pixels)
    mean = tuple(((pixels.reshape(-1, 3) / 255) ** 2.2).mean(0).tolist())
    return mean, hashlib.sha256(png).hexdigest()[:32], png
