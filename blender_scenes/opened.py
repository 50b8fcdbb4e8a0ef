"""A file of somebody's own as an asset's mesh and colours. Importing this imports bpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from blender_scenes.fresh import start_empty
from datagen.assets.limits import MOST_SLOTS, MOST_TRIANGLES
from datagen.assets.mesh import Mesh, mesh_bytes, normalised
from datagen.assets.model import GREY, Levels

_QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""Blender's importers leave a model facing -Y, where Blender's own front is; assets face +X."""
_SHAPES = {"MESH", "CURVE", "SURFACE", "META", "FONT"}
_SAMPLES = 64  # along each side of an image whose mean colour is taken

_OPEN: dict[str, Callable[[str], Any]] = {
    ".blend": lambda path: bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False),
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".gltf": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=path),
    ".usd": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".usda": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".usdc": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".usdz": lambda path: bpy.ops.wm.usd_import(filepath=path),
}


def asset_file(path: Path) -> bytes:
    """The ``.npz`` of a file's asset: a normalised mesh, and ``colors`` (slots, 3) uint8, the largest surface in slot 0.

    Raises whatever Blender does for a file that is damaged, and ValueError for one that is empty or too large.
    """
    start_empty()
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    try:
        _OPEN[path.suffix.lower()](str(path))
    except RuntimeError as error:
        raise ValueError(_short(str(error))) from None
    mesh, colors = _gathered()
    try:
        mesh = normalised(mesh.transformed(_QUARTER))
    except ValueError as error:
        raise ValueError(f"nothing to see: {error}") from None
    if not len(mesh):
        raise ValueError("nothing to see: its triangles have no area")
    mesh, colors = _largest_first(mesh, colors)
    return mesh_bytes(mesh, colors=np.array(colors, np.uint8))


def _short(message: str) -> str:
    """The first line of Blender's message that says something."""
    lines = [line.removeprefix("Error: ").strip() for line in message.splitlines()]
    return next((line for line in lines if line), "Blender cannot read it")[:200]


@dataclass(frozen=True)
class _Piece:
    """One object's triangles in the world, which slot each has there, and whether it is shaded smoothly."""

    vertices: np.ndarray
    triangles: np.ndarray
    slots: np.ndarray
    smooth: np.ndarray


def _gathered() -> tuple[Mesh, list[Levels]]:
    """All that a render of the open scene would show, with one slot for each material."""
    colors: list[Levels] = []
    slot_of: dict[str | None, int] = {}

    def slot(material: bpy.types.Material | None) -> int:
        name = None if material is None else material.name_full
        if name not in slot_of:
            slot_of[name] = min(len(colors), MOST_SLOTS - 1)
            if len(colors) < MOST_SLOTS:
                colors.append(_color(material))
        return slot_of[name]

    pieces: list[_Piece] = []
    count = start = 0
    for piece in _pieces(slot):
        count += len(piece.triangles)
        if count > MOST_TRIANGLES:
            raise ValueError(f"it has more than {MOST_TRIANGLES:,} triangles; make a simpler copy")
        pieces.append(_Piece(piece.vertices, piece.triangles + start, piece.slots, piece.smooth))
        start += len(piece.vertices)
    if not count:
        raise ValueError("nothing to see: it has no triangles")
    vertices = np.concatenate([p.vertices for p in pieces])
    if not np.isfinite(vertices).all() or np.abs(vertices).max() > 1e12:
        raise ValueError("its vertices are not finite, or absurdly far away")
    mesh = Mesh(
        vertices,
        np.concatenate([p.triangles for p in pieces]),
        np.concatenate([p.slots for p in pieces]),
        np.concatenate([p.smooth for p in pieces]),
    )
    return mesh, colors


def _pieces(slot: Callable[[bpy.types.Material | None], int]) -> Iterator[_Piece]:
    graph = bpy.context.evaluated_depsgraph_get()
    for shown in graph.object_instances:
        obj = shown.object
        if obj.type not in _SHAPES or obj.hide_render:
            continue
        world = np.array(shown.matrix_world, float)
        mesh = obj.to_mesh()
        if mesh is not None:
            slots = [slot(place.material) for place in obj.material_slots] or [slot(None)]
            yield _piece(mesh, world, np.array(slots))
        obj.to_mesh_clear()


def _piece(mesh: bpy.types.Mesh, world: np.ndarray, slots: np.ndarray) -> _Piece:
    mesh.calc_loop_triangles()
    if len(mesh.loop_triangles) > MOST_TRIANGLES:
        raise ValueError(f"it has more than {MOST_TRIANGLES:,} triangles; make a simpler copy")
    vertices = _read(mesh.vertices, "co", 3, np.float32).astype(float) @ world[:3, :3].T + world[:3, 3]
    triangles = _read(mesh.loop_triangles, "vertices", 3, np.int32)
    if np.linalg.det(world[:3, :3]) < 0:
        triangles = triangles[:, ::-1]
    material = _read(mesh.loop_triangles, "material_index", 1, np.int32).reshape(-1)
    smooth = _read(mesh.polygons, "use_smooth", 1, np.bool_).reshape(-1)
    polygon = _read(mesh.loop_triangles, "polygon_index", 1, np.int32).reshape(-1)
    return _Piece(vertices, triangles, slots[np.clip(material, 0, len(slots) - 1)], smooth[polygon])


def _read(collection: Any, name: str, width: int, kind: type) -> np.ndarray:
    values: np.ndarray = np.empty(len(collection) * width, kind)
    collection.foreach_get(name, values)
    return values.reshape(-1, width)


def _largest_first(mesh: Mesh, colors: list[Levels]) -> tuple[Mesh, list[Levels]]:
    """Slots by falling area, those without triangles left out: slot 0 is what a scene repaints."""
    a, b, c = np.moveaxis(mesh.corners(), 1, 0)
    areas = np.bincount(mesh.slots, np.linalg.norm(np.cross(b - a, c - a), axis=1), len(colors))
    counts = np.bincount(mesh.slots, minlength=len(colors))
    order = [int(slot) for slot in np.argsort(-areas, kind="stable") if counts[slot]]
    place = np.zeros(len(colors), int)
    place[order] = np.arange(len(order))
    return Mesh(mesh.vertices, mesh.triangles, place[mesh.slots], mesh.smooth), [colors[slot] for slot in order]


def _color(material: bpy.types.Material | None) -> Levels:
    """The colour of a material as one: its base colour, or the mean of the image in its place."""
    if material is None:
        return GREY
    shader = next((n for n in (material.node_tree.nodes if material.node_tree else ()) if n.type == "BSDF_PRINCIPLED"), None)
    if shader is None:
        return _levels(np.array(material.diffuse_color[:3]))
    socket = shader.inputs["Base Color"]
    source = socket.links[0].from_node if socket.links else None
    if source is not None and source.type == "TEX_IMAGE" and source.image is not None:
        return _mean(source.image)
    return _levels(np.array(socket.default_value[:3]))


def _mean(image: bpy.types.Image) -> Levels:
    if not image.has_data and not (image.size[0] and image.size[1]):
        return GREY
    small = image.copy()
    small.scale(_SAMPLES, _SAMPLES)
    pixels = np.empty(_SAMPLES * _SAMPLES * 4, np.float32)
    small.pixels.foreach_get(pixels)
    encoded = image.colorspace_settings.name == "sRGB" and not image.is_float
    bpy.data.images.remove(small)
    mean = pixels.reshape(-1, 4)[:, :3].astype(float)
    linear = np.where(mean <= 0.04045, mean / 12.92, ((mean + 0.055) / 1.055) ** 2.4) if encoded else mean
    return _levels(linear.mean(0))


def _levels(linear: np.ndarray) -> Levels:
    red, green, blue = np.round(255 * np.clip(np.nan_to_num(linear), 0, 1)).astype(int).tolist()
    return red, green, blue
