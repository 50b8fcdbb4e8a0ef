"""Which objects of a scene intersect: no picture can show such a scene as its code describes it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from datagen.assets.mesh import Mesh
from datagen.assets.solid import MeshSolid
from datagen.domains.placing import MIN_GAP
from datagen.domains.staged import StagedDomain
from datagen.geometry import raycast
from datagen.geometry.solids import Solid
from datagen.inspect.pictures import object_words
from datagen.scene import Camera, Object, Scene

TOUCH = 0.01  # metres that two solids may reach into each other and still count as touching
SHRINK = 0.98  # scale of hulls before they are tested, so that hulls that touch do not intersect
ROUNDING = 0.002  # metres by which rounding may bring two objects nearer
MOST_NAMED = 3  # pairs in one message
MOST_TRIED = 300  # pairs of a scene that are tested: all pairs of 25 objects in one place
MOST_CORNERS = 256  # of a hull


def near_pairs(solids: Sequence[raycast.Castable]) -> list[tuple[int, int]]:
    """The pairs (i, j), i < j, of objects whose enclosing balls intersect, those whose balls overlap most first."""
    if not solids:
        return []
    hulls = [_hull(solid) for solid in solids]
    centres = np.array([(hull.min(axis=0) + hull.max(axis=0)) / 2 for hull in hulls])
    radii = np.array([np.linalg.norm(hull - centre, axis=1).max() for hull, centre in zip(hulls, centres, strict=True)])
    i, j = np.triu_indices(len(solids), 1)
    apart = np.linalg.norm(centres[i] - centres[j], axis=1) / (radii[i] + radii[j])
    near = np.flatnonzero(apart < 1)
    near = near[np.argsort(apart[near], kind="stable")]
    return list(zip(i[near].tolist(), j[near].tolist(), strict=True))


def intersecting(solids: Sequence[raycast.Castable]) -> list[tuple[int, int]]:
    """The pairs (i, j), i < j, of objects that intersect by more than a touch. Of `near_pairs`, the first `MOST_TRIED` are tested.

    Cubes, spheres and cylinders are tested exactly, other solids (meshes) by their convex hulls, so that an object in the hollow of another
    counts as intersecting. Cubes at CLEVR's least distance never count: CLEVR's rule measures sides, and in about one scene of a hundred
    the corners of two cubes meet.
    """
    return sorted((i, j) for i, j in near_pairs(solids)[:MOST_TRIED] if _meet(solids[i], solids[j]))


def _meet(one: raycast.Castable, other: raycast.Castable) -> bool:
    if not isinstance(one, Solid) or not isinstance(other, Solid):
        return _hulls_meet(_hull(one), _hull(other))
    if one.kind == "sphere":
        return _reaches(one, other)
    if other.kind == "sphere":
        return _reaches(other, one)
    aside, above = math.dist(one.location[:2], other.location[:2]), abs(one.location[2] - other.location[2])
    if aside - one.scale - other.scale >= MIN_GAP - ROUNDING:
        return False
    return one.scale + other.scale - above > TOUCH and _footprints_meet(one, other)


def _reaches(ball: Solid, solid: Solid) -> bool:
    """Whether a ball intersects a solid, computed from the distance of the ball's centre to the solid."""
    x, y, z = _seen_from(solid, ball)
    if solid.kind == "sphere":
        away = math.hypot(x, y, z) - solid.scale
    else:
        aside = (math.hypot(x, y),) if solid.kind == "cylinder" else (abs(x), abs(y))
        away = math.hypot(*(max(0.0, off - solid.scale) for off in (*aside, abs(z))))
    return ball.scale - away > TOUCH


def _footprints_meet(one: Solid, other: Solid) -> bool:
    """Whether the footprints of two upright solids overlap. A footprint is a disc or a square."""
    if one.kind == other.kind == "cylinder":
        return one.scale + other.scale - math.dist(one.location[:2], other.location[:2]) > TOUCH
    if one.kind == "cylinder" or other.kind == "cylinder":
        disc, square = (one, other) if one.kind == "cylinder" else (other, one)
        x, y, _ = _seen_from(square, disc)
        return disc.scale - math.hypot(*(max(0.0, abs(off) - square.scale) for off in (x, y))) > TOUCH
    return _square_overlaps(one, other) and _square_overlaps(other, one)


def _square_overlaps(one: Solid, other: Solid) -> bool:
    """Whether the projections of two squares onto both axes of the first overlap. If those onto the axes of the second do as well, the
    squares overlap."""
    angle = math.radians(other.degrees - one.degrees)
    reach = other.scale * (abs(math.cos(angle)) + abs(math.sin(angle)))
    x, y, _ = _seen_from(one, other)
    return one.scale + reach - max(abs(x), abs(y)) > TOUCH


def _seen_from(solid: Solid, other: Solid) -> tuple[float, float, float]:
    """The centre of `other`, in metres, in the frame of `solid`, which may be turned about Z."""
    x, y, z = (there - here for there, here in zip(other.location, solid.location, strict=True))
    cos, sin = math.cos(math.radians(solid.degrees)), math.sin(math.radians(solid.degrees))
    return cos * x + sin * y, cos * y - sin * x, z


def _hulls_meet(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the convex hulls of two sets of points, each shrunk by `SHRINK`, share a point: a weighted mean of the first set that is a
    weighted mean of the second."""
    from scipy.optimize import linprog  # which takes as long as all the rest of rendering to import, for pairs that are seldom near

    first, second = _smaller(one), _smaller(other)
    equal = np.vstack(
        [
            np.hstack([first.T, -second.T]),
            np.hstack([np.ones((1, len(first))), np.zeros((1, len(second)))]),
            np.hstack([np.zeros((1, len(first))), np.ones((1, len(second)))]),
        ]
    )
    return bool(linprog(np.zeros(len(first) + len(second)), A_eq=equal, b_eq=[0.0, 0.0, 0.0, 1.0, 1.0]).status == 0)


def _smaller(corners: np.ndarray) -> np.ndarray:
    centre = corners.mean(axis=0)
    return centre + SHRINK * (corners - centre)


def _hull(solid: raycast.Castable) -> np.ndarray:
    """A few points (N, 3) whose convex hull contains the solid."""
    if isinstance(solid, MeshSolid):
        return _corners(solid.mesh) @ (solid.scale * solid.rotation).T + solid.location
    return solid.hull()


@lru_cache(maxsize=256)
def _corners(mesh: Mesh) -> np.ndarray:
    """The corners (N, 3) of a mesh's convex hull. For a flat mesh they are all its vertices; of more than `MOST_CORNERS` corners, those
    that are outermost along as many directions, evenly spread over the sphere."""
    from scipy.spatial import ConvexHull, QhullError  # as above

    corners = mesh.vertices
    with contextlib.suppress(QhullError):
        corners = corners[ConvexHull(corners).vertices]
    if len(corners) <= MOST_CORNERS:
        return corners
    heights = np.linspace(-1.0, 1.0, MOST_CORNERS)
    around = math.pi * (1 + math.sqrt(5)) * np.arange(MOST_CORNERS)
    directions = np.stack([np.cos(around), np.sin(around), np.zeros(MOST_CORNERS)]) * np.sqrt(1 - heights**2)
    directions[2] = heights
    return corners[np.unique((corners @ directions).argmax(axis=0))]


def odd_placements(scene: Scene, domain: StagedDomain, camera: Camera) -> list[str]:
    """Warnings about objects that intersect each other or contain the camera, which no picture can show as the scene describes them.
    Objects are numbered from 1 in the scene's order."""
    solids = [domain.solid(obj) for obj in scene]
    named = [f"{number} ({object_words(domain, obj)})" for number, obj in enumerate(scene, 1)]
    lines = []
    pairs = intersecting(solids)
    if pairs:
        described = "; ".join(f"{named[i]} and {named[j]}" + _one_drawn(scene.objects[i], scene.objects[j]) for i, j in pairs[:MOST_NAMED])
        rest = f"; and {len(pairs) - MOST_NAMED} more pairs" if len(pairs) > MOST_NAMED else ""
        exact = all(isinstance(solid, Solid) for solid in solids)
        lines.append(f"objects stand in each other{'' if exact else ', judged by their convex hulls'}: {described}{rest}")
    if (near := len(near_pairs(solids))) > MOST_TRIED:
        lines.append(f"{near:,} pairs of objects are near enough to stand in each other, and only the nearest {MOST_TRIED} were looked at")
    lens = Solid("sphere", camera.location, 2 * TOUCH)
    around = [name for name, solid in zip(named, solids, strict=True) if isinstance(solid, Solid) and _reaches(lens, solid)]
    if around:
        lines.append(f"the camera is inside object {', '.join(around)}, whose dark inside is all that it sees")
    return lines


def _one_drawn(one: Object, other: Object) -> str:
    """The end of a warning about two equal objects, else nothing. Only one of them is rendered: coinciding faces would be black."""
    return ", which are the same, so that one of them is drawn" if one == other else ""
