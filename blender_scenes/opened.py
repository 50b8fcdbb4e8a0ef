"""A file of somebody's own as an asset's mesh and colours. Importing this imports bpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from blender_scenes.colors import Painter
from blender_scenes.fresh import start_empty
from blender_scenes.names import blend_names, usd_names
from blender_scenes.reasons import Unreadable, reading
from blender_scenes.surface import Surface, read
from datagen.assets.limits import MOST_SLOTS, MOST_TRIANGLES
from datagen.assets.mesh import Mesh, mesh_bytes, normalised
from datagen.assets.model import GREY, Levels

_QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""Blender's importers leave a model facing -Y, where Blender's own front is; assets face +X."""
_SHAPES = {"MESH", "CURVE", "SURFACE", "META", "FONT"}
_MOST_ROUNDED = 0.005  # of a model's extent: what rounding may have moved its vertices by
_DOT, _FEW = 0.01, 0.01  # a model is a dot if so little of its reach holds all but so few of its vertices
_LEAST_AREA = 0.02  # of all triangles of a model whose reach is 1: of less, hardly a pixel would show
_THIN = 0.3  # the same: of less, few scenes show the pixels of it that they must (`datagen.labels.MIN_VISIBLE_PIXELS`)
_MOST_NOTES = 20

_OPEN: dict[str, Callable[[str], Any]] = {
    ".blend": lambda path: bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False),
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".gltf": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=path),
    ".stl": lambda path: bpy.ops.wm.stl_import(filepath=path),
    ".usd": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".usda": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".usdc": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".usdz": lambda path: bpy.ops.wm.usd_import(filepath=path),
}
_TOO_MANY = f"it has more than {MOST_TRIANGLES:,} triangles; make a simpler copy"


def asset_file(path: Path, notes: Sequence[str] = ()) -> bytes:
    """The ``.npz`` of a file's asset: a normalised mesh, ``colors`` (slots, 3) uint8, the largest surface in slot 0, and ``notes``, those
    that are given and what else was not as it should be.

    `Unreadable` for a file that is damaged, empty or too large, or that has no shape to see.
    """
    with reading(path.suffix):
        _open(path)
        painter = Painter(factors=path.suffix == ".obj", notes=list(notes))
        pieces = _gathered(painter)
    notes = painter.notes
    vertices, triangles = _joined(pieces)
    areas = _areas(vertices, triangles)
    slots, colors = _slots(pieces, areas, notes)
    mesh = Mesh(vertices, triangles, slots, np.concatenate([piece.smooth for piece in pieces]))
    _check_rounding(pieces, vertices[triangles])
    try:
        mesh = normalised(mesh.transformed(_QUARTER))
    except ValueError as error:
        raise Unreadable(f"nothing to see: {error}") from None
    _check_shape(mesh, notes)
    mesh, colors = _without_unused(mesh, colors)
    return mesh_bytes(mesh, colors=np.array(colors, np.uint8), notes=np.array(_few(notes), str))


def named_files(path: Path) -> list[str]:
    """The files that a ``.blend`` or a USD file names and that its shape or its colours can come from, as seen from its folder.

    `Unreadable` for a file that is damaged.
    """
    with reading(path.suffix):
        if path.suffix != ".blend":
            return usd_names(path)
        _open(path)
        return blend_names()


def _open(path: Path) -> None:
    """Open a file, of which no script runs."""
    start_empty()
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    _OPEN[path.suffix](str(path))


def _few(notes: list[str]) -> list[str]:
    return notes if len(notes) <= _MOST_NOTES else [*notes[: _MOST_NOTES - 1], f"and {len(notes) - _MOST_NOTES + 1} more of the kind"]


@dataclass(frozen=True)
class _Part:
    """What one object shows of one material: its mean linear colour, None where nothing says it, and whose part it is."""

    key: tuple[str | None, str | None]
    color: np.ndarray | None


@dataclass(frozen=True)
class _Piece:
    """One object's triangles in the world, which of its parts each belongs to, whether it is shaded smoothly, and what rounding to 32 bits
    can have moved its vertices by."""

    vertices: np.ndarray
    triangles: np.ndarray
    smooth: np.ndarray
    parts: tuple[_Part, ...]
    part_of: np.ndarray
    rounded: float


def _gathered(painter: Painter) -> list[_Piece]:
    """All that a render of the open scene would show."""
    pieces: list[_Piece] = []
    count = 0
    for piece in _pieces(painter):
        count += len(piece.triangles)
        if count > MOST_TRIANGLES:
            raise Unreadable(_TOO_MANY)
        pieces.append(piece)
    if not count:
        raise Unreadable("nothing to see: it has no triangles")
    return pieces


def _pieces(painter: Painter) -> Iterator[_Piece]:
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


def _piece(obj: bpy.types.Object, mesh: bpy.types.Mesh, world: np.ndarray, painter: Painter) -> _Piece:
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
    areas = _areas(vertices, triangles)
    used = np.unique(slots)
    parts = []
    for slot in used:
        chosen = np.flatnonzero(slots == slot)
        surface = Surface(mesh, chosen, areas[chosen])
        parts.append(_part(materials[slot], surface, painter, obj))
    smooth = read(mesh.polygons, "use_smooth", 1, np.bool_).reshape(-1)
    polygon = read(mesh.loop_triangles, "polygon_index", 1, np.int32).reshape(-1)
    turned = triangles[:, ::-1] if np.linalg.det(world[:3, :3]) < 0 else triangles
    return _Piece(vertices, turned, smooth[polygon], tuple(parts), np.searchsorted(used, slots), _rounded(obj, own, world))


def _part(material: bpy.types.Material | None, surface: Surface, painter: Painter, obj: bpy.types.Object) -> _Part:
    color = painter.color(material, surface)
    name = None if material is None else material.name_full
    return _Part((name, obj.data.name_full if surface.by_vertex else None), None if color is None else surface.mean(color))


def _rounded(obj: bpy.types.Object, own: np.ndarray, world: np.ndarray) -> float:
    """What rounding can have moved an object's vertices by: of their own coordinates, of its place, or of the places it was led through."""
    far = float(np.abs(own).max()) * float(np.linalg.norm(world[:3, :3], 2))
    places = [world[:3, 3]]
    at = obj.parent
    while at is not None:
        places.append(np.array(at.matrix_world.translation, float))
        at = at.parent
    return float(max(far, np.abs(places).max())) * 2.0**-24


def _joined(pieces: list[_Piece]) -> tuple[np.ndarray, np.ndarray]:
    """All vertices (V, 3), and all triangles (T, 3)."""
    starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces[:-1])])
    triangles = [piece.triangles + start for piece, start in zip(pieces, starts, strict=True)]
    return np.concatenate([piece.vertices for piece in pieces]), np.concatenate(triangles)


def _areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(vertices[triangles], 1, 0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def _slots(pieces: list[_Piece], areas: np.ndarray, notes: list[str]) -> tuple[np.ndarray, list[Levels]]:
    """Of each triangle its slot, and the colours of the slots, those with the largest areas first: slot 0 is what a scene repaints.

    A slot is a material, or where vertex colours show what of it is in one mesh.
    """
    place_of: dict[tuple[str | None, str | None], int] = {}
    colored: list[tuple[int, np.ndarray | None, float]] = []
    slots = []
    start = 0
    for piece in pieces:
        places = np.array([place_of.setdefault(part.key, len(place_of)) for part in piece.parts])
        sizes = np.bincount(piece.part_of, areas[start : start + len(piece.triangles)], len(piece.parts))
        start += len(piece.triangles)
        colored += [(int(place), part.color, size) for place, part, size in zip(places, piece.parts, sizes, strict=True)]
        slots.append(places[piece.part_of])
    colors = [_mixed([(color, size) for at, color, size in colored if at == place]) for place in range(len(place_of))]
    return _largest(np.concatenate(slots), areas, np.array(colors), notes)


def _mixed(parts: list[tuple[np.ndarray | None, float]]) -> np.ndarray:
    """The mean (3,) of colours with their areas."""
    known = [(color, max(size, 1e-30)) for color, size in parts if color is not None]
    if not known:
        return np.array(GREY) / 255
    colors, sizes = zip(*known, strict=True)
    return np.average(colors, axis=0, weights=sizes)


def _largest(slots: np.ndarray, areas: np.ndarray, colors: np.ndarray, notes: list[str]) -> tuple[np.ndarray, list[Levels]]:
    """Slots in the order of their areas, as many as an asset may have; what is beyond takes the slot whose colour is nearest."""
    order = np.argsort(-np.bincount(slots, areas, len(colors)), kind="stable")
    place = np.empty(len(colors), int)
    place[order] = np.arange(len(order))
    kept = colors[order[:MOST_SLOTS]]
    for slot in order[MOST_SLOTS:]:
        place[slot] = np.abs(kept - colors[slot]).sum(1).argmin()
    if len(colors) > MOST_SLOTS:
        notes.append(f"it has {len(colors)} materials, more than {MOST_SLOTS}: the smallest take the most similar of the others' colours")
    return place[slots], [_levels(color) for color in kept]


def _without_unused(mesh: Mesh, colors: list[Levels]) -> tuple[Mesh, list[Levels]]:
    """Without the slots whose triangles were too small to keep."""
    used = np.unique(mesh.slots)
    return Mesh(mesh.vertices, mesh.triangles, np.searchsorted(used, mesh.slots), mesh.smooth), [colors[slot] for slot in used]


def _check_rounding(pieces: list[_Piece], corners: np.ndarray) -> None:
    extent = float(np.ptp(corners.reshape(-1, 3), axis=0).max())
    if max(piece.rounded for piece in pieces) > _MOST_ROUNDED * extent > 0:
        raise Unreadable("it lies so far from the origin that its shape is lost in 32-bit numbers; move it to the origin")


def _check_shape(mesh: Mesh, notes: list[str]) -> None:
    """See that there is something to see."""
    few = max(1, int(_FEW * len(mesh.vertices)))
    spread = np.sort(np.linalg.norm(mesh.vertices - np.median(mesh.vertices, axis=0), axis=1))
    if spread[: len(spread) - few].max(initial=0) < _DOT:
        raise Unreadable(f"{few:,} of its {len(mesh.vertices):,} vertices lie so far away from the others that these are a dot")
    area = float(_areas(mesh.vertices, mesh.triangles).sum())
    if area < _LEAST_AREA:
        raise Unreadable("nothing to see: it has no area, all of it lies on a line or nearly so")
    if area < _THIN:
        notes.append("it is so thin that a generated scene, which must show enough of every object, will hardly hold it")


def _levels(linear: np.ndarray) -> Levels:
    red, green, blue = np.round(255 * np.clip(np.nan_to_num(linear), 0, 1)).astype(int).tolist()
    return red, green, blue
