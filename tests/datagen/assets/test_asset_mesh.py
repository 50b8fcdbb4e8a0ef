"""Meshes, and the functions that model them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from asset_meshes import open_edges, plain, unit_cube

from datagen.assets import modelling
from datagen.assets.mesh import Mesh, joined, mesh_bytes, mesh_from, normalised

PARTS = {
    "box": (modelling.box(1, 2, 3, 0.1, 8), 6.0),
    "sharp box": (modelling.box(1, 2, 3, 1e-6), 6.0),
    "ball": (modelling.ball(1, 96, 48), 4 / 3 * np.pi),
    "disc": (modelling.disc(1, 0.5, segments=96), 0.5 * np.pi),
    "ring": (
        modelling.tube(np.concatenate([modelling.arc(97, 0, 360)[:-1], np.zeros((96, 1))], 1), 0.2, 32, closed=True),
        2 * np.pi**2 * 0.04,
    ),
    "rod": (modelling.rod((0, 0, 0), (0, 3, 4), 0.1, 64), 0.05 * np.pi),
    "cone": (modelling.rod((1, 2, 3), (1, 2, 6), (0.2, 0.0), 64), 0.04 * np.pi),
    "cup": (modelling.revolved([(0, 0), (1, 0), (1, 1), (0.9, 1), (0.9, 0.1), (0, 0.1)], 96), np.pi * (1 - 0.81 * 0.9)),
    "both sides": (modelling.both_sides(modelling.box(1, 1, 1, 1e-6).moved(0, 3, 0)), 2.0),
    "spread": (modelling.spread(modelling.box(1, 1, 1, 1e-6).moved(5), 5), 5.0),
    "turned": (modelling.turned(modelling.box(1, 2, 3, 1e-6), "y", 33.0), 6.0),
}


@pytest.mark.parametrize(("mesh", "volume"), PARTS.values(), ids=PARTS.keys())
def test_parts_are_closed_look_outwards_and_have_their_volume(mesh: Mesh, volume: float) -> None:
    assert open_edges(mesh) == 0
    assert mesh.volume() == pytest.approx(volume, rel=0.02)


def test_a_turn_leads_x_to_y_to_z_to_x() -> None:
    for axis, before, after in (("z", (1, 0, 0), (0, 1, 0)), ("x", (0, 1, 0), (0, 0, 1)), ("y", (0, 0, 1), (1, 0, 0))):
        part = plain(np.array([before, (0, 0, 0), (5, 5, 5)], float), np.array([(0, 1, 2)]))
        np.testing.assert_allclose(modelling.turned(part, axis, 90).vertices[0], after, atol=1e-12)


def test_slots_follow_the_profile() -> None:
    part = modelling.revolved([(0, 0), (1, 0), (1, 1), (0, 1)], 12, (3, 4, 5))
    heights = part.corners()[:, :, 2].mean(1)
    assert set(part.slots[heights == 0]) == {3} and set(part.slots[heights == 1]) == {5}
    assert set(part.slots[(heights > 0) & (heights < 1)]) == {4}


def test_normalised_is_centred_reaches_one_and_stays() -> None:
    mesh = normalised(modelling.box(1, 2, 3).moved(7, -8, 9))
    np.testing.assert_allclose(mesh.bounds().sum(0), 0, atol=2e-6)
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1, abs=2e-6)
    assert normalised(mesh).digest() == mesh.digest() or np.abs(normalised(mesh).vertices - mesh.vertices).max() < 3e-6
    assert (mesh.vertices * 2**20 == np.round(mesh.vertices * 2**20)).all()


def test_normalised_drops_loose_vertices_and_refuses_what_has_no_extent() -> None:
    loose = plain(np.array([(100, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0)], float), np.array([(1, 2, 3)]))
    assert len(normalised(loose).vertices) == 3
    with pytest.raises(ValueError, match="no triangles"):
        normalised(plain(np.zeros((3, 3)), np.zeros((0, 3))))
    with pytest.raises(ValueError, match="no extent"):
        normalised(plain(np.ones((3, 3)), np.array([(0, 1, 2)])))


@pytest.mark.parametrize(
    ("vertices", "triangles", "message"),
    [
        (np.zeros((3, 2)), np.zeros((1, 3)), "shape"),
        (np.zeros((3, 3)), np.array([(0, 1, 3)]), "outside"),
        (np.zeros((3, 3)), np.array([(0, 1, -1)]), "outside"),
        (np.full((3, 3), np.nan), np.array([(0, 1, 2)]), "finite"),
    ],
)
def test_what_is_no_mesh_is_refused(vertices: np.ndarray, triangles: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain(vertices, triangles)


def test_is_immutable_and_does_not_follow_its_source() -> None:
    source = np.eye(3)
    mesh = plain(source, np.array([(0, 1, 2)]))
    source[0, 0] = 7
    assert mesh.vertices[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        mesh.vertices[0, 0] = 2


def test_round_trip_through_a_file_without_pickles() -> None:
    mesh = joined([modelling.box(1, 2, 3), modelling.ball(1).painted(2)])
    with np.load(io.BytesIO(mesh_bytes(mesh, more=np.arange(3))), allow_pickle=False) as arrays:
        back = mesh_from(dict(arrays))
    assert back.digest() == mesh.digest()


def test_curved_surfaces_shade_smoothly_and_edges_stay_sharp() -> None:
    ball = modelling.ball(1.0, 24, 12)
    outwards = ball.corners() / np.linalg.norm(ball.corners(), axis=2, keepdims=True)
    assert (ball.corner_normals() * outwards).sum(2).min() > 0.995
    drum = modelling.disc(1.0, 1.0)
    assert np.allclose(np.abs(drum.corner_normals()[..., 2]).round(6) % 1, 0)  # normals of the lids are vertical, of the wall horizontal
    flat = modelling.flat(ball)
    np.testing.assert_array_equal(flat.corner_normals()[:, 0], flat.normals())
    cube = unit_cube()
    np.testing.assert_allclose(cube.corner_normals(), np.repeat(cube.normals()[:, None], 3, 1))


def test_a_crowded_corner_costs_no_quadratic_memory() -> None:
    fan = modelling.revolved([(0, 0), (1, 0), (0, 1)], 20_000)
    assert np.isfinite(fan.corner_normals()).all()
