"""The view of a scene: which object each pixel of a frame shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOBODY = -1

MIN_VISIBLE_PIXELS = 200  # of every object at 320x240 (CLEVR); scaled with the frame's area


def min_visible_pixels(width: int, height: int) -> float:
    """How many pixels of every object must be seen in a frame of this size."""
    return MIN_VISIBLE_PIXELS * width * height / (320 * 240)


@dataclass(frozen=True)
class View:
    """What each pixel shows: ``owner`` (height, width) int16, the object's index or `NOBODY`; ``depth`` (height, width) of that object in
    metres, inf for none; None if the domain has no depth."""

    owner: np.ndarray
    depth: np.ndarray | None = None

    def visible_pixels(self, count: int) -> np.ndarray:
        """How many pixels each of `count` objects owns."""
        return np.bincount(self.owner.reshape(-1) + 1, minlength=count + 1)[1:]
