"""The other files that a ``.blend`` or a USD file takes a model's shape or colours from. Importing this imports bpy."""

from __future__ import annotations

import posixpath
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import bpy

from blender_scenes.reasons import Unreadable

_USD = (".usd", ".usda", ".usdc")
_SHAPING = {"CURVE", "CURVES", "MESH", "NODETREE", "OBJECT", "PARTICLE", "POINTCLOUD", "VOLUME"}
"""Types of Blender data that can shape a model and refer to files: caches of modifiers, volumes, import nodes."""


def blend_names() -> list[str]:
    """The files that the open ``.blend`` file refers to. `Unreadable` as for `_shaping_names`."""
    data = bpy.data
    kept = [library.filepath for library in data.libraries if library.parent is None]
    kept += [font.filepath for font in data.fonts if not font.packed_file and font.filepath != "<builtin>"]
    kept += [cache.filepath for cache in data.cache_files]
    kept += [image.filepath for image in _images() if image.source != "GENERATED" and not image.packed_files and image.library is None]
    kept += _shaping_names()
    return sorted({name.removeprefix("//").replace("\\", "/") for name in kept if name})


def _shaping_names() -> Iterator[str]:
    """The files that shapes come from. `Unreadable` if nodes compute a file's name, or a modifier keeps its bake in other files."""
    for found, names in bpy.data.file_path_map(key_types=_SHAPING).items():
        if found.library is None and getattr(found, "bl_idname", "GeometryNodeTree") == "GeometryNodeTree":
            yield from names
    for tree in bpy.data.node_groups:
        for node in tree.nodes:
            if node.bl_idname.startswith("GeometryNodeImport") and any(each.is_linked for each in node.inputs):
                raise Unreadable(f"its node '{node.name}' reads a file whose name is worked out by other nodes; apply the modifier")
    for owner in bpy.data.objects:
        for modifier in owner.modifiers:
            if modifier.type == "NODES" and any(_on_disk(bake, modifier) for bake in modifier.bakes):
                raise Unreadable(f"its modifier '{modifier.name}' keeps what was baked in other files; pack it, or apply the modifier")


def _on_disk(bake: bpy.types.NodesModifierBake, modifier: bpy.types.NodesModifier) -> bool:
    target = modifier.bake_target if bake.bake_target == "INHERIT" else bake.bake_target
    return bool(target == "DISK")


def _images() -> Iterator[bpy.types.Image]:
    """The images of materials, textures and node groups, but not of the world around a model."""
    trees = [owner.node_tree for owner in (*bpy.data.materials, *bpy.data.textures) if owner.node_tree is not None]
    for tree in (*trees, *bpy.data.node_groups):
        yield from (node.image for node in tree.nodes if getattr(node, "image", None) is not None)
    yield from (texture.image for texture in bpy.data.textures if getattr(texture, "image", None) is not None)


def usd_names(path: Path) -> list[str]:
    """The names of a USD file's sublayers, references, payloads and images. `Unreadable` if it computes a name."""
    find_pxr()
    if path.suffix != ".usdz":
        return list(_layer_names(str(path)))
    return list(_package_names(str(path), "", path))


def _package_names(place: str, folder: str, data: Path | IO[bytes]) -> Iterator[str]:
    """The files outside a package that layers in it, and in packages in it, refer to. ``place`` is OpenUSD's name of the package,
    ``folder`` its folder within the outermost package."""
    with zipfile.ZipFile(data) as package:
        inside = set(package.namelist())
        for name in sorted(inside):
            suffix, there = posixpath.splitext(name)[1].lower(), posixpath.join(folder, posixpath.dirname(name))
            if suffix in _USD:
                named = (posixpath.join(there, each) for each in _layer_names(_within(place, name)))
                yield from (each for each in map(posixpath.normpath, named) if posixpath.relpath(each, folder or ".") not in inside)
            elif suffix == ".usdz":
                with package.open(name) as inner:
                    yield from _package_names(_within(place, name), there, inner)


def _within(place: str, name: str) -> str:
    """OpenUSD's name of a file in a package, which may itself lie in another: ``a.usdz[b.usdz[c.usda]]``."""
    depth = len(place) - len(place.rstrip("]"))
    return f"{place[: len(place) - depth]}[{name}]{']' * depth}"


def _layer_names(place: str) -> Iterator[str]:
    """The files that a layer refers to; for ``chair.usdz[leg.usda]``, ``chair.usdz``. `Unreadable` if a name is an expression."""
    from pxr import UsdUtils

    for names in UsdUtils.ExtractExternalReferences(place):
        for name in filter(None, names):
            if name.startswith("`"):
                raise Unreadable(f"names a file by the expression {name[:80]}; write its name instead")
            yield name.partition("[")[0]


def find_pxr() -> None:
    """Make OpenUSD's Python module importable: the folder in which Blender ships it is not on the path when bpy is a module."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folder = str(Path(bpy.utils.resource_path("LOCAL")) / "python" / "lib" / version / "site-packages")
    if folder not in sys.path:
        sys.path.append(folder)
