"""Reads a user's model file as an asset's mesh and colours. Importing this imports bpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from blender_scenes.colors import Painter
from blender_scenes.fresh import start_empty
from blender_scenes.names import blend_names, usd_names
from blender_scenes.pieces import pieces_shown
from blender_scenes.reasons import Unreadable, reading
from blender_scenes.slots import areas_of, joined, without_unused
from blender_scenes.usd import mended_usd
from datagen.assets.mesh import Mesh, mesh_bytes, normalised
from datagen.assets.ply import faces_stated

_QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""A quarter turn about Z: models that Blender imports face -Y, its front; assets face +X."""
_MOST_ROUNDED = 0.005  # how far rounding may move vertices, as a share of the model's extent
_DOT, _FEW = 0.01, 0.01  # a dot: all but a share `_FEW` of the vertices lie within `_DOT` of their median
_LEAST_AREA = 0.02  # total area of the triangles of a normalised model; with less, hardly a pixel would show
_THIN = 0.3  # likewise; with less, few scenes show enough of it (`datagen.geometry.view.MIN_VISIBLE_PIXELS`)
_MOST_NOTES = 20

_OPEN: dict[str, Callable[[str], Any]] = {
    ".blend": lambda path: bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False),
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".gltf": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=path),
    ".stl": lambda path: bpy.ops.wm.stl_import(filepath=path),
    ".usd": lambda path: bpy.ops.wm.usd_import(filepath=str(mended_usd(Path(path)))),
    ".usda": lambda path: bpy.ops.wm.usd_import(filepath=str(mended_usd(Path(path)))),
    ".usdc": lambda path: bpy.ops.wm.usd_import(filepath=str(mended_usd(Path(path)))),
    ".usdz": lambda path: bpy.ops.wm.usd_import(filepath=str(mended_usd(Path(path)))),
}


def asset_file(path: Path, notes: Sequence[str] = ()) -> bytes:
    """The ``.npz`` of a file's asset: a normalised mesh, ``colors`` (slots, 3) uint8, the largest surface in slot 0, and ``notes``, the
    given ones and those of reading, at most `_MOST_NOTES` lines.

    `Unreadable` for a file that is damaged, empty or too large, or that has no visible shape.
    """
    with reading(path.suffix):
        _open(path)
        painter = Painter(factors=path.suffix == ".obj", notes=[*notes, *_faces_lost(path)])
        pieces = pieces_shown(painter)
    mesh, colors = joined(pieces, painter.notes)
    _check_rounding(mesh, max(piece.rounded for piece in pieces))
    try:
        mesh = normalised(mesh.transformed(_QUARTER))
    except ValueError as error:
        raise Unreadable(f"nothing to see: {error}") from None
    _check_shape(mesh, painter.notes)
    mesh, colors = without_unused(mesh, colors)
    return mesh_bytes(mesh, colors=np.array(colors, np.uint8), notes=np.array(_few(painter.notes), str))


def named_files(path: Path) -> list[str]:
    """The names, as seen from its folder, of the files that a ``.blend`` or a USD file takes its shape or colours from.

    `Unreadable` for a file that is damaged, or whose names are known only after evaluation.
    """
    with reading(path.suffix):
        if path.suffix != ".blend":
            return usd_names(path)
        _open(path)
        return blend_names()


def _open(path: Path) -> None:
    """Open a file; scripts in it do not run."""
    start_empty()
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    _OPEN[path.suffix](str(path))


def _faces_lost(path: Path) -> list[str]:
    """A note on the faces of a ``.ply`` that Blender's reader has skipped, if there are any."""
    stated = faces_stated(path.read_bytes()) if path.suffix == ".ply" else 0
    lost = stated - sum(len(mesh.polygons) for mesh in bpy.data.meshes)
    if not stated or lost <= 0:
        return []
    return [f"{lost:,} of its {stated:,} faces are left out: of vertices that are not there, of fewer than three, or there already"]


def _few(notes: list[str]) -> list[str]:
    return notes if len(notes) <= _MOST_NOTES else [*notes[: _MOST_NOTES - 1], f"and {len(notes) - _MOST_NOTES + 1} more of the kind"]


def _check_rounding(mesh: Mesh, rounded: float) -> None:
    """Raise `Unreadable` if rounding vertices by up to ``rounded`` can have destroyed the shape."""
    extent = float(np.ptp(mesh.corners().reshape(-1, 3), axis=0).max())
    if rounded > _MOST_ROUNDED * extent > 0:
        raise Unreadable("it lies so far from the origin that its shape is lost in 32-bit numbers; move it to the origin")


def _check_shape(mesh: Mesh, notes: list[str]) -> None:
    """Raise `Unreadable` for a mesh that is a dot or has no area; note a thin one."""
    few = max(1, int(_FEW * len(mesh.vertices)))
    spread = np.sort(np.linalg.norm(mesh.vertices - np.median(mesh.vertices, axis=0), axis=1))
    if spread[: len(spread) - few].max(initial=0) < _DOT:
        raise Unreadable(f"{few:,} of its {len(mesh.vertices):,} vertices lie so far away from the others that these are a dot")
    area = float(areas_of(mesh.vertices, mesh.triangles).sum())
    if area < _LEAST_AREA:
        raise Unreadable("nothing to see: it has no area, all of it lies on a line or nearly so")
    if area < _THIN:
        notes.append("it is so thin that a generated scene, which must show enough of every object, will hardly hold it")
