"""Scenes of cubes and of random objects, for tests of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from datagen.domains.clevr import COLORS, MATERIALS, SHAPES, SIZES
from datagen.domains.registry import get_domain
from datagen.scene import Object, Scene

DOMAIN = get_domain("clevr")
EMPTY = Scene("clevr", ())
SEEDS = st.integers(0, 2**32 - 1)


def random_scene(rng: np.random.Generator, count: int, few_words: bool = False) -> Scene:
    """A scene of objects at random places, so that distances have no ties; with `few_words` most are alike, so that matches compete."""
    colors = ("red", "blue") if few_words else tuple(COLORS)
    objects = []
    for _ in range(count):
        shape = "cube" if few_words else str(rng.choice(SHAPES))
        values: dict[str, Any] = {
            "loc": tuple(rng.uniform(-1, 1, 3).tolist()),
            "shape": shape,
            "size": "small" if few_words else str(rng.choice(list(SIZES))),
            "material": "metal" if few_words else str(rng.choice(MATERIALS)),
            "color": str(rng.choice(colors)),
            "rotation": float(rng.uniform(0, 90)) if shape == "cube" else 0.0,
        }
        objects.append(Object("add", values))
    return Scene("clevr", tuple(objects))


def cube(x: float, y: float = 0.0, color: str = "red", rotation: float = 0.0) -> Object:
    return Object("add", {"loc": (x, y, 0.35), "shape": "cube", "size": "small", "material": "metal", "color": color, "rotation": rotation})


def cubes(*objects: Object) -> Scene:
    return Scene("clevr", objects)
