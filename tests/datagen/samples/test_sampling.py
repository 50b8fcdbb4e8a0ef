"""Drawn scenes: a function of (seed, index), within CLEVR's rules, with exact labels."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.domains.clevr import CAMERA, SIZES
from datagen.domains.registry import get_domain
from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.geometry.camera import Rays, project, rays
from datagen.geometry.raycast import _windows
from datagen.geometry.solids import Solid
from datagen.geometry.view import min_visible_pixels
from datagen.rng import Stream
from datagen.samples.draw import Drawn, check_request, draw
from datagen.samples.labels import decode_rle, encode_rle, label_objects, view_of
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Scene

CLEVR = get_domain("clevr")
SHOT = CLEVR.canonical_shot(320, 240, "draft")


def drawn(index: int, seed: int = 0, split: str = "default", least: int = 3, most: int = 10) -> Drawn:
    return draw(DatasetSettings(split=split, seed=seed, min_objects=least, max_objects=most, quality="draft"), index)


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


# split, seed, frame, counts, index, digest of the drawn scene and shot, digest of the labels
PINNED = [
    ("default", 0, (320, 240), (3, 10), 0, "1f4e812a4a77fc5c", "9d6b7a2a2e9ae9d8"),
    ("default", 0, (320, 240), (3, 10), 1, "ac386d3a2f8bddfb", "d87c94a114c44d15"),
    ("default", 0, (320, 240), (3, 10), 2, "e838fb6cb9735f2c", "b835adf6885e6aed"),
    ("default", 0, (320, 240), (3, 10), 3, "a8a3a67ce6efcd53", "7b485e3b8854d9e4"),
    ("default", 7, (160, 120), (3, 10), 0, "ea5e86d10fcb8737", "59d9a3b9b766e4ea"),
    ("default", 7, (160, 120), (3, 10), 1, "b7f486c875329a4c", "9173fb3619090dbb"),
    ("default", 7, (160, 120), (3, 10), 2, "fdcf498a6409f12f", "dc0b2a3d4ab29c42"),
    ("default", 7, (160, 120), (3, 10), 3, "409f9346f8dace93", "9ac80b64cfdd6dce"),
    ("cogent-a", 1, (320, 240), (3, 10), 0, "7d33be6b75d28b1f", "38cd2e7bcbf53fb0"),
    ("cogent-a", 1, (320, 240), (3, 10), 1, "cdbece5d993216d3", "f6a0a687027f5be8"),
    ("cogent-a", 1, (320, 240), (3, 10), 2, "b8aa1600c53c92cf", "2564824187fd74a2"),
    ("cogent-a", 1, (320, 240), (3, 10), 3, "cb4183154a1552eb", "c0f4e3fcfe6cd51b"),
    ("cogent-b", 2, (64, 48), (3, 10), 0, "2effce4b16e8809a", "aaaa1b068e17a67b"),
    ("cogent-b", 2, (64, 48), (3, 10), 1, "adcb662620fc0950", "f03b7b084f43fd78"),
    ("cogent-b", 2, (64, 48), (3, 10), 2, "cc9ef90662936465", "38f376a4f8d3b616"),
    ("cogent-b", 2, (64, 48), (3, 10), 3, "ce511a477e64fd49", "5f6e8664c1506d77"),
    ("default", 5, (48, 64), (1, 10), 0, "cf2a5e230d204887", "7781ebc5c7e7e3e8"),
    ("default", 5, (48, 64), (1, 10), 1, "267770ef4740f817", "86191fc45708f80e"),
    ("default", 5, (48, 64), (1, 10), 2, "b49634399577d901", "b17cc04326ac0272"),
    ("default", 5, (48, 64), (1, 10), 3, "e81100ea80b41f0b", "fbc705d23dc2b579"),
    ("default", 9, (640, 480), (10, 10), 0, "dc75358b5c3f682b", "8b81e79ed0841f83"),
    ("cogent-b", 4294967295, (320, 240), (0, 6), 0, "95a420f5ff94d8c6", "5210e5096578686d"),
    ("cogent-b", 4294967295, (320, 240), (0, 6), 1, "7c0706a07f900cd9", "dd7df5a2df8098ac"),
    ("cogent-b", 4294967295, (320, 240), (0, 6), 2, "29e62e1a8cab71f5", "3a8ddeccc82c6b8c"),
    ("cogent-b", 4294967295, (320, 240), (0, 6), 3, "a446e4ca90d8f209", "673485c96658bb03"),
]


@pytest.mark.parametrize("pinned", PINNED)
def test_the_built_in_splits_draw_what_they_always_drew(pinned: Any) -> None:
    split, seed, frame, counts, index, scene, labels = pinned
    sizes = {"width": frame[0], "height": frame[1], "min_objects": counts[0], "max_objects": counts[1]}
    sample = draw(DatasetSettings(split=split, seed=seed, **sizes), index)
    assert digest([sample.scene.to_json(), sample.shot.to_json()["lamps"], sample.shot.noise_seed, sample.attempt]) == scene
    assert digest(label_objects(sample.scene, CLEVR, sample.shot, sample.view)) == labels


def digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]


@given(st.integers(0, 2**32), st.lists(st.integers(0, 40), min_size=1, max_size=300))
def test_streams_are_those_of_numpys_generator(seed: int, codes: list[int]) -> None:
    """In `codes`, 0 is a float in [0, 1), else an integer below a bound: up to 31 itself, to 35 about 2**23 to 2**26, else 3 * 2**30."""
    ours, theirs = Stream(seed, 3), np.random.default_rng(np.random.SeedSequence((seed, 3)))
    for code in codes:
        count = code if code < 32 else 2**code // 2**9 + code if code < 36 else 3 * 2**30
        if count:
            assert ours.below(count) == theirs.integers(count)
        else:
            assert ours.random() == theirs.random()
    assert ours.uniform(-3.0, 3.0) == theirs.uniform(-3.0, 3.0)


def test_named_cameras_are_taken_evenly_and_leave_the_tries_as_they_are() -> None:
    cameras = (CAMERA, Camera((-7.0, -7.0, 5.0), name="left"), Camera((0.0, 0.0, 14.0), lens_mm=30.0, name="above"))
    many = DatasetSettings(cameras=cameras, width=64, height=48, max_objects=4)
    alone = DatasetSettings(width=64, height=48, max_objects=4)
    taken = [draw(many, index) for index in range(60)]
    names = [sample.shot.camera.name for sample in taken]
    assert {name: names.count(name) >= 10 for name in ("main", "left", "above")} == dict.fromkeys(("main", "left", "above"), True)
    for index, sample in enumerate(taken):
        other = draw(alone, index)
        assert sample.shot.camera in cameras
        if sample.attempt == other.attempt:
            assert sample.scene == other.scene
            assert sample.shot.lamps == other.shot.lamps
        assert (sample.view.owner == view_of(sample.scene, CLEVR, sample.shot).owner).all()


def test_jitter_moves_cameras_and_lamps_no_further_than_asked() -> None:
    settings = DatasetSettings(width=64, height=48, max_objects=4, camera_jitter=0.5, light_jitter=0.25)
    samples = [draw(settings, index) for index in range(20)]
    moved = [np.subtract(sample.shot.camera.location, CAMERA.location) for sample in samples]
    assert 0.4 < np.abs(moved).max() <= 0.5 + 1e-9
    assert all(sample.shot.camera.target == CAMERA.target for sample in samples)
    lamps = [np.subtract(a.location, b.location) for sample in samples for a, b in zip(sample.shot.lamps, SHOT.lamps, strict=True)]
    assert 0.2 < np.abs(lamps).max() <= 0.25 + 1e-9
    still = draw(DatasetSettings(width=64, height=48, light_jitter=0.0), 0)
    assert still.shot.lamps == SHOT.lamps


LARGE = ((("size", ("large",)),),)
SOUND: dict[str, dict[str, Any]] = {
    "the default": {},
    "a tiny frame": {"width": 48, "height": 36},
    "the largest frame": {"width": 8192, "height": 8192},
    "ten large objects": {"rules": Split("large", LARGE, objects=(10, 10))},
    "a camera straight above": {"cameras": (Camera((0.0, 0.0, 14.0)),)},
    "one object in one place": {"rules": Split("dot", ranges=(("loc.x", 0.0, 0.0), ("loc.y", 0.0, 0.0)), objects=(1, 1))},
    "CLEVR's camera jitter": {"camera_jitter": 0.5},
}
HOPELESS: dict[str, tuple[dict[str, Any], str]] = {
    "no room": ({"rules": Split("corner", LARGE, (("loc.x", -1.0, 1.0), ("loc.y", -1.0, 1.0)))}, "leaves no room for 10 objects"),
    "one place for two": ({"rules": Split("dot", ranges=(("loc.x", 0.0, 0.0), ("loc.y", 0.0, 0.0)), objects=(1, 2))}, "wider ranges"),
    "looking away": ({"cameras": (CAMERA, Camera((7.0, -6.0, 5.0), (20.0, -20.0, 5.0), name="away"))}, "camera 'away'"),
    "too far": ({"cameras": (Camera((0.0, 0.0, 200.0)),)}, "does not show enough"),
    "amid the objects": ({"cameras": (Camera((0.0, 0.0, 0.5), (1.0, 0.0, 0.5)),)}, "does not show enough"),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_can_be_drawn_passes_the_check(name: str) -> None:
    check_request(DatasetSettings(**SOUND[name]))


@pytest.mark.parametrize("name", HOPELESS)
def test_hopeless_requests_are_refused_before_anything_is_rendered(name: str) -> None:
    settings, message = HOPELESS[name]
    began = time.process_time()
    with pytest.raises(UserError, match=message):
        check_request(DatasetSettings(**settings))
    assert time.process_time() - began < 10


def test_a_draw_ends() -> None:
    began = time.process_time()
    with pytest.raises(UserError, match="ask for fewer objects"):
        draw(DatasetSettings(rules=Split("corner", LARGE, (("loc.x", -1.0, 1.0), ("loc.y", -1.0, 1.0)), (10, 10))), 0)
    assert time.process_time() - began < 30


def test_rays_and_projection_are_inverse() -> None:
    directions = rays(CAMERA, 32, 24).along(np.eye(3))[:, [0, 11, 23], [0, 20, 31]]
    points = np.array(CAMERA.location) + 7.0 * directions.T
    assert np.allclose(project(CAMERA, 32, 24, points), [[0.5, 0.5, 7], [20.5, 11.5, 7], [31.5, 23.5, 7]])


def test_the_camera_looks_at_the_origin_from_above() -> None:
    centre, above, right = project(CAMERA, 320, 240, np.array([[0, 0, 0], [0, 0, 1], CLEVR.directions["right"]]))
    assert np.allclose(centre[:2], [160, 120])
    assert above[1] < centre[1]
    assert right[0] > centre[0]


@pytest.mark.parametrize(("kind", "expected"), [("sphere", 9.0), ("cube", 9.0), ("cylinder", 9.0)])
def test_a_ray_meets_a_solid_where_it_should(kind: str, expected: float) -> None:
    solid = Solid(kind, (0.0, 0.0, 0.0), 1.0)  # type: ignore[arg-type]
    axes = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # looks along -X
    beam = Rays(np.array([10.0, 0.0, 0.0]), axes, np.zeros(1), np.array([0.0, 0.2]))
    away = Rays(np.array([-10.0, 0.0, 0.0]), axes, np.zeros(1), np.zeros(1))
    assert solid.depth(beam)[:, 0] == pytest.approx([expected, np.inf])
    assert np.isinf(solid.depth(away)).all()
    turned = Solid("cube", (0.0, 0.0, 0.0), 1.0, 45.0).depth(beam)
    assert turned[0, 0] == pytest.approx(10 - math.sqrt(2))


@given(
    st.sampled_from(["sphere", "cube", "cylinder"]),
    st.tuples(*[st.floats(-8, 8)] * 2, st.floats(0.3, 9)),
    st.tuples(*[st.floats(-3, 3)] * 2, st.floats(0, 1)),
    st.floats(0, 90),
)
def test_nothing_of_a_solid_is_outside_its_window(kind: Any, stand: Any, place: Any, degrees: float) -> None:
    camera = Camera(stand, (0.0, 0.0, 0.0), 20.0)
    solid = Solid(kind, place, 0.7, degrees)
    whole = solid.depth(rays(camera, 64, 48))
    [(rows, columns)] = _windows([solid], camera, 64, 48)
    whole[rows, columns] = np.inf
    assert np.isinf(whole).all()


def test_the_nearer_object_owns_a_pixel() -> None:
    sample = drawn(1)
    for index, obj in enumerate(sample.scene.objects):
        alone = view_of(Scene("clevr", (obj,)), CLEVR, SHOT)
        mine = sample.view.owner == index
        assert (alone.owner[mine] == 0).all()
        hidden = (alone.owner == 0) & ~mine
        assert (sample.view.depth[hidden] <= alone.depth[hidden]).all()


def test_labels_agree_with_the_view() -> None:
    sample = drawn(2)
    for index, label in enumerate(label_objects(sample.scene, CLEVR, sample.shot, sample.view)):
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
        mirrored = view_of(CLEVR.mirrored(sample.scene), CLEVR, SHOT)
        seen, flipped = sample.view.owner >= 0, mirrored.owner[:, ::-1] >= 0
        assert (seen != flipped).mean() < 1e-3  # mirrored numbers are rounded again
