"""Labels of objects behind the camera or around it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datagen.domains.clevr import CAMERA
from datagen.domains.registry import get_domain
from datagen.geometry.camera import look_at, project
from datagen.samples.labels import decode_rle, label_objects, view_of
from datagen.samples.sample import Sample, make_sample
from datagen.scene import Camera, Object, Scene

SHOT = get_domain("clevr").canonical_shot(32, 24, "draft")
ANYWHERE = st.floats(-30, 30) | st.floats(-1e6, 1e6)


def scene_at(domain: str, *places: tuple[float, float, float]) -> Scene:
    clevr = {"color": "red", "material": "metal", "size": "large", "shape": "sphere", "rotation": 0.0}
    pose = {"rotation": (10.0, 20.0, 30.0)}
    return Scene(domain, tuple(Object("add", {"loc": place, **(clevr if domain == "clevr" else pose)}) for place in places))


@pytest.mark.parametrize("domain", ["clevr", "pose6d"])
@given(st.tuples(ANYWHERE, ANYWHERE, ANYWHERE))
@example(CAMERA.location)
@example((7.481, -6.508, 6.344))
@example((14.962, -13.016, 10.688))
def test_labels_of_an_object_anywhere_are_plain_numbers_that_agree(domain: str, place: tuple[float, float, float]) -> None:
    kind = get_domain(domain)
    shot = kind.canonical_shot(32, 24, "draft")
    scene = kind.canonical(scene_at(domain, place))
    view = view_of(scene, kind, shot)
    [label] = label_objects(scene, kind, shot, view)
    sample = make_sample("a", scene, shot, np.zeros((24, 32, 3), np.uint8), view)
    assert Sample.from_files("a", sample.files(), "here").record["labels"] == [label]
    x, y, depth = label["pixel_coords"]
    assert label["visible_pixels"] == decode_rle(label["mask"]).sum() == (view.owner == 0).sum()
    assert (view.depth[view.owner == 0] > 0).all()
    radius = 0.7 if domain == "clevr" else 1.5
    if depth <= 0:
        assert (x, y) == (-1.0, -1.0)
    if depth < -radius:
        assert label["visible_pixels"] == 0


@given(st.floats(0, 0.6), st.floats(0, 6.3), st.floats(-1, 1))
def test_an_object_around_the_camera_is_all_that_it_sees(away: float, turn: float, rise: float) -> None:
    """The camera is inside a sphere of radius 0.7 m, so depths are at most its diameter."""
    step = np.array([np.cos(turn) * np.sqrt(1 - rise**2), np.sin(turn) * np.sqrt(1 - rise**2), rise]) * away
    scene = scene_at("clevr", tuple((step + CAMERA.location).tolist()))
    view = view_of(scene, get_domain("clevr"), SHOT)
    assert (view.owner == 0).all()
    assert ((view.depth > 0) & (view.depth <= 1.4)).all()


@given(st.tuples(*[st.floats(-50, 50)] * 3), st.tuples(*[st.floats(-9, 9)] * 3))
def test_only_what_is_in_front_has_a_place_on_the_frame(point: tuple[float, float, float], at: tuple[float, float, float]) -> None:
    camera = Camera(at, (0.0, 0.0, 20.0))
    [[x, y, depth]] = project(camera, 320, 240, np.array([point])).tolist()
    ahead = float(np.subtract(point, at) @ -look_at(at, camera.target)[:, 2])
    assert depth == pytest.approx(ahead, abs=1e-9)
    assert np.isfinite([x, y]).all()
    if ahead < -1e-5:
        assert (x, y) == (-1.0, -1.0)
