"""Objects that intersect are found, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from datagen.assets.mesh import Mesh
from datagen.assets.solid import MeshSolid
from datagen.domains.clevr import CAMERA
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.geometry.solids import Solid
from datagen.inspect.intersect import intersecting, near_pairs, odd_placements
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Object, Scene

CLEVR, ASSETS = get_domain("clevr"), get_domain("assets")
KINDS = st.sampled_from(["cube", "sphere", "cylinder"])
SOLIDS = st.builds(
    Solid, KINDS, st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-0.5, 1.5)), st.floats(0.2, 0.9), st.floats(0, 360)
)


def within(solid: Solid, points: np.ndarray) -> np.ndarray:
    """Whether a solid contains each of the points (N, 3), as (N,) bool."""
    angle = np.radians(solid.degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    x, y, z = ((points - solid.location) @ turn / solid.scale).T
    if solid.kind == "sphere":
        return x * x + y * y + z * z <= 1
    flat = x * x + y * y <= 1 if solid.kind == "cylinder" else np.maximum(abs(x), abs(y)) <= 1
    return flat & (abs(z) <= 1)


@given(SOLIDS, SOLIDS)
def test_solids_that_share_space_are_found_and_those_apart_are_not(one: Solid, other: Solid) -> None:
    """Points drawn around one solid decide: some lie in both solids, or none does even if both are a tenth larger."""
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 3)) * one.scale * np.sqrt(3) + one.location
    shared = (within(one, points) & within(replace(other, scale=other.scale - 0.03), points)).any()
    apart = not (within(replace(one, scale=one.scale * 1.1), points) & within(replace(other, scale=other.scale * 1.1), points)).any()
    placed_as_clevr = np.hypot(*np.subtract(one.location, other.location)[:2]) - one.scale - other.scale > 0.24
    assume((shared and not placed_as_clevr) or apart)
    assert intersecting([one, other]) == intersecting([other, one])
    if shared:
        assert intersecting([one, other]) == [(0, 1)]
    elif np.linalg.norm(np.subtract(one.location, other.location)) > 1.8 * (one.scale + other.scale):
        assert intersecting([one, other]) == []


@pytest.mark.parametrize("degrees", [0.0, 37.0])
def test_touching_is_not_intersecting(degrees: float) -> None:
    cube = Solid("cube", (0.0, 0.0, 0.7), 0.7, degrees)
    aside = 1.4 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    for kind in ("cube", "sphere", "cylinder"):
        touching = Solid(kind, (*aside.tolist(), 0.7), 0.7, degrees)
        on_top = Solid(kind, (0.1, 0.0, 2.1), 0.7, 11.0)
        deeper = Solid(kind, (*(0.97 * aside).tolist(), 0.7), 0.7, degrees)
        assert intersecting([cube, touching, on_top]) == []
        assert intersecting([cube, deeper]) == [(0, 1)]
    corner = Solid("cube", (1.72, 0.0, 0.7), 0.7, degrees + 45.0)  # its enclosing ball reaches the other cube, its corner does not
    assert intersecting([Solid("cube", (0.0, 0.0, 0.7), 0.7, 0.0), replace(corner, degrees=45.0)]) == []


@pytest.mark.parametrize(("domain", "count"), [("clevr", 200), ("assets", 40)])
def test_drawn_scenes_raise_no_alarm(domain: str, count: int) -> None:
    settings = DatasetSettings(domain=domain, width=64, height=48)
    for index in range(count):
        drawn = draw(settings, index)
        assert odd_placements(drawn.scene, get_domain(domain), drawn.shot.viewpoint) == []


def test_twins_and_half_overlaps_are_named_by_number_and_words() -> None:
    drawn = draw(DatasetSettings(width=64, height=48, min_objects=3, max_objects=3), 5).scene.objects
    x, y, z = drawn[1]["loc"]
    scene = Scene("clevr", (*drawn, drawn[1], drawn[2].replaced(loc=(x + 0.3, y, z))))
    [line] = odd_placements(scene, CLEVR, CAMERA)
    words = " ".join(drawn[1][name] for name in ("color", "material", "size", "shape"))
    assert line.startswith(
        f"objects stand in each other: 2 ({words}) and 4 ({words}), which are the same, so that one of them is drawn; 2 ("
    )


def test_models_are_judged_by_their_hulls() -> None:
    one, *_ = draw(DatasetSettings(domain="assets", width=64, height=48), 3).scene.objects
    x, y, z = one["loc"]
    for step, found in ((0.0, 1), (0.2, 1), (2.5, 0)):
        scene = Scene("assets", (one, one.replaced(loc=(x + step, y, z))))
        lines = odd_placements(scene, ASSETS, ASSETS.camera)
        assert len(lines) == found
        assert all("judged by their convex hulls" in line for line in lines)


@pytest.mark.parametrize("shape", ["cube", "sphere", "cylinder"])
def test_a_camera_inside_an_object_is_told(shape: str) -> None:
    values = {"color": "red", "material": "rubber", "size": "large", "shape": shape, "rotation": 20.0 if shape == "cube" else 0.0}
    around = Object("add", {"loc": (7.5, -6.5, 5.0), **values})
    [line] = odd_placements(Scene("clevr", (around,)), CLEVR, CAMERA)
    assert line.startswith(f"the camera is inside object 1 (red rubber large {shape})")
    assert odd_placements(Scene("clevr", (around,)), CLEVR, Camera((9.0, -6.5, 5.0))) == []


@pytest.mark.parametrize(("domain", "count"), [(CLEVR, 1000), (ASSETS, 30)])
def test_of_very_many_objects_in_one_place_the_nearest_are_looked_at_which_is_said(domain: StagedDomain, count: int) -> None:
    drawn = draw(DatasetSettings(domain=domain.name, width=64, height=48), 3).scene.objects[0]
    crowd = [drawn.replaced(loc=(0.01 * place, 0.0, 1.0)) for place in range(count - 2)]
    twins = [drawn.replaced(loc=(200.0, 0.0, 1.0))] * 2
    pairs, capped = odd_placements(Scene(domain.name, (*crowd, *twins)), domain, Camera((99.0, 99.0, 9.0)))
    assert "and 297 more pairs" in pairs
    assert capped.endswith(" pairs of objects are near enough to stand in each other, and only the nearest 300 were looked at")
    solids = [domain.solid(obj) for obj in (*crowd, *twins)]
    assert len(near_pairs(solids)) > 300
    assert (count - 2, count - 1) in intersecting(solids)  # the twins: nearest of all, and last in order


def test_a_hull_of_very_many_corners_is_judged_by_its_outermost() -> None:
    points = np.random.default_rng(0).normal(size=(3000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    triangles = ConvexHull(points).simplices
    ball = Mesh(points, triangles, np.zeros(len(triangles)), np.zeros(len(triangles)))
    one = MeshSolid(ball, (0.0, 0.0, 0.0), 1.0, np.eye(3))
    for apart, expected in ((1.9, [(0, 1)]), (1.99, []), (2.1, [])):
        assert intersecting([one, replace(one, location=(apart * 0.6, 0.0, apart * 0.8))]) == expected
