"""Paints as data: ids, seeds, slots, and the symmetry that a pattern leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.assets.library import instance
from datagen.assets.paint import PATTERNS, Paint, image_paint, paints, texture, texture_id
from datagen.errors import UserError


@pytest.mark.parametrize("pattern", PATTERNS)
def test_seeds_make_different_paints_of_a_pattern_and_the_same_again(pattern: str) -> None:
    made = [texture(texture_id(pattern, seed)) for seed in range(30)]
    assert all(paint.pattern == pattern for paint in made)
    assert len(set(made)) > (5 if pattern == "plain" else 29)
    texture.cache_clear()
    assert [texture(f"{pattern}-{seed}") for seed in range(30)] == made
    if pattern != "plain":
        assert all(paint.first != paint.second for paint in made)


@pytest.mark.parametrize("name", ["checks", "checks-01", "tartan-1", "checks-1000000", "image-1"])
def test_an_id_of_nothing_is_an_error(name: str) -> None:
    with pytest.raises(UserError, match="stripes, checks"):
        texture(name)
    with pytest.raises(UserError, match="no texture"):
        texture_id("tartan", 1)
    with pytest.raises(UserError, match="seed"):
        texture_id("checks", -1)


def test_paint_goes_onto_slot_0_alone() -> None:
    asset = instance("aeroplane-3")
    plain, over = paints(asset), paints(asset, texture("checks-1"))
    assert [paint.first for paint in plain] == list(asset.colors)
    assert over[0] == texture("checks-1") and over[1:] == plain[1:]


def test_a_pattern_tells_turns_apart() -> None:
    bottle = instance("bottle-1")
    assert Paint("plain").symmetry(bottle) == bottle.symmetry
    assert texture("stripes-1").symmetry(bottle).none


def test_an_image_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such image"):
        image_paint(tmp_path / "none.png")
