"""Predicted scenes, drawn over images."""

from __future__ import annotations

import numpy as np
import pytest

from datagen.domains.registry import get_domain
from datagen.samples.labels import view_of
from datagen.scene import Object, Scene
from render.overlay import AXES, INK, SIDE, overlay

DOT2D = get_domain("dot2d")


@pytest.mark.parametrize("side", [48, 200])
def test_outlines_lie_around_what_was_read_and_nowhere_else(side: int) -> None:
    shot = DOT2D.canonical_shot(side, side, "draft")
    read = Scene("dot2d", (Object("dot", {"loc": (0.7, 0.3)}),))
    image = np.full((side, side, 3), 90, np.uint8)
    drawn = overlay(image, read, shot, DOT2D)
    assert drawn.shape[0] == drawn.shape[1] >= SIDE
    assert drawn.shape[0] % side == 0
    assert (image == 90).all()
    inked = (drawn == INK).all(-1)
    assert (drawn[~inked] == 90).all()
    factor = drawn.shape[0] // side
    inside = (view_of(read, DOT2D, shot).owner == 0).repeat(factor, 0).repeat(factor, 1)
    rows, columns = np.nonzero(inside)
    assert inked[rows.min(), columns[rows == rows.min()]].all()
    assert not inked[int(rows.mean()), int(columns.mean())]
    reach = np.pad(inside, 1)
    near = reach[:-2, 1:-1] | reach[2:, 1:-1] | reach[1:-1, :-2] | reach[1:-1, 2:] | inside
    assert not (inked & ~near).any()


def test_nothing_read_is_nothing_drawn() -> None:
    shot = DOT2D.canonical_shot(200, 200, "draft")
    image = np.arange(200 * 200 * 3, dtype=np.uint8).reshape(200, 200, 3)
    assert (overlay(image, Scene("dot2d", ()), shot, DOT2D) == image).all()


def test_poses_show_the_axes_of_an_object_and_no_others() -> None:
    """Turned a little to the left: x, red, to the right; z, blue, upwards; y, green, to the left and away, foreshortened."""
    so3 = get_domain("so3")
    image = np.zeros((96, 96, 3), np.uint8)
    drawn = overlay(image, Scene("so3", (Object("add", {"rotation": (0.0, 0.0, 30.0)}),)), so3.canonical_shot(96, 96, "draft"), so3)
    middle = drawn.shape[0] / 2
    found = {axis: np.argwhere((drawn == ink).all(-1)) for axis, ink in zip("xyz", AXES, strict=True)}
    lengths = {axis: np.abs(places - middle).max() for axis, places in found.items()}
    assert lengths["y"] < lengths["z"]
    assert lengths["y"] < lengths["x"]
    assert found["x"][:, 1].max() - middle == lengths["x"]
    assert middle - found["y"][:, 1].min() == lengths["y"]
    assert middle - found["z"][:, 0].min() == lengths["z"]
