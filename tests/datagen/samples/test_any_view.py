"""Cameras drawn around the stage: what a split states of them, what is drawn of it, and what is refused."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen.domains.camera_ranges import CameraRanges
from datagen.domains.clevr import ANY_VIEW, CLEVR
from datagen.domains.registry import get_domain
from datagen.domains.split_files import load_split
from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.geometry.view import min_visible_pixels
from datagen.rng import Stream
from datagen.samples import draw as drawing
from datagen.samples.draw import check_request, draw, scene_cameras
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera

STAGED = ("clevr", "assets", "so3", "pose6d")
STATED = {"azimuth": [0, 360], "elevation": [30, 60], "distance": [7, 13], "lens": [28, 50]}
NEAR_AND_NARROW = CameraRanges((0.0, 360.0), (60.0, 60.0), (7.0, 7.0), (50.0, 50.0))


def polar(camera: Camera) -> tuple[float, float, float]:
    """Azimuth and elevation in degrees, and distance from the origin in metres."""
    x, y, z = camera.location
    distance = math.dist(camera.location, (0, 0, 0))
    return math.degrees(math.atan2(y, x)) % 360, math.degrees(math.asin(z / distance)), distance


def any_view(camera: CameraRanges, **more: Any) -> DatasetSettings:
    return DatasetSettings(rules=Split("mine", camera=camera), **more)


def test_a_splits_file_states_the_ranges(tmp_path: Path) -> None:
    path = tmp_path / "round.json"
    path.write_text(json.dumps({"camera": STATED}))
    assert load_split(str(path), CLEVR) == replace(CLEVR.splits["any-view"], name="round")
    written = CLEVR.splits["any-view"].to_json()
    assert json.loads(json.dumps(written))["camera"] == STATED
    assert "camera" not in CLEVR.splits["default"].to_json()


@pytest.mark.parametrize(
    ("wrong", "message"),
    {
        "the lower last": ({"elevation": [60, 30]}, r"camera\.elevation.*the lower first"),
        "straight above": ({"elevation": [30, 90]}, r"camera\.elevation.*\[-89, 89\] degrees"),
        "more than around": ({"azimuth": [0, 400]}, r"camera\.azimuth.*\[-360, 360\] degrees"),
        "in the middle": ({"distance": [0, 5]}, r"camera\.distance.*\[0.2, 500\] m"),
        "no lens": ({"lens": [0.5, 50]}, r"camera\.lens.*\[1, 5000\] mm"),
        "one number": ({"lens": 35}, "lens"),
        "another field": ({"roll": [0, 1]}, "roll"),
    }.values(),
)
def test_ranges_that_no_camera_can_keep_are_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps({"camera": {**STATED, **wrong}}))
    with pytest.raises(UserError, match=message):
        load_split(str(path), CLEVR)


def test_a_plane_has_no_cameras_to_draw(tmp_path: Path) -> None:
    path = tmp_path / "round.json"
    path.write_text(json.dumps({"camera": STATED}))
    with pytest.raises(UserError, match=r"camera.*the dot2d domain has no camera"):
        load_split(str(path), get_domain("dot2d"))


def test_drawn_cameras_fill_their_ranges_evenly_and_independently() -> None:
    """Of 4000 cameras, in units of their ranges: each tenth of each number holds its share, no two numbers go together."""
    chosen = DatasetSettings(split="any-view", seed=3)
    cameras = [camera for number in range(4000) for camera in scene_cameras(chosen, number) if camera]
    places = np.array([(*polar(camera), camera.lens_mm) for camera in cameras])
    low, high = np.array([ANY_VIEW.azimuth, ANY_VIEW.elevation, ANY_VIEW.distance, ANY_VIEW.lens]).T
    units = (places - low) / (high - low)
    assert units.min() > -1e-3 and units.max() < 1 + 1e-3
    for column in units.T:
        tenths = np.histogram(column, 10, (0, 1))[0]
        assert np.abs(tenths - 400).max() < 4 * math.sqrt(400 * 0.9)
    assert np.abs(np.corrcoef(units.T) - np.eye(4)).max() < 4 / math.sqrt(4000)


@pytest.mark.parametrize("name", STAGED)
def test_every_object_of_a_drawn_scene_is_seen_by_its_camera(name: str) -> None:
    chosen = DatasetSettings(domain=name, split="any-view", seed=2, width=80, height=60)
    azimuths = set()
    for index in range(12):
        sample = draw(chosen, index)
        camera = sample.shot.viewpoint
        assert (camera.target, camera.sensor_mm) == ((0.0, 0.0, 0.0), 32.0)
        assert [round(part, 3) for part in camera.location] == list(camera.location) and round(camera.lens_mm, 2) == camera.lens_mm
        assert (sample.view.visible_pixels(len(sample.scene)) >= min_visible_pixels(80, 60)).all()
        assert chosen.resolved_domain.violations(sample.scene) == []
        assert draw(chosen, index).scene == sample.scene and draw(chosen, index).shot == sample.shot
        azimuths.add(int(polar(camera)[0] // 90))
    assert azimuths == {0, 1, 2, 3}


def test_clevr_keeps_the_number_of_objects_even_and_gives_hardly_any_camera_up() -> None:
    chosen = DatasetSettings(split="any-view", seed=4, width=80, height=60)
    drawn = [draw(chosen, index) for index in range(100)]
    counts = Counter(len(sample.scene) for sample in drawn)
    expected = [3 + Stream(4, number, 0).below(8) for number in range(100)]
    assert counts == Counter(expected)
    first = [scene_cameras(chosen, number)[0] == sample.shot.camera for number, sample in enumerate(drawn)]
    assert sum(first) >= 93
    assert all(same == (sample.attempt < drawing.CAMERA_TRIES) for same, sample in zip(first, drawn, strict=True))


def test_a_camera_before_which_there_is_no_room_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten objects find no room at 7 m under a lens of 50 mm: another camera of the same ranges is drawn."""
    monkeypatch.setattr(drawing, "CAMERA_TRIES", 20)
    chosen = any_view(replace(NEAR_AND_NARROW, distance=(7.0, 13.0), lens=(28.0, 50.0)), min_objects=10, width=80, height=60)
    hopeless = Camera((3.5, 0.0, 6.062), lens_mm=50.0)
    monkeypatch.setattr(drawing, "scene_cameras", lambda s, number, again=0: scene_cameras(s, number, again) if again else [hopeless])
    sample = draw(chosen, 0)
    assert sample.attempt >= 20
    assert sample.shot.camera == scene_cameras(chosen, 0, 1 + sample.attempt - 20)[0]


def test_each_view_of_a_scene_has_a_camera_of_its_own() -> None:
    chosen = DatasetSettings(split="any-view", views=3, seed=1, width=80, height=60)
    views = [draw(chosen, index) for index in range(3)]
    assert len({view.shot.camera for view in views}) == 3
    assert views[0].scene == views[1].scene == views[2].scene
    assert len({view.shot.lamps for view in views}) == 1


def test_settings_with_ranges_survive_json() -> None:
    chosen = any_view(ANY_VIEW, views=2, seed=9)
    assert chosen.cameras == ()
    assert DatasetSettings.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen


def test_what_does_not_go_with_drawn_cameras_is_refused() -> None:
    with pytest.raises(UserError, match=r"'any-view' draws the camera.*cameras cannot be asked for"):
        DatasetSettings(split="any-view", cameras=(CLEVR.camera,))
    with pytest.raises(UserError, match=r"'any-view' draws the camera.*jitter cannot be asked for"):
        DatasetSettings(split="any-view", camera_jitter=0.5)
    with pytest.raises(UserError, match=r"'mine': camera\.elevation.*at least 0.1 m above the ground"):
        any_view(replace(ANY_VIEW, elevation=(-10.0, 30.0)))
    with pytest.raises(UserError, match="light jitter of 4 m"):
        DatasetSettings(split="any-view", light_jitter=4.0)


@pytest.mark.parametrize("name", STAGED)
def test_a_request_for_any_view_is_granted(name: str) -> None:
    check_request(DatasetSettings(domain=name, split="any-view"))


@pytest.mark.parametrize(
    ("ranges", "more", "message"),
    {
        "no room": (NEAR_AND_NARROW, {}, r"'mine': the cameras that it draws do not show enough of all of 10 objects"),
        "too far": (replace(ANY_VIEW, distance=(40.0, 50.0)), {}, "do not show enough of all of 10 objects"),
        "together": (
            replace(NEAR_AND_NARROW, elevation=(30.0, 30.0)),
            {"max_objects": 6, "views": 20, "width": 80, "height": 60},
            "20 of the cameras",
        ),
    }.values(),
)
def test_a_request_that_no_camera_can_meet_is_refused(ranges: CameraRanges, more: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_request(any_view(ranges, **more))


def test_cameras_that_look_past_the_backdrop_are_warned_of() -> None:
    assert any_view(ANY_VIEW).warnings() == []
    [warning] = any_view(replace(ANY_VIEW, elevation=(1.0, 60.0), distance=(7.0, 400.0), lens=(8.0, 50.0))).warnings()
    assert "'mine'" in warning and "will be black" in warning
