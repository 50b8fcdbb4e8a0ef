"""Scores of the camera and the lamps that a code states."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.geometry.camera import look_at
from datagen.geometry.rotations import from_axis_angle, geodesic_degrees
from datagen.metrics.intervals import differences, intervals
from datagen.metrics.scores import score_scene
from datagen.metrics.shots import camera_errors, lamp_errors, score_shot
from datagen.metrics.summary import summarize
from datagen.scene import Camera, Scene, Shot

CLEVR = get_domain("clevr")
assert isinstance(CLEVR, StagedDomain)
SHOT = CLEVR.canonical_shot(320, 240, "draft")
PLACES = st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(0.5, 9))


def headed(shot: Shot) -> Scene:
    assert isinstance(CLEVR, StagedDomain)
    return Scene("clevr", (), CLEVR.header_of(shot))


def turned(camera: Camera, degrees: float) -> Camera:
    """The camera panned about the vertical."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y, z = np.subtract(camera.target, camera.location)
    return replace(camera, target=tuple(np.add(camera.location, (x * cos - y * sin, x * sin + y * cos, z)).tolist()))


def test_a_camera_that_is_right_has_no_error() -> None:
    found = camera_errors(SHOT.viewpoint, SHOT.viewpoint)
    assert found is not None
    assert (found.location, found.field_of_view) == (0.0, 0.0)
    assert (found.direction, found.roll) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_location_and_field_of_view_are_those_of_a_known_step() -> None:
    x, y, z = SHOT.viewpoint.location
    moved = replace(SHOT.viewpoint, location=(x, y, z + 2.0), target=(0.0, 0.0, 2.0), lens_mm=16.0)
    found = camera_errors(SHOT.viewpoint, moved)
    assert found is not None
    assert found.location == pytest.approx(2.0)
    assert found.direction == pytest.approx(0.0, abs=1e-6)
    assert found.field_of_view == pytest.approx(90.0 - math.degrees(2 * math.atan(16 / 35)))


@given(PLACES, st.floats(-170, 170))
def test_a_level_camera_that_pans_turns_by_so_much_and_does_not_roll(place: tuple[float, float, float], degrees: float) -> None:
    level = Camera(place, (place[0] + 3.0, place[1] - 1.0, place[2]))
    found = camera_errors(level, turned(level, degrees))
    assert found is not None
    assert found.direction == pytest.approx(abs(degrees), abs=1e-5)
    assert found.roll == pytest.approx(0.0, abs=1e-5)


@given(PLACES, PLACES, PLACES, PLACES)
def test_swing_and_twist_make_up_the_whole_turn(
    one: tuple[float, float, float], two: tuple[float, float, float], three: tuple[float, float, float], four: tuple[float, float, float]
) -> None:
    """cos of half the whole angle is the product of the cosines of both halves; the direction is the angle between the lines of sight."""
    if min(math.dist(one, two), math.dist(three, four)) < 0.1:
        return
    truth, guess = Camera(one, two), Camera(three, four)
    found = camera_errors(truth, guess)
    assert found is not None
    axes, others = look_at(one, two), look_at(three, four)
    whole = float(geodesic_degrees(axes, others))
    halves = math.cos(math.radians(found.direction / 2)) * math.cos(math.radians(found.roll / 2))
    assert halves == pytest.approx(math.cos(math.radians(whole / 2)), abs=1e-6)
    between = math.degrees(math.atan2(np.linalg.norm(np.cross(axes[:, 2], others[:, 2])), axes[:, 2] @ others[:, 2]))
    assert found.direction == pytest.approx(between, abs=1e-4)


@given(st.floats(1, 179))
def test_the_roll_of_a_camera_that_looks_straight_down_is_its_heading(degrees: float) -> None:
    """All cameras are upright; near the vertical, a small step aside turns the picture, and little else."""
    step = from_axis_angle(np.array([0.0, 0.0, math.radians(degrees)])) @ np.array([1e-3, 0.0, 9.0])
    found = camera_errors(Camera((1e-3, 0.0, 9.0)), Camera(tuple(step.tolist())))
    assert found is not None
    assert found.roll == pytest.approx(degrees, abs=0.1)
    assert found.direction < 0.1


def test_a_camera_or_lamp_without_a_direction_has_no_errors() -> None:
    assert camera_errors(SHOT.viewpoint, Camera((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))) is None
    assert lamp_errors((0.0, 0.0, 0.0), 1.0, (0.0, 0.0, 1.0), 1.0) is None


def test_lamps_are_off_by_the_angle_from_the_origin_and_a_share_of_their_power() -> None:
    found = lamp_errors((0.0, 0.0, 2.0), 50.0, (0.0, 5.0, 0.0), 40.0)
    assert found is not None
    assert found.direction == pytest.approx(90.0)
    assert found.power == pytest.approx(0.2)
    dark = lamp_errors((0.0, 0.0, 2.0), 0.0, (0.0, 0.0, 7.0), 40.0)
    assert dark is not None
    assert (dark.direction, dark.power) == (0.0, None)


def test_what_is_scored_is_what_both_know() -> None:
    plain, both = Scene("clevr", ()), headed(SHOT)
    camera_alone = replace(both, header=both.header[:1])
    assert score_shot(plain, plain, SHOT) is None
    assert score_shot(plain, both) is None
    assert score_shot(plain, None, SHOT) is None
    recorded = score_shot(plain, both, SHOT)
    assert recorded is not None and recorded.camera is not None and list(recorded.lamps) == ["key", "fill", "back"]
    alone = score_shot(camera_alone, both, SHOT)  # of whose lamps nothing is known
    assert alone is not None and alone.camera is not None
    assert (alone.lamps_true, alone.lamps_said, dict(alone.lamps)) == (0, 3, {})
    missed = score_shot(both, plain, SHOT)
    assert missed is not None and (missed.cameras, missed.camera, missed.lamps_true, missed.lamps_said) == (1, None, 3, 0)
    assert score_shot(both, None) == missed


def test_the_metrics_are_means_and_medians_and_only_there_if_some_code_states_its_shot() -> None:
    truth = headed(SHOT)
    lifted = [replace(SHOT, camera=replace(SHOT.viewpoint, location=(7.481, -6.508, 5.344 + step))) for step in (0.0, 0.1, 0.5)]
    scores = [score_scene(truth, headed(shot), CLEVR) for shot in lifted] + [score_scene(truth, None, CLEVR)]
    found = summarize(scores)["shot"]
    assert found["camera"]["location"] == {"mean": pytest.approx(0.2), "median": pytest.approx(0.1)}
    assert (found["camera"]["cameras"], found["camera"]["stated"]) == (4, 3)
    assert (found["lamps"], found["lamps_said"], found["lamps_matched"]) == (12, 9, 9)
    assert found["lamp_power"]["key"] == {"mean": 0.0, "median": 0.0}
    between = intervals(scores, 100)["shot"]["camera"]["location"]["mean"]
    assert between[0] < 0.2 < between[1]
    better = differences(scores, [score_scene(truth, truth, CLEVR)] * 4, 100)["shot"]["camera"]["location"]["median"]
    assert better["difference"] == pytest.approx(-0.1)
    json.dumps(summarize(scores), allow_nan=False)
    assert "shot" not in summarize([score_scene(Scene("clevr", ()), Scene("clevr", ()), CLEVR)])


def test_any_header_that_parses_has_scores() -> None:
    wild = "camera(loc=(0, 0, 0), target=(0, 0, 0), lens=-1)\n" + 'lamp(name="key", loc=(0, 0, 0), power=-1)\n'
    found = summarize([score_scene(headed(SHOT), parse_code(wild, CLEVR), CLEVR)])["shot"]
    assert (found["camera"]["cameras"], found["camera"]["stated"], found["lamps_said"], found["lamps_matched"]) == (1, 0, 1, 0)
