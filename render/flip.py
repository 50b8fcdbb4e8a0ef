"""LDR-FLIP, the difference that a person sees when two images are shown in turn: Andersson et al. 2020, "FLIP: A Difference Evaluator for
Alternating Images", at 67 pixels a degree.

The values are those of the authors' ``flip-evaluator`` 1.7 up to the rounding of float32 (a test compares them), in a tenth of its time on
one core: colours are looked up and turned by matrix products, and filters are products with banded matrices (`render.filters`).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from render.filters import LineFilter, strips

PIXELS_PER_DEGREE = 0.7 * (3840 / 0.7) * math.pi / 180
"""Of a screen that is 0.7 m wide and away, and has 3840 pixels in a row."""

# Of the paper: the exponents of colour and features, the share of the greatest difference that is mapped to the share of the range, and the
# width in degrees of the feature detectors.
_COLOR_EXPONENT, _FEATURE_EXPONENT, _KNEE, _KNEE_VALUE, _FEATURE_WIDTH = 0.7, 0.5, 0.4, 0.95, 0.082

# Contrast sensitivity as sums of Gaussians a sqrt(pi / b) exp(-pi² x² / b), x in degrees: (a, b) for Y, Cx and Cz.
_SENSITIVITY = (((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025)))

# Linear sRGB to XYZ, over the white's: so that grey is (v, v, v).
_TO_XYZ = np.array(
    [
        [10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794],
        [2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897],
        [1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382],
    ]
)
_TO_XYZ /= _TO_XYZ.sum(axis=1, keepdims=True)

# From such XYZ to luminance and two opponent colours: YCxCz of linear light, CIELab of its cube root. Both have 16 less as their first.
_TO_OPPONENTS = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_OFFSET = 16.0


def flip_map(reference: np.ndarray, test: np.ndarray) -> np.ndarray:
    """FLIP at every pixel (height, width) float32 in [0, 1] of two (height, width, 3) uint8 sRGB images."""
    margin = _margin()
    padded = np.pad(np.stack([reference, test]), ((0, 0), (margin, margin), (margin, margin), (0, 0)), "edge")
    return np.concatenate([_strip(padded[:, rows.start : rows.stop + 2 * margin]) for rows in strips(*reference.shape[:2])])


def _strip(images: np.ndarray) -> np.ndarray:
    """FLIP of rows of both images (2, height, width, 3), within the margin around them."""
    opponents = _opponents(images)
    color = _color_difference(*_perceived(opponents))
    feature = _feature_difference(*_features(opponents[0] * np.float32(1 / 116)))
    return np.minimum(color ** (1 - feature), 1)  # which rounding may exceed


def _opponents(images: np.ndarray) -> np.ndarray:
    """Y + 16, Cx and Cz (3, 2, height, width) float32 of images (2, height, width, 3)."""
    linear = _linear_light()[np.moveaxis(images, -1, 0)]
    return _turned(_TO_OPPONENTS @ _TO_XYZ, linear)


@cache
def _linear_light() -> np.ndarray:
    """The linear light of each value of sRGB."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _turned(matrix: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """The product of a matrix (3, 3) with the colour of each pixel; planes are (3, ...) float32."""
    return (matrix.astype(np.float32) @ planes.reshape(3, -1)).reshape(planes.shape)


# Colour


def _perceived(opponents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colours (3, height, width) of both images as they are seen from afar: CIELab with the Hunt effect."""
    margin = _margin()
    seen = np.stack(
        [
            sum(one.along(-2, one.along(-1, plane, margin), margin) for one in gaussians)
            for plane, gaussians in zip(opponents, _sensitivity(), strict=True)
        ]
    )
    linear = _turned(np.linalg.inv(_TO_OPPONENTS @ _TO_XYZ), seen)
    np.minimum(np.maximum(linear, 0, out=linear), 1, out=linear)
    lab = _cielab(linear)
    return lab[:, 0], lab[:, 1]


def _cielab(linear: np.ndarray) -> np.ndarray:
    """CIELab of linear light (3, ...), with chroma that grows with lightness, as Hunt found."""
    xyz = _turned(_TO_XYZ, linear)
    delta = 6 / 29
    root = np.where(xyz > delta**3, np.cbrt(xyz), xyz * np.float32(1 / (3 * delta**2)) + np.float32(4 / 29))
    lab = _turned(_TO_OPPONENTS, root)
    lab[0] -= np.float32(_OFFSET)
    lab[1:] *= np.float32(0.01) * lab[0]
    return lab


def _color_difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference of colours in [0, 1]: their HyAB distance over that of green and blue, with large ones pressed together."""
    greatest = _greatest_difference()
    knee = _KNEE * greatest
    apart = _hyab(one, other) ** np.float32(_COLOR_EXPONENT)
    near, far = apart * np.float32(_KNEE_VALUE / knee), (apart - np.float32(knee)) * np.float32((1 - _KNEE_VALUE) / (greatest - knee))
    return np.where(apart < knee, near, np.float32(_KNEE_VALUE) + far)


def _hyab(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lightness, *chroma = one - other
    return np.abs(lightness) + _length(*chroma)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)  # a third of the time of np.hypot


@cache
def _greatest_difference() -> float:
    green, blue = (_cielab(np.array(color, np.float32)) for color in ([0, 1, 0], [0, 0, 1]))
    return float(_hyab(green, blue)) ** _COLOR_EXPONENT


# Features: edges and points, by the first and second derivatives of a Gaussian


def _features(luminance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strengths of edges and of points (2, height, width) in both images, of their luminance (2, height, width) in [0, 1]."""
    margin, (smooth, *detectors) = _margin(), _detectors()
    columns, rows = smooth.along(-2, luminance, margin), smooth.along(-1, luminance, margin)
    edges, points = (_length(one.along(-1, columns, margin), one.along(-2, rows, margin)) for one in detectors)
    return edges, points


def _feature_difference(edges: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The difference of features in [0, 1]: of edges or of points, whichever is larger."""
    apart = np.maximum(*(np.abs(one - other) for one, other in (edges, points)))
    return (apart * np.float32(1 / math.sqrt(2))) ** np.float32(_FEATURE_EXPONENT)


# Filters


class _Detectors(NamedTuple):
    """Filters of the features, for one axis."""

    smooth: LineFilter
    edge: LineFilter
    point: LineFilter


@cache
def _detectors() -> _Detectors:
    width = 0.5 * _FEATURE_WIDTH * PIXELS_PER_DEGREE
    x = _places(width)
    bell = np.exp(-(x**2) / (2 * width**2))
    edge, point = -x * bell, (x**2 / width**2 - 1) * bell
    smooth, *signed = bell / bell.sum(), *(_balanced(one) for one in (edge, point))
    return _Detectors(LineFilter(smooth), *map(LineFilter, signed))


def _balanced(weights: np.ndarray) -> np.ndarray:
    """Weights of which the positive ones sum up to 1, and the negative ones to -1."""
    up, down = np.maximum(weights, 0), np.maximum(-weights, 0)
    return up / up.sum() - down / down.sum()


@cache
def _sensitivity() -> list[list[LineFilter]]:
    """For Y, Cx and Cz, the Gaussians whose sum is the filter, each to be used along both axes."""
    x = _places(math.sqrt(max(b for gaussians in _SENSITIVITY for _, b in gaussians) / 2) / math.pi * PIXELS_PER_DEGREE) / PIXELS_PER_DEGREE
    found = []
    for gaussians in _SENSITIVITY:
        roots = [math.sqrt(a * math.sqrt(math.pi / b)) * np.exp(-(math.pi**2) * x**2 / b) for a, b in gaussians]
        total = math.sqrt(sum(root.sum() ** 2 for root in roots))
        found.append([LineFilter(root / total) for root in roots])
    return found


def _places(deviation: float) -> np.ndarray:
    """Whole pixels as far as three standard deviations."""
    radius = math.ceil(3 * deviation)
    return np.arange(-radius, radius + 1.0)


@cache
def _margin() -> int:
    """The pixels around an image that the widest filter reaches."""
    return max(one.radius for one in (*_detectors(), *(one for gaussians in _sensitivity() for one in gaussians)))
