"""What was read, drawn over an image."""

from __future__ import annotations

import numpy as np
import pytest

from datagen.domains import get_domain
from datagen.labels import look
from datagen.scene import Object, Scene
from render.overlay import INK, SIDE, overlay

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
    inside = (look(read, DOT2D, shot).owner == 0).repeat(factor, 0).repeat(factor, 1)
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
