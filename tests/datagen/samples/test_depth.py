"""Depth at every pixel of a frame, and the sweep (ground and backdrop) behind the objects."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datagen.domains.clevr import CAMERA
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.geometry.camera import look_at, rays
from datagen.geometry.ground import Sweep, bare_share, sweep_for
from datagen.samples.depth import depth_file, depth_map, encode_floats
from datagen.samples.draw import draw
from datagen.samples.labels import view_of
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Scene

CLEVR = get_domain("clevr")
PLAIN = Sweep(0.0)


def points(camera: Camera, depth: np.ndarray) -> np.ndarray:
    """The points (3, rows, columns) of the rays at these depths."""
    grid = rays(camera, depth.shape[1], depth.shape[0])
    return np.reshape(camera.location, (3, 1, 1)) + depth * grid.along(np.eye(3))


def test_objects_stand_before_the_ground_and_keep_the_labels_depth() -> None:
    sample = draw(DatasetSettings(width=160, height=120), 1)
    depth = depth_map(sample.view, sample.shot.camera, CLEVR)
    ground = depth_map(view_of(Scene("clevr", ()), CLEVR, sample.shot), CAMERA, CLEVR)
    owned = sample.view.owner >= 0
    assert (depth[owned] == sample.view.depth[owned].astype(np.float32)).all()
    assert (depth[owned] <= ground[owned] + 1e-3).all()
    assert (depth[~owned] == ground[~owned]).all()
    assert np.isfinite(depth).all()
    assert depth.dtype == np.float32


def test_a_file_of_depth_is_an_array_of_float32_and_the_same_every_time() -> None:
    sample = draw(DatasetSettings(width=48, height=36), 2)
    data = depth_file(sample.scene, CLEVR, sample.shot, sample.view)
    assert data == depth_file(sample.scene, CLEVR, sample.shot)
    loaded = np.load(io.BytesIO(data), allow_pickle=False)
    assert loaded.dtype == np.float32
    assert (loaded == depth_map(sample.view, sample.shot.camera, CLEVR)).all()
    assert np.isinf(np.load(io.BytesIO(encode_floats(np.full((2, 3), np.inf, np.float32))))).all()


def test_the_ground_seen_from_straight_above_is_as_far_as_the_camera_is_high() -> None:
    above = Camera((1.0, -2.0, 12.0), (1.0, -2.0, 0.0))
    assert CLEVR.ground.depth(rays(above, 40, 30)) == pytest.approx(np.full((30, 40), 12.0))


@given(st.floats(-20, 20), st.floats(-20, 10), st.floats(0.5, 22), st.floats(-9, 9), st.floats(-9, 9))
def test_rays_end_on_the_sweep(x: float, y: float, z: float, to_x: float, to_y: float) -> None:
    if PLAIN.room((x, y, z)) < 0.1:
        return
    camera = Camera((x, y, z), (to_x, to_y, 0.0))
    depth = PLAIN.depth(rays(camera, 16, 12))
    hit = points(camera, depth)[:, np.isfinite(depth)].T
    assert all(abs(PLAIN.room(tuple(point))) < 1e-6 for point in hit.tolist())
    assert (np.abs(hit[:, 0]) <= 40 + 1e-9).all()
    assert (hit[:, 2] <= 23 + 1e-9).all()


def test_beyond_the_sweeps_ends_there_is_nothing() -> None:
    away = Camera((0.0, 0.0, 5.0), (0.0, -50.0, 5.0))
    seen = np.isfinite(PLAIN.depth(rays(away, 32, 32)))
    assert not seen[:16].any()
    assert seen[-1].all()
    up = Camera((0.0, 0.0, 5.0), (0.0, 20.0, 40.0))
    assert np.isinf(PLAIN.depth(rays(up, 32, 32))[:8]).all()


def test_room_is_the_distance_to_the_surface_and_negative_behind_it() -> None:
    assert PLAIN.room((5.0, 0.0, 3.0)) == pytest.approx(3.0)
    assert PLAIN.room((5.0, 19.0, 15.0)) == pytest.approx(1.0)
    assert PLAIN.room((0.0, 0.0, -1.0)) == pytest.approx(-1.0)
    assert PLAIN.room((0.0, 21.0, 10.0)) < 0
    assert PLAIN.room((0.0, 19.5, 0.5)) < 0  # under the curve
    assert PLAIN.room((0.0, 10.6 + 9.4 * math.sin(0.7), 9.4 * (1 - math.cos(0.7)))) == pytest.approx(0.0, abs=0.01)


def test_the_sweep_stands_behind_what_the_domains_camera_sees() -> None:
    ahead = -look_at(CAMERA.location, CAMERA.target)[:2, 2]
    turn = CLEVR.ground.turn - 0.4
    assert np.array([-math.sin(turn), math.cos(turn)]) == pytest.approx(ahead / np.linalg.norm(ahead))
    profile, normals = CLEVR.ground.profile()
    assert profile[0].tolist() == [-30.0, 0.0]
    assert profile[-1] == pytest.approx([20.0, 23.0])
    assert len(profile) == len(normals) == 35


JITTER = st.floats(-1, 1)


@given(JITTER, JITTER, JITTER, st.sampled_from([(320, 240), (64, 64), (480, 320)]))
def test_the_standard_camera_jittered_keeps_the_domains_own_sweep(x: float, y: float, z: float, frame: tuple[int, int]) -> None:
    """So data sets from before a sweep could be turned are re-rendered to the same images."""
    for name in ("clevr", "assets"):
        domain = get_domain(name)
        at = np.add(domain.camera.location, (x, y, z)).tolist()
        assert sweep_for(domain.ground, Camera(tuple(at)), *frame) == domain.ground


@given(
    st.floats(0, 2 * math.pi),
    st.floats(4, 200),
    st.floats(0.2, 80),
    st.floats(12, 300),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 1)),
    st.sampled_from([(320, 240), (240, 320), (256, 256), (8192, 1024)]),
)
@example(-math.pi / 2, 11.0, 3.0, 35.0, (0.0, 0.0, 0.0), (320, 240))
def test_every_camera_has_a_backdrop(  # noqa: PLR0917
    angle: float, away: float, high: float, lens: float, target: tuple[float, float, float], frame: tuple[int, int]
) -> None:
    camera = Camera((away * math.cos(angle), away * math.sin(angle), high), target, lens)
    if target[2] > high + 0.5:
        return  # a camera that looks up may see past the backdrop, with a warning
    sweep = sweep_for(CLEVR.ground, camera, *frame)
    assert sweep.room(camera.location) > 0
    grid = rays(camera, *(round(side * 64 / max(frame)) for side in frame))
    assert np.isfinite(sweep.depth(grid)).all()
    assert bare_share(CLEVR.ground, camera, *frame) == 0.0


def test_depth_of_another_camera_is_that_of_its_own_backdrop() -> None:
    sample = draw(DatasetSettings(width=64, height=48, cameras=(Camera((0.0, -11.0, 3.0)),)), 0)
    depth = depth_map(sample.view, sample.shot.camera, CLEVR)
    assert np.isfinite(depth).all()
    assert np.isinf(CLEVR.ground.depth(rays(sample.shot.camera, 64, 48))).any()


def test_cameras_and_lamps_keep_clear_of_the_backdrop_that_each_camera_has() -> None:
    behind_the_usual_one = Camera((-19.0, 15.0, 8.0))
    assert CLEVR.ground.room(behind_the_usual_one.location) < 0
    assert not DatasetSettings(cameras=(behind_the_usual_one,)).warnings()
    with pytest.raises(UserError, match="above the ground"):
        DatasetSettings(cameras=(Camera((0.0, -11.0, 0.05)),))
    with pytest.raises(UserError, match="key lamp nearer to the ground"):
        DatasetSettings(cameras=(Camera((-10.0, 4.0, 4.0)),), light_jitter=4.0)


def test_what_sees_past_everything_is_told_with_the_jitter_included() -> None:
    up = Camera((0.0, -9.0, 1.0), (0.0, 0.0, 11.0), lens_mm=9.0, name="up")
    [line] = DatasetSettings(cameras=(CAMERA, up)).warnings()
    assert "'up'" in line and "up to" not in line
    [line] = DatasetSettings(cameras=(CAMERA, up), camera_jitter=0.5).warnings()
    assert "up to" in line
    assert not DatasetSettings().warnings()
    assert not DatasetSettings(domain="so3").warnings()
