"""The files that a ``.blend`` or a USD file names, as far as a model's shape or colours can come from them. Importing this imports bpy."""

from __future__ import annotations

import posixpath
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import bpy

_USD = (".usd", ".usda", ".usdc")


def blend_names() -> list[str]:
    """Those of the ``.blend`` file that is open."""
    data = bpy.data
    kept = [library.filepath for library in data.libraries if library.parent is None]
    kept += [font.filepath for font in data.fonts if not font.packed_file and font.filepath != "<builtin>"]
    kept += [cache.filepath for cache in data.cache_files]
    kept += [image.filepath for image in _images() if image.source != "GENERATED" and not image.packed_files and image.library is None]
    return sorted({name.removeprefix("//").replace("\\", "/") for name in kept if name})


def _images() -> Iterator[bpy.types.Image]:
    """The images that surfaces wear; what shines from around is none of a model's."""
    trees = [owner.node_tree for owner in (*bpy.data.materials, *bpy.data.textures) if owner.node_tree is not None]
    for tree in (*trees, *bpy.data.node_groups):
        yield from (node.image for node in tree.nodes if getattr(node, "image", None) is not None)
    yield from (texture.image for texture in bpy.data.textures if getattr(texture, "image", None) is not None)


def usd_names(path: Path) -> list[str]:
    """Those of a USD file: its sublayers, what it refers to, and its images."""
    find_pxr()
    from pxr import UsdUtils

    if path.suffix != ".usdz":
        return [name for names in UsdUtils.ExtractExternalReferences(str(path)) for name in _without_package(names)]
    with zipfile.ZipFile(path) as package:
        inside = set(package.namelist())
    named = []
    for layer in sorted(name for name in inside if name.endswith(_USD)):
        for names in UsdUtils.ExtractExternalReferences(f"{path}[{layer}]"):
            named += [posixpath.normpath(posixpath.join(posixpath.dirname(layer), name)) for name in _without_package(names)]
    return [name for name in named if name not in inside]


def _without_package(names: list[str]) -> Iterator[str]:
    """The names of files: of ``chair.usdz[leg.usda]`` the first part."""
    yield from (name.partition("[")[0] for name in names if name)


def find_pxr() -> None:
    """Blender brings OpenUSD's Python module for its hooks, in a folder that is on no path where Blender itself is the module."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folder = str(Path(bpy.utils.resource_path("LOCAL")) / "python" / "lib" / version / "site-packages")
    if folder not in sys.path:
        sys.path.append(folder)
