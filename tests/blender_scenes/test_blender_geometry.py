"""The shapes' vertices, faces and normals."""

from __future__ import annotations

import numpy as np
import pytest

from blender_scenes.geometry import BasicMesh, cube, cylinder, sphere

SHAPES = {"cube": cube(0.07), "sphere": sphere(), "cylinder": cylinder(0.08)}


def face_normals(surface: BasicMesh) -> tuple[np.ndarray, np.ndarray]:
    """The faces' normals (F, 3): by the corners' winding, not normalised, and as the mean of the corners' normals."""
    wound, given = [], []
    for face in surface.faces:
        a, b, c = surface.vertices[[face[0], face[1], face[-1]]]
        wound.append(np.cross(b - a, c - a))
        given.append(surface.normals[list(face)].mean(axis=0))
    return np.array(wound), np.array(given)


@pytest.mark.parametrize("surface", SHAPES.values(), ids=SHAPES.keys())
def test_half_extent_is_one_and_normals_are_unit(surface: BasicMesh) -> None:
    np.testing.assert_allclose(np.abs(surface.vertices).max(axis=0), 1.0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1.0)


@pytest.mark.parametrize("surface", SHAPES.values(), ids=SHAPES.keys())
def test_faces_look_outwards_as_their_normals_say(surface: BasicMesh) -> None:
    wound, given = face_normals(surface)
    cosines = (wound * given).sum(axis=1) / np.linalg.norm(wound, axis=1) / np.linalg.norm(given, axis=1)
    assert cosines.min() > 0.99


def test_flat_faces_are_flat_up_to_the_bevel() -> None:
    for name, count in (("cube", 6), ("cylinder", 2)):
        surface = SHAPES[name]
        axes = np.isclose(np.abs(surface.normals), 1.0).any(axis=1) & np.isclose(np.abs(surface.vertices), 1.0).any(axis=1)
        assert axes.sum() >= 4 * count


def test_volumes() -> None:
    expected = {"cube": 8.0, "sphere": 4 / 3 * np.pi, "cylinder": 2 * np.pi}
    for name, surface in SHAPES.items():
        volume = 0.0
        for face in surface.faces:
            for i in range(1, len(face) - 1):
                volume += np.linalg.det(surface.vertices[[face[0], face[i], face[i + 1]]]) / 6
        assert volume == pytest.approx(expected[name], rel=0.015)
