"""The image at several sizes, and how far a frame is from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

LONGEST = 320
"""Pixels: the longer side of the largest frame that is compared with an image."""
TOLERANCE = 0.12
"""The difference, of sRGB in [0, 1], from which on a pixel counts less and less: what no number can explain must not drag the others."""
SMALLEST = 24  # pixels: the shortest side of a frame that is compared


@dataclass(frozen=True)
class Level:
    """An image at one size: ``pixels`` (height, width, 3) float32, sRGB in [0, 1], to be compared with frames of so many ``samples``.

    ``blur``, in pixels, is the standard deviation of the Gaussian through which both are seen.
    Without ``angles``, those of objects stay: too little is seen of them.
    """

    pixels: np.ndarray
    samples: int
    blur: float
    angles: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def residual(self, frame: np.ndarray) -> np.ndarray:
        """What the frame lacks of the image, blurred: (height, width, 3)."""
        return blurred(self.pixels - frame, self.blur)


def levels(image: np.ndarray) -> tuple[Level, Level, Level]:
    """An image (height, width, 3) uint8 at a coarse, a middle and a fine size; small images have the same size at several."""
    high, wide = image.shape[:2]
    fine = min(1.0, LONGEST / max(high, wide))
    shares = [max(fine / 2**halvings, min(fine, SMALLEST / min(high, wide))) for halvings in (2, 1, 0)]
    coarse, middle, full = (_shrunk(image, max(1, round(wide * s)), max(1, round(high * s))) for s in shares)
    return Level(coarse, 4, 1.2, angles=False), Level(middle, 3, 1.0), Level(full, 2, 0.8)


def costs(residual: np.ndarray) -> np.ndarray:
    """How much each pixel of a residual counts, (height, width): the square of small differences, the logarithm of large ones."""
    return np.asarray(np.log1p((residual / TOLERANCE) ** 2).sum(2) * TOLERANCE**2)


def weights(residual: np.ndarray) -> np.ndarray:
    """The weight of each value's square, which makes its sum have the slope of `costs`."""
    return np.asarray(1.0 / (1.0 + (residual / TOLERANCE) ** 2))


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """Values (height, width, channels) seen through a Gaussian; outside there is nothing."""
    return np.asarray(gaussian_filter(values, (sigma, sigma, 0), mode="constant", truncate=3.0)) if sigma else values


def _shrunk(image: np.ndarray, wide: int, high: int) -> np.ndarray:
    """The image's light averaged over pixels of a frame of this size."""
    level = image.astype(np.float32) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    if (wide, high) != (image.shape[1], image.shape[0]):
        channels = [Image.fromarray(np.ascontiguousarray(light[..., c])).resize((wide, high), Image.Resampling.BOX) for c in range(3)]
        light = np.stack([np.asarray(channel) for channel in channels], axis=2)
        return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055).astype(np.float32)
    return level
