"""The mesh solid, compared with the closed forms of `datagen.geometry.solids` and with a brute-force ray cast."""

from __future__ import annotations

import math

import numpy as np
import pytest
from asset_meshes import brute_force, plain, unit_cube
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.assets.library import CLASSES, instance
from datagen.assets.mesh import Mesh
from datagen.assets.modelling import ball
from datagen.assets.solid import MeshSolid
from datagen.domains.clevr import CAMERA
from datagen.geometry.camera import Rays, project, rays
from datagen.geometry.raycast import cast
from datagen.geometry.rotations import from_euler, random_rotation
from datagen.geometry.solids import Solid
from datagen.rng import Stream
from datagen.scene import Camera

GRID = rays(CAMERA, 160, 120)
CUBE, BALL = unit_cube(), ball(1.0, 192, 96)
places = st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 1.5))


def agreement(one: np.ndarray, two: np.ndarray) -> float:
    """Of the pixels that either depth covers, the share that both cover."""
    either = np.isfinite(one) | np.isfinite(two)
    return float((np.isfinite(one) & np.isfinite(two)).sum() / either.sum()) if either.any() else 1.0


@settings(max_examples=30)
@given(places, st.floats(0.2, 0.8), st.floats(-180, 180))
def test_a_cube_is_the_cube_of_closed_form(location: tuple[float, float, float], scale: float, degrees: float) -> None:
    ours = MeshSolid(CUBE, location, scale, from_euler(np.array([0, 0, degrees]))).depth(GRID)
    exact = Solid("cube", location, scale, degrees).depth(GRID)
    assert agreement(ours, exact) > 0.999
    both = np.isfinite(ours) & np.isfinite(exact)
    np.testing.assert_allclose(ours[both], exact[both], rtol=1e-9)


@settings(max_examples=10)
@given(places, st.floats(0.2, 0.8), st.integers(0, 99))
def test_a_fine_ball_is_nearly_the_sphere_of_closed_form(location: tuple[float, float, float], scale: float, seed: int) -> None:
    ours = MeshSolid(BALL, location, scale, random_rotation(Stream(seed))).depth(GRID)
    exact = Solid("sphere", location, scale).depth(GRID)
    inscribed = float(np.abs((BALL.normals() * BALL.corners()[:, 0]).sum(1)).min())
    within = Solid("sphere", location, scale * inscribed * (1 - 1e-9)).depth(GRID)
    assert inscribed > 0.98
    assert not (np.isfinite(ours) & ~np.isfinite(exact)).any()
    assert not (np.isfinite(within) & ~np.isfinite(ours)).any()
    both = np.isfinite(ours) & np.isfinite(exact)
    assert np.median(np.abs(ours[both] - exact[both])) < 1e-3


@pytest.mark.parametrize("kind", ["aeroplane", "mug", "chair"])
def test_agrees_with_brute_force(kind: str) -> None:
    rng = Stream(8)
    solid = MeshSolid(instance(f"{kind}-1").mesh, (0.3, -0.4, 1.0), 1.2, random_rotation(rng))
    depth, index = solid.hits(GRID)
    corners = solid.hull()[solid.mesh.triangles]
    candidates = np.argwhere(np.isfinite(depth) | (np.roll(np.isfinite(depth), 3, 1)))
    for row, column in candidates[[rng.below(len(candidates)) for _ in range(12)]]:
        expected = brute_force(corners, GRID, row, column)
        assert depth[row, column] == pytest.approx(expected, rel=1e-9)
        if index[row, column] >= 0:
            assert brute_force(corners[index[row, column]][None], GRID, row, column) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=25)
@given(st.lists(st.tuples(*[st.floats(-3, 3)] * 3), min_size=3, max_size=3), st.integers(0, 50))
def test_any_triangle_wherever_it_is(corners: list[tuple[float, float, float]], seed: int) -> None:
    camera = Camera((0.1, -0.2, 0.3), (1.0, 0.5, 0.2))
    grid = rays(camera, 24, 18)
    vertices = np.array(corners)
    solid = MeshSolid(plain(vertices, np.array([(0, 1, 2)])), (0.0, 0.0, 0.0), 1.0, np.eye(3))
    depth = solid.depth(grid)
    area = np.linalg.norm(np.cross(vertices[1] - vertices[0], vertices[2] - vertices[0]))
    if area < 1e-3 or abs(np.linalg.det(vertices - camera.location)) < 1e-6:
        return
    rng = Stream(seed)
    for _ in range(6):
        row, column = rng.below(18), rng.below(24)
        expected = brute_force(vertices[None], grid, row, column)
        if math.isfinite(expected) == math.isfinite(depth[row, column]):
            assert depth[row, column] == pytest.approx(expected, rel=1e-6)
        else:  # within rounding of an edge, the two may differ
            near = brute_force(vertices.mean(0) + (vertices[None] - vertices.mean(0)) * (1 + 1e-7), grid, row, column)
            far = brute_force(vertices.mean(0) + (vertices[None] - vertices.mean(0)) * (1 - 1e-7), grid, row, column)
            assert math.isfinite(near) != math.isfinite(far)


@pytest.mark.parametrize("blocks", [1 << 19, 50])
def test_no_ray_slips_between_triangles(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plate of slivers whose edges run through pixels' centres has no hole, whether cast in one block or in many."""
    monkeypatch.setattr("datagen.assets.solid._AT_ONCE", blocks)
    camera = Camera((0.0, 0.0, 4.0), (0.0, 0.0, 0.0), 32.0, 32.0)
    grid = rays(camera, 40, 40)
    xs = np.unique(np.concatenate([4.0 * grid.x, np.linspace(-3, 3, 11)]))  # in the plane z = 0, where pixels' centres are seen
    x, y = np.meshgrid(xs, [-3.0, 0.05, 3.0], indexing="ij")
    vertices = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    starts = np.array([3 * i + j for i in range(len(xs) - 1) for j in range(2)])
    triangles = np.concatenate([np.stack([starts, starts + 3, starts + 4], 1), np.stack([starts, starts + 4, starts + 1], 1)])
    for turn in (0.0, 30.0, 45.0, 77.0):
        depth = MeshSolid(plain(vertices, triangles), (0.0, 0.0, 0.0), 1.0, from_euler(np.array([0, 0, turn]))).depth(grid)
        np.testing.assert_allclose(depth, 4.0)


def test_a_camera_inside_sees_the_inside_all_around() -> None:
    depth = MeshSolid(CUBE, (7.4, -6.4, 5.3), 1.0, np.eye(3)).depth(GRID)
    assert np.isfinite(depth).all() and (depth > 0).all()


def test_behind_the_camera_is_nothing() -> None:
    assert np.isinf(MeshSolid(CUBE, (20.0, -20.0, 12.0), 1.0, np.eye(3)).depth(GRID)).all()


def test_turned_and_scaled_rays_are_understood() -> None:
    solid = MeshSolid(CUBE, (0.2, 0.1, 0.4), 0.7, from_euler(np.array([10.0, 20, 30])))
    matrix = from_euler(np.array([40.0, -50, 60])) * 2.5
    around = np.array([1.0, -2.0, 0.5])
    moved = MeshSolid(CUBE, tuple(matrix @ (np.array(solid.location) - around)), 0.7 * 2.5, matrix @ solid.rotation / 2.5)
    turned = Rays(matrix @ (GRID.origin - around), matrix @ GRID.axes, GRID.x, GRID.y)
    one, two = solid.depth(GRID), moved.depth(turned)
    assert agreement(one, two) > 0.998
    both = np.isfinite(one) & np.isfinite(two)
    np.testing.assert_allclose(one[both], two[both], rtol=1e-9)


def test_labels_are_those_of_the_nearest_solid_at_every_pixel() -> None:
    """`cast` casts rays only in a window around each solid's hull, which must contain the whole solid."""
    rng = Stream(4)
    solids = [
        MeshSolid(instance(f"{kind}-2").mesh, (rng.uniform(-2, 2), rng.uniform(-2, 2), 0.8), 0.8, random_rotation(rng)) for kind in CLASSES
    ]
    solids.append(MeshSolid(instance("mug-3").mesh, (6.9, -6.0, 4.9), 0.9, np.eye(3)))  # around the camera
    view = cast(solids, CAMERA, 160, 120)
    assert view is not None
    assert view.depth is not None
    depths = np.stack([solid.depth(GRID) for solid in solids])
    np.testing.assert_array_equal(view.depth, depths.min(0))
    np.testing.assert_array_equal(view.owner, np.where(np.isinf(view.depth), -1, depths.argmin(0)))


def test_depth_is_that_of_the_projected_vertex() -> None:
    """A tiny triangle around a point is met at the point's depth and pixel."""
    point = np.array([0.4, -0.3, 0.6])
    x, y, away = project(CAMERA, 160, 120, point[None])[0]
    mesh: Mesh = plain(np.array([(-1, -1, 0), (1, -1, 0), (0, 1, 0.0)]), np.array([(0, 1, 2)]))
    depth = MeshSolid(mesh, (0.4, -0.3, 0.6), 0.15, np.eye(3)).depth(GRID)
    assert depth[int(y), int(x)] == pytest.approx(away, abs=0.1)


def test_lowest_stands_it_on_the_ground() -> None:
    solid = MeshSolid(CUBE, (0.0, 0.0, 0.0), 0.5, from_euler(np.array([45.0, 0, 0])))
    assert solid.lowest() == pytest.approx(-0.5 * math.sqrt(2))
