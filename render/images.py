"""The similarity of two images: PSNR, SSIM, FLIP as a number and as a map, and whether they count as the same image.

All functions take two (height, width, 3) uint8 sRGB images of equal size and raise ValueError for anything else.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from PIL import Image

from datagen.images.reduced import reduced
from render.filters import LineFilter, strips
from render.flip import flip_map

MAX_PSNR = 100.0
"""Decibels. Equal images have infinite PSNR, which neither a mean nor JSON can hold; PSNR is capped at this value."""

MIN_SIDE = 11
"""Pixels: the width of SSIM's window, and so the least height and width of an image."""

_AT_ONCE = 2**20  # pixels whose differences are held in memory


@dataclass(frozen=True)
class ImageScores:
    """``psnr`` in dB up to `MAX_PSNR`, ``ssim`` in [-1, 1], ``flip`` in [0, 1] (0: no visible difference), ``same`` as `same_image`.

    ``reduced`` is true if SSIM and FLIP are of smaller copies.
    """

    psnr: float
    ssim: float
    flip: float
    same: bool
    reduced: bool = False

    def to_json(self) -> dict[str, float | bool]:
        """Plain JSON."""
        return asdict(self)


def score_images(reference: np.ndarray, test: np.ndarray) -> ImageScores:
    """All scores of two images, as by `compare_images`."""
    return compare_images(reference, test)[0]


def compare_images(reference: np.ndarray, test: np.ndarray) -> tuple[ImageScores, np.ndarray]:
    """All scores of two images, and FLIP at every pixel (height, width) float32.

    SSIM and FLIP take two seconds and 100 MB for a million pixels, so that those of very large images are computed on smaller copies
    (`datagen.images.reduced`).
    """
    _check(reference, test)
    small = reduced(reference), reduced(test)
    error, mean = _flip(*small)
    return ImageScores(psnr(reference, test), ssim(*small), mean, same_image(reference, test), small[0] is not reference), error


def psnr(reference: np.ndarray, test: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all values of all channels, 10 log10(255² / MSE), at most `MAX_PSNR`."""
    _check(reference, test)
    error = sum(int((apart.astype(np.int64) ** 2).sum()) for apart in _apart(reference, test)) / reference.size
    return min(MAX_PSNR, 10 * math.log10(255**2 / error)) if error else MAX_PSNR


def ssim(reference: np.ndarray, test: np.ndarray) -> float:
    """Structural similarity with the Gaussian window of Wang et al. 2004 (11 pixels, sigma 1.5), the mean over RGB.

    In [-1, 1]; no side may be shorter than `MIN_SIDE`.
    """
    _check(reference, test)
    total, window = 0.0, _window()
    for rows in strips(len(reference) - 2 * window.radius, reference.shape[1]):
        reach = slice(rows.start, rows.stop + 2 * window.radius)
        total += float(_similarity(_planes(reference[reach]), _planes(test[reach])).sum(dtype=np.float64))
    height, width, channels = reference.shape
    return total / ((height - 2 * window.radius) * (width - 2 * window.radius) * channels)


def _similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SSIM at each pixel of planes (3, height, width) around which the whole window lies."""
    window = _window()
    middle = np.round((x.mean((1, 2), keepdims=True) + y.mean((1, 2), keepdims=True)) / 2)
    near_x, near_y = x - middle, y - middle  # of small numbers, float32 keeps the differences of squares to more places
    mean_x, mean_y, *squared = window.along(-1, window.along(-2, np.stack([near_x, near_y, near_x**2, near_y**2, near_x * near_y])))
    variances = (squared[0] - mean_x**2) + (squared[1] - mean_y**2)  # in this order, equal images have exactly 1
    covariance = squared[2] - mean_x * mean_y
    mean_x, mean_y = mean_x + middle, mean_y + middle
    squares, product = mean_x**2 + mean_y**2, mean_x * mean_y
    steady, steadier = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
    return (2 * product + steady) * (2 * covariance + steadier) / ((squares + steady) * (variances + steadier))


def _planes(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float32)


@cache
def _window() -> LineFilter:
    x = np.arange(MIN_SIDE) - MIN_SIDE // 2
    weights = np.exp(-(x**2) / (2 * 1.5**2))
    return LineFilter(weights / weights.sum())


def flip(reference: np.ndarray, test: np.ndarray) -> float:
    """The mean of LDR-FLIP (Andersson et al. 2020) at its standard 67 pixels a degree: in [0, 1], 0 for equal images."""
    _check(reference, test)
    return _flip(reference, test)[1]


def _flip(reference: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, float]:
    error = flip_map(reference, test)
    return error, float(error.mean(dtype=np.float64))


def heat_image(error: np.ndarray) -> bytes:
    """The PNG of a map (height, width) of values in [0, 1] in the magma colours: black for 0, pale yellow for 1."""
    picture = Image.fromarray(np.round(np.clip(error, 0, 1) * 255).astype(np.uint8), "P")
    picture.putpalette(_magma())
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


@cache
def _magma() -> bytes:
    from matplotlib import colormaps  # which takes a quarter of a second

    return bytes(np.round(colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8))


def same_image(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether all values differ by at most 1 of 255, and at most one in a thousand differs: as two Cycles renders of one scene may."""
    _check(one, other)
    different = 0
    for apart in _apart(one, other):
        if np.abs(apart).max() > 1:
            return False
        different += np.count_nonzero(apart)
    return different * 1000 <= one.size


def _apart(one: np.ndarray, other: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the differences (rows, width, 3) int16 of two images for some rows at a time, because those of a whole large image would
    take many times its memory."""
    rows = max(1, _AT_ONCE // one.shape[1])
    for first in range(0, len(one), rows):
        yield one[first : first + rows].astype(np.int16) - other[first : first + rows]


def _check(one: np.ndarray, other: np.ndarray) -> None:
    for image in (one, other):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is (height, width, 3) uint8, not {image.shape} {image.dtype}")
    if one.shape != other.shape:
        raise ValueError(f"images of {one.shape[1]}x{one.shape[0]} and {other.shape[1]}x{other.shape[0]} cannot be compared")
