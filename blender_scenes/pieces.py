"""The objects that a render of the open scene would show, as plain arrays. Importing this imports bpy."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np

from blender_scenes.colors import Painter
from blender_scenes.reasons import Unreadable
from blender_scenes.slots import Part, Piece, areas_of
from blender_scenes.surface import Surface, read
from datagen.assets.limits import MOST_TRIANGLES

_SHAPES = {"MESH", "CURVE", "SURFACE", "META", "FONT"}
_TOO_MANY = f"it has more than {MOST_TRIANGLES:,} triangles; make a simpler copy"


def pieces_shown(painter: Painter) -> list[Piece]:
    """The piece of each object that is shown. `Unreadable` for no or too many triangles, or vertices not finite or beyond 1e12."""
    pieces: list[Piece] = []
    count = 0
    for piece in _pieces(painter):
        count += len(piece.triangles)
        if count > MOST_TRIANGLES:
            raise Unreadable(_TOO_MANY)
        pieces.append(piece)
    if not count:
        raise Unreadable("nothing to see: it has no triangles")
    return pieces


def _pieces(painter: Painter) -> Iterator[Piece]:
    graph = bpy.context.evaluated_depsgraph_get()
    for shown in graph.object_instances:
        obj = shown.object
        if obj.type not in _SHAPES or obj.hide_render:
            continue
        world = np.array(shown.matrix_world, float)
        mesh = obj.to_mesh()
        if mesh is not None and len(mesh.polygons):
            yield _piece(obj, mesh, world, painter)
        obj.to_mesh_clear()


def _piece(obj: bpy.types.Object, mesh: bpy.types.Mesh, world: np.ndarray, painter: Painter) -> Piece:
    mesh.calc_loop_triangles()
    if len(mesh.loop_triangles) > MOST_TRIANGLES:
        raise Unreadable(_TOO_MANY)
    own = read(mesh.vertices, "co", 3, np.float32).astype(float)
    vertices = own @ world[:3, :3].T + world[:3, 3]
    if not np.isfinite(vertices).all() or np.abs(vertices).max() > 1e12:
        raise Unreadable("its vertices are not finite, or absurdly far away")
    triangles = read(mesh.loop_triangles, "vertices", 3, np.int32)
    materials = [place.material for place in obj.material_slots] or [None]
    slots = read(mesh.loop_triangles, "material_index", 1, np.int32).reshape(-1).clip(0, len(materials) - 1)
    areas = areas_of(vertices, triangles)
    used = np.unique(slots)
    parts = []
    for slot in used:
        chosen = np.flatnonzero(slots == slot)
        surface = Surface(mesh, chosen, areas[chosen])
        parts.append(_part(materials[slot], surface, painter, obj))
    smooth = read(mesh.polygons, "use_smooth", 1, np.bool_).reshape(-1)
    polygon = read(mesh.loop_triangles, "polygon_index", 1, np.int32).reshape(-1)
    turned = triangles[:, ::-1] if np.linalg.det(world[:3, :3]) < 0 else triangles
    return Piece(vertices, turned, smooth[polygon], tuple(parts), np.searchsorted(used, slots), _rounded(obj, own, world))


def _part(material: bpy.types.Material | None, surface: Surface, painter: Painter, obj: bpy.types.Object) -> Part:
    color = painter.color(material, surface)
    shown = None if color is None else surface.mean(color, painter.opacity(material, surface))
    name = None if material is None else material.name_full
    return Part((name, obj.data.name_full if surface.by_vertex else None), shown)


def _rounded(obj: bpy.types.Object, own: np.ndarray, world: np.ndarray) -> float:
    """How far 32-bit rounding can have moved an object's vertices: of their coordinates, or of its own or its parents' locations."""
    far = float(np.abs(own).max()) * float(np.linalg.norm(world[:3, :3], 2))
    places = [world[:3, 3]]
    at = obj.parent
    while at is not None:
        places.append(np.array(at.matrix_world.translation, float))
        at = at.parent
    return float(max(far, np.abs(places).max())) * 2.0**-24
