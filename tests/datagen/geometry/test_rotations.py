"""Rotations compared with SciPy's, and properties of every rotation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from datagen.geometry import rotations
from datagen.geometry.rotations import Symmetry, geodesic_degrees, least_geodesic_degrees
from datagen.rng import Stream

numbers = st.floats(-1, 1, allow_nan=False)


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Rotations of all kinds: any, tiny, half turns, Y at ±90 degrees, and the identity."""
    kind = draw(st.sampled_from(["any", "small", "half", "locked", "identity"]))
    axis = np.array(draw(st.tuples(numbers, numbers, numbers).filter(lambda v: math.hypot(*v) > 0.1)))
    axis /= np.linalg.norm(axis)
    angle = draw(st.floats(-math.pi, math.pi))
    if kind == "identity":
        return np.eye(3)
    if kind == "locked":
        return Rotation.from_euler("xyz", [angle, draw(st.sampled_from([-1, 1])) * math.pi / 2, 1.0]).as_matrix()
    size = {"any": angle, "small": angle * 1e-7, "half": math.pi}[kind]
    return Rotation.from_rotvec(axis * size).as_matrix()


symmetries = st.builds(Symmetry, st.integers(0, 8), st.booleans())


@given(matrices())
def test_representations_lead_back_to_the_matrix(matrix: np.ndarray) -> None:
    for name in ("euler", "axis_angle", "quaternion", "6d"):
        written = getattr(rotations, f"to_{name}")(matrix)
        back = getattr(rotations, f"from_{name}")(written)
        np.testing.assert_allclose(
            back, matrix, atol=1e-7 if name == "euler" else 1e-12
        )  # near Y = ±90 degrees Euler angles have half the digits


@given(matrices())
def test_agrees_with_scipy(matrix: np.ndarray) -> None:
    theirs = Rotation.from_matrix(matrix)
    x, y, z, w = theirs.as_quat()
    np.testing.assert_allclose(rotations.from_quaternion(np.array([w, x, y, z])), matrix, atol=1e-12)
    np.testing.assert_allclose(rotations.from_axis_angle(theirs.as_rotvec()), matrix, atol=1e-12)
    ours = rotations.to_quaternion(matrix)
    assert abs(float(ours @ [w, x, y, z])) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rotations.to_axis_angle(matrix)), theirs.magnitude(), atol=1e-7)


@given(st.tuples(*[st.floats(-360, 360)] * 3))
def test_euler_angles_are_scipys_extrinsic_xyz(degrees: tuple[float, float, float]) -> None:
    ours = rotations.from_euler(np.array(degrees))
    np.testing.assert_allclose(ours, Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), atol=1e-12)
    x, y, z = rotations.to_euler(ours)
    assert -180 <= x < 180 and -90 <= y <= 90 and -180 <= z < 180


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_six_numbers_of_a_network_give_a_rotation(columns: list[float]) -> None:
    matrix = rotations.from_6d(np.array(columns))
    first, second = np.array(columns[:3]), np.array(columns[3:])
    if np.linalg.norm(np.cross(first, second)) > 1e-3:
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-9)
        assert np.linalg.det(matrix) == pytest.approx(1.0)
        assert matrix[:, 0] @ first == pytest.approx(np.linalg.norm(first))


def test_parallel_columns_are_no_rotation() -> None:
    assert np.isnan(rotations.from_6d(np.array([1.0, 0, 0, 2.0, 0, 0]))).any()


@given(matrices(), matrices())
def test_geodesic_is_scipys_magnitude_and_a_metric(one: np.ndarray, two: np.ndarray) -> None:
    between = (Rotation.from_matrix(one).inv() * Rotation.from_matrix(two)).magnitude()
    assert geodesic_degrees(one, two) == pytest.approx(math.degrees(between), abs=1e-6)
    assert geodesic_degrees(one, two) == pytest.approx(float(geodesic_degrees(two, one)), abs=1e-9)
    assert geodesic_degrees(one, one) == pytest.approx(0.0, abs=1e-9)
    assert geodesic_degrees(two @ one, two) == pytest.approx(float(geodesic_degrees(one, np.eye(3))), abs=1e-6)


@pytest.mark.parametrize("degrees", [1e-9, 1e-5, 90.0, 180 - 1e-5, 180.0])
def test_geodesic_is_exact_at_both_ends(degrees: float) -> None:
    assert geodesic_degrees(np.eye(3), rotations.from_euler(np.array([0, 0, degrees]))) == pytest.approx(degrees, rel=1e-9)


def test_works_on_stacks() -> None:
    stack = Rotation.random(12, random_state=1).as_matrix().reshape(3, 4, 3, 3)
    for name in ("euler", "axis_angle", "quaternion", "6d"):
        written = getattr(rotations, f"to_{name}")(stack)
        assert written.shape[:2] == (3, 4)
        np.testing.assert_allclose(getattr(rotations, f"from_{name}")(written), stack, atol=1e-12)
    assert geodesic_degrees(stack, np.eye(3)).shape == (3, 4)
    assert Symmetry(4).degrees(stack, np.eye(3)).shape == (3, 4)
    assert Symmetry(0).degrees(stack, np.eye(3)).shape == (3, 4)


@given(matrices(), symmetries, st.floats(-360, 360), st.integers(0, 100))
def test_what_looks_alike_is_no_error_apart(matrix: np.ndarray, symmetry: Symmetry, degrees: float, pick: int) -> None:
    group = symmetry.elements()
    alike = matrix @ group[pick % len(group)]
    if symmetry.fold == 0:
        alike = alike @ rotations.from_euler(np.array([0.0, 0.0, degrees]))
    assert symmetry.degrees(matrix, alike) == pytest.approx(0.0, abs=1e-5)
    assert geodesic_degrees(symmetry.canonical(alike), symmetry.canonical(matrix)) < 1e-4 or (
        # or two that look alike have the same, least angle
        geodesic_degrees(symmetry.canonical(alike), np.eye(3))
        == pytest.approx(float(geodesic_degrees(symmetry.canonical(matrix), np.eye(3))), abs=1e-4)
    )


@given(matrices(), matrices(), symmetries)
def test_the_error_is_the_least_over_the_group(one: np.ndarray, two: np.ndarray, symmetry: Symmetry) -> None:
    error = symmetry.degrees(one, two)
    assert error <= geodesic_degrees(one, two) + 1e-6
    assert error == pytest.approx(float(symmetry.degrees(two, one)), abs=1e-5)
    if symmetry.fold == 0:  # compared with turns about Z in steps of one degree
        turns = rotations.from_euler(np.arange(360)[:, None] * np.array([0.0, 0.0, 1.0]))
        fine = np.concatenate([turns @ element for element in symmetry.elements()])
        assert error - 1e-6 <= least_geodesic_degrees(one, two, fine) <= error + 0.6


@given(matrices(), symmetries)
def test_canonical_looks_the_same_and_stays_the_same(matrix: np.ndarray, symmetry: Symmetry) -> None:
    least = symmetry.canonical(matrix)
    assert symmetry.degrees(matrix, least) == pytest.approx(0.0, abs=1e-4)
    assert geodesic_degrees(least, np.eye(3)) <= geodesic_degrees(matrix, np.eye(3)) + 1e-6
    np.testing.assert_allclose(symmetry.canonical(least), least, atol=1e-6)


@given(symmetries)
def test_symmetries_are_groups_and_are_written_and_read(symmetry: Symmetry) -> None:
    assert Symmetry.parse(str(symmetry)) == symmetry
    group = symmetry.elements()
    assert len(group) == max(symmetry.fold, 1) * (2 if symmetry.flip else 1)
    np.testing.assert_allclose(group[0], np.eye(3), atol=1e-12)
    if symmetry.fold:
        for product in (group[:, None] @ group[None]).reshape(-1, 3, 3):
            assert np.abs(group - product).max(axis=(1, 2)).min() < 1e-9


@pytest.mark.parametrize("text", ["", "C", "C0", "c1", "C999", "O", "Cinf ", "E5"])
def test_what_is_no_symmetry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="symmetry"):
        Symmetry.parse(text)


def test_random_rotations_are_uniform_and_stay_what_they_are() -> None:
    rng = Stream(1, 2)
    drawn = np.stack([rotations.random_rotation(rng) for _ in range(4000)])
    np.testing.assert_allclose(np.swapaxes(drawn, 1, 2) @ drawn, np.broadcast_to(np.eye(3), drawn.shape), atol=1e-12)
    assert np.abs(drawn.mean(0)).max() < 0.03  # no direction is preferred
    angles = np.radians(geodesic_degrees(drawn, np.eye(3)))
    expected = math.pi / 2 + 2 / math.pi  # the mean of the angle's density (1 - cos a) / pi
    assert angles.mean() == pytest.approx(expected, abs=0.03)
    np.testing.assert_array_equal(rotations.random_rotation(Stream(5)), rotations.random_rotation(Stream(5)))
