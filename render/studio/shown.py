"""A scene as the page shows it at once, before anything is rendered: solids to stand in the 3-D view, or a painted plane."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from datagen.assets.mesh import Mesh
from datagen.assets.solid import MeshSolid
from datagen.domains.base import Domain, PaintedDomain
from datagen.domains.clevr import COLORS
from datagen.domains.posed import PosedDomain
from datagen.domains.staged import StagedDomain
from datagen.errors import CodeError, UserError
from datagen.geometry.solids import Solid
from datagen.images.encoding import encode_image
from datagen.inspect.intersect import odd_placements
from datagen.inspect.pictures import object_words
from datagen.samples.in_code import stated_shot
from datagen.scene import Object, Scene, Shot
from render.rerender import checked_code
from render.studio.asked import Reading
from render.studio.beliefs import confidence_in
from render.studio.kept import Kept
from render.studio.surfaces import Levels, Surfaces

MOST_SHOWN = 64
"""Objects that the page draws; a scene of a domain holds a dozen at most."""
MOST_WARNINGS = 20
PALETTE = ((76, 154, 255), (255, 139, 61), (79, 209, 139), (255, 107, 139), (192, 139, 255), (255, 216, 77))
"""8-bit RGB of objects whose domain does not say a colour."""


class Views:
    """Makes the page's view of scenes. ``meshes`` and ``textures`` keep those that the pages fetch."""

    def __init__(self, meshes: Kept[bytes], textures: Kept[bytes]) -> None:
        self.meshes = meshes
        self._surfaces = Surfaces(textures)

    def look(self, code: str, domain: Domain, shot: Shot, reading: Reading | None = None) -> dict[str, Any]:
        """The view of some code as plain JSON: ``error`` with line and column, or ``objects`` and ``warnings``, and for a painted domain
        ``flat``, the painted picture with the place of each object; ``stated`` is the shot where the code states camera or lamps. An object
        that a reading's model is sure of to some degree has that as its ``confidence``."""
        try:
            scene = checked_code(code, domain)
        except CodeError as error:
            return {"error": {"line": error.line, "column": error.column, "problem": error.problem}}
        except UserError as error:
            return {"error": {"line": 1, "column": 1, "problem": str(error)}}
        shot = stated_shot(scene, domain, shot)
        shown = scene.with_objects(scene.objects[:MOST_SHOWN])
        view: dict[str, Any] = {
            "objects": [{"words": object_words(domain, obj) or obj.statement} for obj in shown],
            "warnings": list(_warnings(scene, domain, shot)),
        }
        if scene.header:
            view["stated"] = shot.to_json()
        if reading is not None:
            for number, sure in enumerate(confidence_in(shown, reading, domain)):
                view["objects"][number] |= {} if sure is None else {"confidence": sure}
        if isinstance(domain, PaintedDomain):
            view["flat"] = _flat(shown, domain, shot)
        elif isinstance(domain, StagedDomain):
            for number, obj in enumerate(shown):
                view["objects"][number] |= self._solid(obj, number, domain)
        return view

    def _solid(self, obj: Object, number: int, domain: StagedDomain) -> dict[str, Any]:
        """An object's shape, its pose as the columns of a matrix (4, 4), and the surface of each of its slots."""
        solid = domain.solid(obj)
        plain = [{"color": _color(obj, number), "metal": obj.values.get("material") == "metal", "pattern": None}]
        if isinstance(solid, Solid):
            return {"shape": solid.kind, "pose": _pose(_about_z(solid.degrees) * solid.scale, solid.location), "surfaces": plain}
        if isinstance(solid, MeshSolid):
            paints = domain.paints(obj) if isinstance(domain, PosedDomain) else ()
            surfaces = [self._surfaces.of(paint) for paint in paints] or plain
            return {"shape": self._keep(solid.mesh), "pose": _pose(solid.rotation * solid.scale, solid.location), "surfaces": surfaces}
        place = np.array(domain.location(obj), float)
        return {"shape": self._keep(_hull_mesh(solid.hull() - place)), "pose": _pose(np.eye(3), place), "surfaces": plain}

    def _keep(self, mesh: Mesh) -> str:
        key, data = _packed(mesh)
        self.meshes.put(key, data)
        return key


def _warnings(scene: Scene, domain: Domain, shot: Shot) -> Iterator[dict[str, Any]]:
    """What is odd about a scene that can be rendered, each with the number of its object, from 0, if it is about one."""
    found = domain.violations(scene) if len(scene) else ["the code names no object: the picture will show none"]
    if isinstance(domain, StagedDomain) and len(scene) <= MOST_SHOWN:
        found = found + odd_placements(scene, domain, shot.viewpoint)
    for text in found[:MOST_WARNINGS]:
        start, colon, _ = text.partition(":")
        number = start.removeprefix("object ")
        yield {"text": text, "object": int(number) - 1 if colon and number.isdecimal() else None}


def _flat(scene: Scene, domain: PaintedDomain, shot: Shot) -> dict[str, Any]:
    """The painted picture as base64, and for each object its centre in pixels, and by how many pixels a step of 1 along X and along Y
    moves it."""
    centres = domain.centres(scene.objects, shot)[:, :2]
    steps = []
    for obj, centre in zip(scene.objects, centres, strict=True):
        x, y, *_ = domain.location(obj)
        moved = [_moved(obj, domain, (x + 1.0, y)), _moved(obj, domain, (x, y + 1.0))]
        steps.append([(place - centre).tolist() for place in domain.centres(moved, shot)[:, :2]])
    return {
        "png": base64.b64encode(encode_image(domain.paint(scene, shot))).decode(),
        "width": shot.width,
        "height": shot.height,
        "centres": centres.tolist(),
        "steps": steps,
    }


def _moved(obj: Object, domain: Domain, place: tuple[float, float]) -> Object:
    for number in domain.statement(obj.statement).numbers:
        if number.components == 2 and domain.location(obj)[:2] == number.as_tuple(obj[number.name]):
            return obj.replaced(**{number.name: place})
    return obj


def _pose(linear: np.ndarray, place: Any) -> list[float]:
    """The sixteen numbers of a pose, column by column, as three.js reads them."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, place
    return [round(value, 9) for value in matrix.T.reshape(-1).tolist()]


def _about_z(degrees: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _color(obj: Object, number: int) -> Levels:
    """The linear colour, 0 to 1, that an object's words say, if one of them is a colour of CLEVR's."""
    said = COLORS.get(str(obj.values.get("color")))
    if said is not None:
        return tuple(level / 255 for level in said)
    return tuple((level / 255) ** 2.2 for level in PALETTE[number % len(PALETTE)])


def _hull_mesh(points: np.ndarray) -> Mesh:
    """The convex hull of points (N, 3), for solids of other packages that are neither shapes nor meshes."""
    try:
        hull = ConvexHull(points)
        triangles = hull.simplices.copy()
        inward = (np.cross(*(points[triangles[:, i]] - points[triangles[:, 0]] for i in (1, 2))) * hull.equations[:, :3]).sum(1) < 0
        triangles[inward] = triangles[inward][:, ::-1]
    except (QhullError, ValueError):  # points of a plane, or too few
        triangles = np.zeros((0, 3), int)
    return Mesh(points, triangles, np.zeros(len(triangles)), np.zeros(len(triangles)))


_packed_meshes: Kept[tuple[Mesh, str, bytes]] = Kept(64)


def _packed(mesh: Mesh) -> tuple[str, bytes]:
    """A mesh's key and its bytes: the number of triangles and of groups as uint32, each group's slot and count of corners as uint32, then
    corners and normals (T, 3, 3) as little-endian float32, triangles sorted by slot."""
    known = _packed_meshes.get(str(id(mesh)))
    if known is not None and known[0] is mesh:
        return known[1], known[2]
    order = np.argsort(mesh.slots, kind="stable")
    slots, counts = np.unique(mesh.slots[order], return_counts=True)
    head = np.array([len(mesh), len(slots), *np.stack([slots, 3 * counts], axis=1).reshape(-1)], "<u4")
    body = np.concatenate([mesh.corners()[order].reshape(-1), mesh.corner_normals()[order].reshape(-1)]).astype("<f4")
    key, data = mesh.digest()[:24], head.tobytes() + body.tobytes()
    _packed_meshes.put(str(id(mesh)), (mesh, key, data))
    return key, data
