"""Depth, masks and normals of a picture, and its camera's matrices: exact, and the same as the labels'."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.geometry.camera import intrinsics, rays, world_to_camera
from datagen.geometry.view import View
from datagen.samples.depth import depth_map
from datagen.samples.draw import Drawn, draw
from datagen.samples.labels import decode_rle, label_objects, view_of
from datagen.samples.passes import encode_masks, mask_map, normal_map, pass_files
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Object, Scene

STAGED = ("clevr", "assets", "so3", "pose6d")
CLEVR = get_domain("clevr")
WIDTH, HEIGHT = 240, 180


def drawn(domain: str, **more: object) -> Drawn:
    return draw(DatasetSettings(domain=domain, width=WIDTH, height=HEIGHT, seed=4, **more), 1)  # type: ignore[arg-type]


def points_of(camera: Camera, depth: np.ndarray) -> np.ndarray:
    """The world points (height, width, 3) that pixels' centres show."""
    grid = rays(camera, depth.shape[1], depth.shape[0])
    return np.array(camera.location) + np.moveaxis(depth * grid.along(np.eye(3)), 0, -1)


@pytest.mark.parametrize("name", STAGED)
def test_normals_are_those_of_the_surface_that_depth_describes(name: str) -> None:
    """Where a pixel and its neighbours lie in one plane, the cross product of the steps to them is its normal."""
    sample, domain = drawn(name), get_domain(name)
    depth = depth_map(sample.view, sample.shot.viewpoint, domain).astype(float)
    normals = normal_map(sample.scene, domain, sample.shot, sample.view)
    there = np.isfinite(depth)
    assert normals.dtype == np.float32
    assert np.allclose(np.linalg.norm(normals[there], axis=1), 1, atol=1e-6)
    assert not normals[~there].any()
    with np.errstate(invalid="ignore"):  # where nothing is
        points = points_of(sample.shot.viewpoint, depth)
        left, right, up, down = (np.roll(points, *step) - points for step in ((1, 1), (-1, 1), (1, 0), (-1, 0)))
        crossed = np.stack([np.cross(a, b) for a, b in ((left, down), (down, right), (right, up), (up, left))])
        crossed /= np.linalg.norm(crossed, axis=-1, keepdims=True)
        ahead = (normals * (points - sample.shot.viewpoint.location)).sum(-1)
    flat = np.isfinite(crossed).all((0, -1)) & ((crossed[0] * crossed[1:]).sum(-1) > 1 - 1e-6).all(0)
    flat[[0, -1]] = flat[:, [0, -1]] = False
    shown = sample.view.owner >= 0
    assert (flat & shown).sum() > 30
    apart = ((normals - crossed[0]) ** 2).sum(-1)[flat]
    assert np.quantile(apart, 0.99) < 1e-3
    assert (ahead[there] <= 1e-6).all()


def test_normals_of_round_things_are_exact() -> None:
    ball = Object(
        "add", {"loc": (0.3, -0.2, 0.7), "color": "red", "material": "metal", "size": "large", "shape": "sphere", "rotation": 0.0}
    )
    tower = ball.replaced(loc=(-1.5, 1.0, 0.7), shape="cylinder")
    scene, shot = CLEVR.canonical(Scene("clevr", (ball, tower))), CLEVR.canonical_shot(160, 120, "draft")
    view = view_of(scene, CLEVR, shot)
    normals, points = normal_map(scene, CLEVR, shot, view), points_of(shot.viewpoint, view.depth)
    for index, obj in enumerate(scene.objects):
        mine = view.owner == index
        out = (points[mine] - obj["loc"]) / 0.7
        if obj["shape"] == "cylinder":
            caps = np.abs(out[:, 2]) > 1 - 1e-9
            assert 0 < caps.sum() < len(out)
            out = np.where(caps[:, None], (0.0, 0.0, 1.0), out * (1, 1, 0))
        assert np.allclose(normals[mine], out, atol=1e-6)


def test_seen_from_within_a_surface_faces_the_camera() -> None:
    around = Object(
        "add", {"loc": (7.481, -6.508, 5.3), "color": "red", "material": "metal", "size": "large", "shape": "cube", "rotation": 0.0}
    )
    scene, shot = Scene("clevr", (around,)), CLEVR.canonical_shot(32, 24, "draft")
    view = view_of(scene, CLEVR, shot)
    normals = normal_map(scene, CLEVR, shot, view)
    assert (view.owner == 0).all()
    assert ((normals * (points_of(shot.viewpoint, view.depth) - shot.viewpoint.location)).sum(-1) < 0).all()


def test_masks_are_those_of_the_labels_and_any_program_reads_them() -> None:
    sample = drawn("clevr")
    [data] = pass_files(["masks"], sample.scene, CLEVR, sample.shot, sample.view).values()
    read = np.asarray(Image.open(io.BytesIO(data)))
    assert Image.open(io.BytesIO(data)).mode == "P"
    for number, label in enumerate(label_objects(sample.scene, CLEVR, sample.shot, sample.view), 1):
        assert ((read == number) == decode_rle(label["mask"])).all()
    colors = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colors, axis=0)) == len(sample.scene) + 1
    assert (colors[read.reshape(-1) == 0] == 0).all()


def test_more_objects_than_a_palette_has_colours_take_16_bits() -> None:
    view = View(np.arange(-1, 299, dtype=np.int16).reshape(10, 30), None)
    read = np.asarray(Image.open(io.BytesIO(encode_masks(mask_map(view)))))
    assert (read == np.arange(300).reshape(10, 30)).all()


def test_matrices_project_centres_to_where_the_labels_have_them() -> None:
    sample = drawn("clevr", cameras=(Camera((3.0, 8.0, 6.0), (0.2, 0.1, 0.3), 28.0, 24.0),), camera_jitter=0.5)
    camera = sample.shot.viewpoint
    matrix, pose = intrinsics(camera, WIDTH, HEIGHT), world_to_camera(camera)
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    for obj, label in zip(sample.scene, label_objects(sample.scene, CLEVR, sample.shot, sample.view), strict=True):
        x, y, away = matrix @ (pose @ [*obj["loc"], 1.0])[:3]
        assert [x / away, y / away, away] == pytest.approx(label["pixel_coords"], abs=1e-5)


def test_a_flat_domain_has_masks_alone() -> None:
    dot, shot = Scene("dot2d", (Object("dot", {"loc": (0.2, 0.6)}),)), get_domain("dot2d").canonical_shot(32, 24, "draft")
    view = view_of(dot, get_domain("dot2d"), shot)
    assert list(pass_files(["masks"], dot, get_domain("dot2d"), shot, view)) == [".masks.png"]
    with pytest.raises(UserError, match="the dot2d domain is flat: it has masks, but neither depth nor normals"):
        pass_files(["depth"], dot, get_domain("dot2d"), shot, view)
