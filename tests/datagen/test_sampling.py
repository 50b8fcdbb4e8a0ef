"""Drawn scenes: a function of (seed, index), within CLEVR's rules, with exact labels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.camera import project, rays
from datagen.domain import SceneLimits
from datagen.domains import get_domain
from datagen.domains.clevr import CAMERA, SIZES, SPLIT_COLORS
from datagen.errors import UserError
from datagen.labels import cast, decode_rle, encode_rle, label_objects, min_visible_pixels
from datagen.sampling import Drawn, draw
from datagen.scene import Scene
from datagen.settings import DatasetSettings
from datagen.solids import Solid

CLEVR = get_domain("clevr")
SHOT = CLEVR.canonical_shot(320, 240, "draft")


def drawn(index: int, seed: int = 0, split: str = "default", least: int = 3, most: int = 10) -> Drawn:
    return draw(CLEVR, SceneLimits(split, least, most), SHOT, seed, index)


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    once, again = drawn(5), drawn(5)
    assert once.scene.objects == again.scene.objects
    assert once.shot == again.shot
    assert (once.view.owner == again.view.owner).all()
    others = [drawn(index, seed).scene for seed, index in ((0, 6), (1, 5), (1, 4), (6, 0))]
    assert all(scene != once.scene for scene in others)


@pytest.mark.parametrize("index", range(12))
def test_scenes_keep_clevrs_rules(index: int) -> None:
    scene, shot, view = (sample := drawn(index)).scene, sample.shot, sample.view
    assert 3 <= len(scene) <= 10
    assert CLEVR.violations(scene) == []
    assert CLEVR.canonical(scene).objects == scene.objects
    assert (view.visible_pixels(len(scene)) >= min_visible_pixels(320, 240)).all()
    for one, other in itertools.combinations(scene.objects, 2):
        step = np.subtract(one["loc"], other["loc"])
        assert math.hypot(step[0], step[1]) - SIZES[one["size"]] - SIZES[other["size"]] >= 0.25 - 1e-9
        assert all(abs(step @ CLEVR.directions[name]) >= 0.4 - 0.3 * (step[2] != 0) for name in ("right", "behind"))
    for lamp, standard in zip(shot.lamps, SHOT.lamps, strict=True):
        assert np.abs(np.subtract(lamp.location, standard.location)).max() <= 1.0
    assert shot.camera == CAMERA


@pytest.mark.parametrize("split", ["cogent-a", "cogent-b"])
def test_a_split_keeps_its_palettes(split: str) -> None:
    seen = {(obj["shape"], obj["color"]) for index in range(25) for obj in drawn(index, split=split).scene}
    for shape, palette in SPLIT_COLORS[split].items():
        assert {color for s, color in seen if s == shape} <= set(palette)
    assert len({color for shape, color in seen if shape == "sphere"}) > 4


def test_counts_are_uniform_although_crowded_scenes_are_refused_more_often() -> None:
    shot = CLEVR.canonical_shot(64, 48, "draft")
    counts = np.bincount([len(draw(CLEVR, SceneLimits("default", 3, 10), shot, 3, i).scene) for i in range(240)], minlength=11)[3:]
    expected = 240 / 8
    assert ((counts - expected) ** 2 / expected).sum() < 24.3  # chi-square, 7 degrees of freedom, p = 0.001


def test_impossible_requests_are_refused() -> None:
    for limits in (SceneLimits("default", 5, 4), SceneLimits("default", 3, 30), SceneLimits("cogent-c", 3, 5)):
        with pytest.raises(UserError):
            CLEVR.check_limits(limits)
    for settings in ({"seed": -1}, {"seed": 2**32}, {"width": 3}, {"quality": "best"}, {"shard_size": 0}):
        with pytest.raises(UserError):
            DatasetSettings(**settings)


def test_rays_and_projection_are_inverse() -> None:
    points = np.array(CAMERA.location) + 7.0 * rays(CAMERA, 32, 24)[[0, 11, 23], [0, 20, 31]]
    assert np.allclose(project(CAMERA, 32, 24, points), [[0.5, 0.5, 7], [20.5, 11.5, 7], [31.5, 23.5, 7]])


def test_the_camera_looks_at_the_origin_from_above() -> None:
    centre, above, right = project(CAMERA, 320, 240, np.array([[0, 0, 0], [0, 0, 1], CLEVR.directions["right"]]))
    assert np.allclose(centre[:2], [160, 120])
    assert above[1] < centre[1]
    assert right[0] > centre[0]


@pytest.mark.parametrize(("kind", "expected"), [("sphere", 9.0), ("cube", 9.0), ("cylinder", 9.0)])
def test_a_ray_meets_a_solid_where_it_should(kind: str, expected: float) -> None:
    solid = Solid(kind, (0.0, 0.0, 0.0), 1.0)  # type: ignore[arg-type]
    hits = solid.depth((10.0, 0.0, 0.0), np.array([[-1.0, 0.0, 0.0], [-1.0, 0.0, 0.2], [1.0, 0.0, 0.0]]))
    assert hits[0] == pytest.approx(expected)
    assert np.isinf(hits[1:]).all()
    turned = Solid("cube", (0.0, 0.0, 0.0), 1.0, 45.0).depth((10.0, 0.0, 0.0), np.array([[-1.0, 0.0, 0.0]]))
    assert turned[0] == pytest.approx(10 - math.sqrt(2))


def test_the_nearer_object_owns_a_pixel() -> None:
    sample = drawn(1)
    for index, obj in enumerate(sample.scene.objects):
        alone = cast(Scene("clevr", (obj,)), CLEVR, CAMERA, 320, 240)
        mine = sample.view.owner == index
        assert (alone.owner[mine] == 0).all()
        hidden = (alone.owner == 0) & ~mine
        assert (sample.view.depth[hidden] <= alone.depth[hidden]).all()


def test_labels_agree_with_the_view() -> None:
    sample = drawn(2)
    for index, label in enumerate(label_objects(sample.scene, CLEVR, sample.shot.camera, sample.view)):
        mask = decode_rle(label["mask"])
        assert (mask == (sample.view.owner == index)).all()
        assert label["visible_pixels"] == mask.sum()
        x, y, width, height = label["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum()
        assert mask[y].any()
        assert mask[:, x].any()


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**49 - 1))
def test_run_lengths_survive(height: int, width: int, bits: int) -> None:
    mask = np.array([bits >> i & 1 for i in range(height * width)], bool).reshape(height, width)
    rle = encode_rle(mask)
    assert (decode_rle(rle) == mask).all()
    assert sum(rle["counts"]) == mask.size


def test_the_mirrored_scene_gives_the_mirrored_view() -> None:
    for index in range(6):
        sample = drawn(index)
        mirrored = cast(CLEVR.mirrored(sample.scene), CLEVR, CAMERA, 320, 240)
        seen, flipped = sample.view.owner >= 0, mirrored.owner[:, ::-1] >= 0
        assert (seen != flipped).mean() < 1e-3  # numbers are rounded anew
