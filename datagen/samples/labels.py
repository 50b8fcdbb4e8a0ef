"""Exact labels of a scene in a shot: each object's mask, bounding box, centre and depth.

Masks and boxes come from the objects at the pixels' centres (`Domain.view`), without a renderer, so equal scenes give equal labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from datagen.domains.base import Domain
from datagen.geometry.view import NOBODY, View
from datagen.scene import Scene, Shot


def view_of(scene: Scene, domain: Domain, shot: Shot) -> View:
    """Which object each pixel of a shot shows."""
    view = domain.view(scene, shot)
    assert view is not None
    return view


def label_objects(scene: Scene, domain: Domain, shot: Shot, view: View) -> list[dict[str, Any]]:
    """Per object: ``pixel_coords`` [x, y, depth] of its centre, ``visible_pixels``, ``bbox`` [x, y, width, height], ``mask``.

    Pixels count from the top left corner, depth is in metres (0 in a plane), the mask is COCO's uncompressed run-length code. A centre
    that is not in front of the camera has x = y = -1 and a depth of at most 1e-6.
    """
    centres = domain.centres(scene.objects, shot)
    runs = _Runs(view.owner)
    return [
        {"pixel_coords": [round(v, 6) for v in centre], **runs.pixels_and_box(index), "mask": runs.rle(index)}
        for index, centre in enumerate(centres.tolist())
    ]


def pixels_and_box(runs: Sequence[tuple[int, int]], height: int) -> dict[str, Any]:
    """``visible_pixels`` and ``bbox`` [x, y, width, height] of a mask, given as runs (start, end) of pixels down a frame's columns; all
    zero without runs."""
    if not runs:
        return {"visible_pixels": 0, "bbox": [0, 0, 0, 0]}
    left, right = runs[0][0] // height, (runs[-1][1] - 1) // height
    top = min(start % height for start, _ in runs)
    bottom = max((end - 1) % height for _, end in runs)
    if any(start // height != (end - 1) // height for start, end in runs):  # a run that continues at the top of the next column
        top, bottom = 0, height - 1
    return {"visible_pixels": sum(end - start for start, end in runs), "bbox": [left, top, right - left + 1, bottom - top + 1]}


def runs_of(counts: Sequence[int]) -> list[tuple[int, int]]:
    """The runs (start, end) of set pixels in a mask given in COCO's uncompressed run-length code."""
    ends = list(accumulate(counts))
    return [(start, end) for start, end in zip(ends[::2], ends[1::2], strict=False) if start < end]


class _Runs:
    """The masks of all objects of a view: runs of pixels down the columns, one column after the other, by owner."""

    def __init__(self, owner: np.ndarray) -> None:
        self._height, self._width = owner.shape
        columns = np.ascontiguousarray(owner.T).reshape(-1)
        changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
        starts, ends = np.concatenate([[0], changes]), np.concatenate([changes, [columns.size]])
        self._of: dict[int, list[tuple[int, int]]] = {}
        for who, start, end in zip(columns[starts].tolist(), starts.tolist(), ends.tolist(), strict=True):
            self._of.setdefault(who, []).append((start, end))

    def pixels_and_box(self, index: int) -> dict[str, Any]:
        """``visible_pixels`` and ``bbox`` of an object."""
        return pixels_and_box(self._of.get(index, ()), self._height)

    def rle(self, index: int) -> dict[str, Any]:
        """COCO's uncompressed run-length code: run lengths down the columns, beginning with zeros."""
        counts: list[int] = []
        at = 0
        for start, end in self._of.get(index, ()):
            counts += (start - at, end - start)
            at = end
        rest = self._height * self._width - at
        return {"size": [self._height, self._width], "counts": [*counts, rest] if rest else counts}


def masks_of(view: View, count: int) -> list[list[int]]:
    """The masks of the first `count` objects of a view, each as the run lengths of COCO's uncompressed code."""
    runs = _Runs(view.owner)
    return [runs.rle(index)["counts"] for index in range(count)]


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed run-length code of a (height, width) boolean mask: run lengths down the columns, beginning with zeros."""
    return _Runs(np.where(mask, 0, NOBODY)).rle(0)


def decode_rle(rle: dict[str, list[int]]) -> np.ndarray:
    """The (height, width) boolean mask of `encode_rle`'s result."""
    height, width = rle["size"]
    values = np.arange(len(rle["counts"])) % 2 == 1
    return np.repeat(values, rle["counts"]).reshape(width, height).T
