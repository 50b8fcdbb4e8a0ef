"""What is seen at each pixel of a frame."""

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
    """What is seen: ``owner`` (height, width) int16, the object's index or -1; ``depth`` of the objects (height, width), metres, inf for
    none, or None where a domain has no depth."""

    owner: np.ndarray
    depth: np.ndarray | None = None

    def visible_pixels(self, count: int) -> np.ndarray:
        """How many pixels each of `count` objects owns."""
        return np.bincount(self.owner.reshape(-1) + 1, minlength=count + 1)[1:]
