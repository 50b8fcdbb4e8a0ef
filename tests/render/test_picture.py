"""Code in, arrays out, in Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from datagen.domains.registry import get_domain
from datagen.errors import CodeError, UserError
from datagen.geometry.camera import project
from datagen.samples.labels import decode_rle
from datagen.scene import Camera, Lamp, Object, Scene
from datagen.shards.reader import Samples
from datagen.workers.pool import RenderPool
from render.images import same_image
from render.picture import render_scene

CLEVR = get_domain("clevr")


@pytest.fixture(scope="module")
def pool() -> Iterator[RenderPool]:
    with RenderPool(1) as opened:
        yield opened


def test_the_code_of_a_sample_in_its_shot_gives_its_image_and_its_labels(renders: Samples, pool: RenderPool) -> None:
    sample = renders.at(2)
    by_code = render_scene(sample.code, shot=sample.shot, depth=True, masks=True, normals=True, pool=pool)
    by_scene = render_scene(sample.scene, shot=sample.shot, pool=pool)
    assert same_image(by_code.image, sample.pixels()) and same_image(by_scene.image, sample.pixels())
    assert (by_code.scene, by_code.shot, by_code.warnings) == (sample.scene, sample.shot, ())
    assert (by_scene.depth, by_scene.masks, by_scene.normals) == (None, None, None)
    for number, label in enumerate(sample.record["labels"], 1):
        assert ((by_code.masks == number) == decode_rle(label["mask"])).all()
    assert by_code.depth.shape == by_code.masks.shape == by_code.normals.shape[:2] == by_code.image.shape[:2] == (120, 160)
    assert (by_code.depth.dtype, by_code.masks.dtype, by_code.normals.dtype) == (np.float32, np.uint16, np.float32)
    centres = np.array([[*obj["loc"], 1.0] for obj in sample.scene])
    seen = (by_code.K @ (by_code.world_to_camera @ centres.T)[:3]).T
    assert seen[:, :2] / seen[:, 2:] == pytest.approx(np.array([label["pixel_coords"][:2] for label in sample.record["labels"]]), abs=1e-5)


def test_camera_lamps_and_frame_take_the_place_of_the_shots(renders: Samples, pool: RenderPool) -> None:
    sample = renders.at(0)
    above, lamp = Camera((0.01, 0.0, 12.0), name="above"), Lamp("one", (0.0, 3.0, 6.0), 1.0, 100.0, (1.0, 1.0, 1.0))
    picture = render_scene(
        sample.code, shot=sample.shot, camera=above, lamps=[lamp], width=48, height=32, quality="draft", masks=True, pool=pool
    )
    assert picture.image.shape == (32, 48, 3)
    assert picture.shot == replace(sample.shot, width=48, height=32, quality="draft", camera=above, lamps=(lamp,))
    for number, obj in enumerate(picture.scene, 1):
        [[x, y, _]] = project(above, 48, 32, np.array([obj["loc"]]))
        assert picture.masks[int(y), int(x)] == number


def test_a_flat_scene_needs_no_blender_and_has_no_camera() -> None:
    picture = render_scene("dot(loc=(0.5, 0.5))", domain="dot2d", width=40, height=40, masks=True)
    assert (picture.K, picture.world_to_camera, picture.depth) == (None, None, None)
    assert set(np.unique(picture.masks)) == {0, 1}
    red, green, _ = picture.image[20, 20]
    assert red > green + 100


def test_what_is_odd_is_warned_of_and_what_cannot_be_is_refused(renders: Samples, pool: RenderPool) -> None:
    ball = Object("add", {"loc": (9.0, 0.0, 0.7), "color": "red", "material": "metal", "size": "large", "shape": "sphere", "rotation": 0.0})
    picture = render_scene(Scene("clevr", (ball,)), width=32, height=24, quality="draft", pool=pool)
    assert "loc 9 is outside" in picture.warnings[0]
    for error, message, scene, more in (
        (CodeError, "import is no statement", "import os", {}),
        (UserError, "'pink' is none of", Scene("clevr", (ball.replaced(color="pink"),)), {}),
        (UserError, "has masks, but neither depth nor normals", "", {"domain": "dot2d", "normals": True}),
        (UserError, "neither camera nor lamps", "", {"domain": "dot2d", "lamps": []}),
        (UserError, "at least 0.1 m above the ground", "", {"camera": Camera((3.0, 0.0, 0.01))}),
        (UserError, "its shot has a camera, unlike those of the dot2d domain", "", {"domain": "dot2d", "shot": renders.at(0).shot}),
        (UserError, "a frame of 8x240 pixels", "", {"width": 8}),
        (UserError, "quality 'best' is none of", "", {"quality": "best"}),
        (UserError, "no domain 'clever'", "", {"domain": "clever"}),
    ):
        with pytest.raises(error, match=message):
            render_scene(scene, pool=pool, **more)  # type: ignore[arg-type]
