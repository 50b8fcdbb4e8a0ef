"""Very large images made smaller, for uses that do not need all of their pixels."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

MOST_PIXELS = 1920 * 1080
"""The greatest number of pixels of an image that is not made smaller."""


def shrinkage(height: int, width: int) -> int:
    """The factor by which `reduced` divides height and width of an image: the least whole number that leaves about `MOST_PIXELS`."""
    return max(1, math.ceil(math.sqrt(height * width / MOST_PIXELS)))


def reduced(image: np.ndarray) -> np.ndarray:
    """An image (height, width, 3) uint8 made smaller by its `shrinkage`, each pixel the mean of a square; the same image if that is 1."""
    factor = shrinkage(*image.shape[:2])
    return image if factor == 1 else np.array(Image.fromarray(image).reduce(factor))
