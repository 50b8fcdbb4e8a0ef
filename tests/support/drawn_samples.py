"""Samples as generation makes them, but for their pixels."""

from __future__ import annotations

import numpy as np

from datagen.samples.draw import draw
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings

WIDTH, HEIGHT = 64, 48


def draw_sample(index: int, split: str = "default", width: int = WIDTH, height: int = HEIGHT) -> Sample:
    """A sample as generation makes it, except that its pixels are noise, seeded by its index."""
    drawn = draw(DatasetSettings(split=split, seed=3, width=width, height=height, quality="draft", min_objects=2, max_objects=4), index)
    pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
    origin = {"index": index, "seed": 3, "attempt": drawn.attempt, "split": split}
    return make_sample(f"{index:09d}", drawn.scene, drawn.shot, pixels, drawn.view, **origin)
