"""Posed assets: canonical rotations, the domains so3 and pose6d, and the splits that hold rotations out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datagen.assets.library import instance
from datagen.domains.pose6d import LEAST_SHARE
from datagen.domains.posed import ROTATION, canonical_angles, draw_rotation
from datagen.domains.registry import get_domain
from datagen.domains.so3 import AEROPLANE
from datagen.domains.splits import Split
from datagen.geometry.camera import project
from datagen.geometry.rotations import NO_SYMMETRY, Symmetry, from_euler, geodesic_degrees, random_rotation
from datagen.rng import Stream
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Object

SO3, POSE6D = get_domain("so3"), get_domain("pose6d")
ANGLES = st.tuples(*(st.floats(-400, 400) for _ in range(3))) | st.tuples(
    st.integers(-4, 4).map(lambda i: 90.0 * i), st.sampled_from([-90.0, 89.996, 90.0]), st.floats(-180, 180)
)
SYMMETRIES = st.builds(Symmetry, st.sampled_from([0, 1, 2, 3, 4]), st.booleans())
ROUNDING = 0.06
"""Degrees by which rounding may turn an object: up to 0.015 each time that three angles are rounded, which some rotations of round objects
are eight times, in ever new directions."""


@example((0.0, 146.5, 142.0), Symmetry(fold=0, flip=False))  # nine rounds until angles recur
@given(ANGLES, SYMMETRIES)
def test_canonical_angles_look_the_same_and_stay(angles: tuple[float, float, float], symmetry: Symmetry) -> None:
    one = canonical_angles(angles, symmetry)
    assert canonical_angles(one, symmetry) == one
    assert all(low <= x <= high for x, low, high in zip(one, ROTATION.low, ROTATION.high, strict=True))
    assert symmetry.degrees(from_euler(np.array(angles)), from_euler(np.array(one))) < ROUNDING


@given(ANGLES, st.tuples(*(st.integers(-2, 2) for _ in range(3))))
def test_equal_rotations_have_equal_numbers(angles: tuple[float, float, float], turns: tuple[int, int, int]) -> None:
    rounded = tuple(round(angle, 2) for angle in angles)
    around = tuple(angle + 360 * turn for angle, turn in zip(rounded, turns, strict=True))
    x, y, z = rounded
    for same in (around, (x + 180, 180 - y, z + 180)):
        assert canonical_angles(same, NO_SYMMETRY) == canonical_angles(rounded, NO_SYMMETRY)


def test_drawn_rotations_are_uniform() -> None:
    """Compared with Shoemake's method by the angle of a rotation and by each entry of its matrix."""
    from scipy import stats  # takes half a second, which no other test needs

    whole = Split("whole")
    ours = np.array([from_euler(np.array(draw_rotation(Stream(1, i), whole))) for i in range(1500)])
    theirs = np.array([random_rotation(Stream(2, i)) for i in range(1500)])
    for part in (lambda m: geodesic_degrees(np.eye(3), m), *(lambda m, i=i, j=j: m[:, i, j] for i in range(3) for j in range(3))):
        assert stats.ks_2samp(part(ours), part(theirs)).pvalue > 0.001


def test_what_is_held_out_is_no_part_of_what_is_seen() -> None:
    seen, held_out = SO3.split("seen"), SO3.split("held-out")
    trained = np.array([from_euler(np.array(draw_rotation(Stream(1, i), seen))) for i in range(4000)])
    share = np.mean([held_out.holds(_named(draw_rotation(Stream(2, i), SO3.split("default")))) for i in range(1000)])
    assert 0.06 < share < 0.14
    for i in range(60):
        angles = draw_rotation(Stream(3, i), held_out)
        assert held_out.holds(_named(angles))
        assert not seen.holds(_named(angles))
        assert geodesic_degrees(from_euler(np.array(angles)), trained).min() > 2.4  # the margin, 5, times cos(Y), with Y up to 60 degrees


@pytest.mark.parametrize("split", ["seen", "held-out"])
def test_mirrored_training_images_stay_within_their_split(split: str) -> None:
    allowed = SO3.split(split)
    for i in range(200):
        scene = SO3.sample_scene(Stream(4, i), 1, allowed)
        assert scene is not None
        [mirrored] = SO3.mirrored(scene).objects
        assert allowed.holds(_named(mirrored["rotation"]))


@pytest.mark.parametrize("domain", [SO3, POSE6D], ids=lambda d: d.name)
def test_the_mirrored_scene_shows_the_mirrored_picture(domain) -> None:
    """Every vertex of the aeroplane is projected to its mirrored place, and has the colour of its mirror image."""
    mesh = instance(AEROPLANE).mesh
    painted = {(tuple(corner), int(slot)) for corners, slot in zip(mesh.corners().tolist(), mesh.slots, strict=True) for corner in corners}
    assert {((x, -y, z), slot) for (x, y, z), slot in painted} == painted
    shot = domain.canonical_shot(128, 96, "draft")
    for i in range(5):
        scene = draw(DatasetSettings(domain.name, width=128, height=96), i).scene
        one, other = (domain.solid(s.objects[0]).hull() for s in (scene, domain.mirrored(scene)))
        flipped = project(shot.viewpoint, 128, 96, one) * (-1, 1, 1) + (128, 0, 0)
        mirrored_vertices = {tuple(v): k for k, v in enumerate((mesh.vertices * (1, -1, 1)).tolist())}
        order = [mirrored_vertices[tuple(v)] for v in mesh.vertices.tolist()]
        assert np.allclose(project(shot.viewpoint, 128, 96, other), flipped[order], atol=0.05)


def test_a_pose_is_on_the_frame() -> None:
    for i in range(20):
        drawn = draw(DatasetSettings("pose6d", width=96, height=96), i)
        points = project(drawn.shot.viewpoint, 96, 96, POSE6D.solid(drawn.scene.objects[0]).hull())
        assert ((points[:, :2] > 0) & (points[:, :2] < 96)).all(1).mean() >= LEAST_SHARE


def test_the_error_is_the_angle_between() -> None:
    one = Object("add", {"rotation": (0.0, 0.0, 170.0)})
    other = Object("add", {"rotation": (0.0, 0.0, -170.0)})
    assert SO3.rotation_error(one, other) == pytest.approx(20.0)


def _named(angles) -> dict[str, float]:
    return dict(zip(SO3.drawn_numbers, angles, strict=True))
