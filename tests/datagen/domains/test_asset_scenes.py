"""Scenes of assets: the placement of objects, what splits hold out, and scores of classes."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from datagen.assets.library import CLASSES
from datagen.assets.paint import texture
from datagen.domains.assets import OWN, SHAPES, TEXTURES
from datagen.domains.placing import MIN_GAP
from datagen.domains.registry import get_domain
from datagen.domains.split_files import load_split
from datagen.errors import UserError
from datagen.metrics.scores import score_scene
from datagen.metrics.summary import summarize
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Object, Scene

DOMAIN = get_domain("assets")


def scenes(split: str, count: int = 8) -> list[Scene]:
    """Scenes of a split, with at least four objects each."""
    settings = DatasetSettings("assets", split, seed=5, width=64, height=48, min_objects=4)
    return [draw(settings, index).scene for index in range(count)]


def hull(obj: Object) -> np.ndarray:
    """An object's vertices in the world frame, (N, 3)."""
    return DOMAIN.solid(obj).hull()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("split", ["floor", "known", "unseen-textures", "unseen-shapes"])
def test_on_the_floor_objects_stand_upright_and_touch_it(split: str) -> None:
    for scene in scenes(split):
        for obj in scene:
            assert obj["rotation"][:2] == (0.0, 0.0)
            assert 0 <= hull(obj)[:, 2].min() < 0.0011


def test_free_objects_float_over_the_floor_turned_any_way() -> None:
    objects = [obj for scene in scenes("default") for obj in scene]
    heights = [hull(obj)[:, 2].min() for obj in objects]
    assert min(heights) >= 0 and 0.3 < np.mean(heights) < 0.7
    assert len({obj["rotation"] for obj in objects}) == len(objects)


@pytest.mark.parametrize("split", ["default", "floor"])
def test_objects_keep_a_gap_seen_from_above(split: str) -> None:
    for scene in scenes(split):
        for one, other in combinations(scene.objects, 2):
            radii = [np.hypot(*(hull(obj) - obj["loc"]).T[:2]).max() for obj in (one, other)]
            assert np.hypot(*np.subtract(one["loc"], other["loc"])[:2]) - sum(radii) >= MIN_GAP - 1e-9
        places = [np.dot(DOMAIN.location(obj), DOMAIN.directions["right"]) for obj in scene]
        assert all(left < right for left, right in pairwise(places))


@pytest.mark.parametrize("suffix", ["", "-free"])
def test_splits_hold_out_shapes_and_textures(suffix: str) -> None:
    allowed = {
        "known": (SHAPES.seen, TEXTURES.seen),
        "unseen-textures": (SHAPES.seen, TEXTURES.unseen),
        "unseen-shapes": (SHAPES.unseen, TEXTURES.seen),
    }
    for name, (shapes, textures) in allowed.items():
        for scene in scenes(name + suffix, 4):
            assert all(obj["shape"] in shapes and obj["texture"] in textures for obj in scene)


def test_of_every_class_some_instances_are_known_and_others_held_out() -> None:
    assert not set(SHAPES.seen) & set(SHAPES.unseen) and not set(TEXTURES.seen) & set(TEXTURES.unseen)
    for shapes in (SHAPES.seen, SHAPES.unseen):
        assert {SHAPES.groups[shape] for shape in shapes} == set(CLASSES)


def test_no_two_textures_look_alike() -> None:
    looks = [texture(word) for word in (*TEXTURES.seen, *TEXTURES.unseen) if word != OWN]
    assert len(set(looks)) == len(looks)
    assert {look.pattern for look in map(texture, TEXTURES.unseen)} == {look.pattern for look in looks}


def test_a_split_of_ones_own_can_narrow_the_clearance(tmp_path: Path) -> None:
    path = tmp_path / "low.json"
    path.write_text('{"ranges": {"clearance": [0.1, 0.2], "rotation.x": [0, 0], "rotation.y": [0, 0]}}')
    settings = DatasetSettings("assets", rules=load_split(str(path), DOMAIN), width=64, height=48)
    for obj in draw(settings, 0).scene:
        assert 0.1 <= hull(obj)[:, 2].min() <= 0.2011
    path.write_text('{"ranges": {"clearance": [0, 9]}}')
    with pytest.raises(UserError, match=r"ranges\.clearance"):
        load_split(str(path), DOMAIN)


def thing(**values: object) -> Object:
    plain = {"loc": (0.0, 0.0, 0.9), "scale": 1.0, "texture": "plain-0", "shape": "chair-0", "rotation": (0.0, 0.0, 30.0)}
    return Object("add", plain | values)  # type: ignore[arg-type]


def test_another_shape_of_the_class_is_right_in_class_alone() -> None:
    truth = Scene("assets", (thing(),))
    guess = Scene("assets", (thing(shape="chair-6", texture="plain-5", rotation=(0.0, 0.0, 40.0)),))
    found = summarize([score_scene(truth, guess, DOMAIN)])
    assert found["accuracy_all"] == {"texture": 0.0, "shape": 0.0, "class": 1.0, "pattern": 1.0}
    assert found["rotation_error"]["mean"] == pytest.approx(10.0)
    missed = summarize([score_scene(truth, Scene("assets", ()), DOMAIN)])
    assert missed["accuracy_all"]["class"] == 0.0 and missed["accuracy_matched"]["class"] is None


def test_a_pose_is_compared_within_a_class_and_modulo_its_shape() -> None:
    bottle = thing(shape="bottle-1", texture="checks-1")
    assert DOMAIN.rotation_error(bottle, bottle.replaced(rotation=(0.0, 0.0, 170.0))) == pytest.approx(0.0, abs=1e-6)
    assert DOMAIN.rotation_error(bottle, thing()) is None


def test_a_pattern_makes_a_turn_count_in_code_that_plain_paint_does_not() -> None:
    bottle = thing(shape="bottle-1", texture="plain-0")
    assert DOMAIN.canonical_object(bottle)["rotation"] == (0.0, 0.0, 0.0)
    assert DOMAIN.canonical_object(bottle.replaced(texture="checks-1"))["rotation"] == (0.0, 0.0, 30.0)
