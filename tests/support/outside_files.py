"""Writes models whose shape comes from a file outside their folder, for each way to refer to one: ``python -P outside_files.py FOLDER
SECRET``. The .blend files with ``here`` in their names refer to files beside them instead."""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import bpy

from blender_scenes.names import find_pxr

CORNERS = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
FACES = [(0, 1, 2), (0, 1, 3), (1, 2, 3), (0, 2, 3)]


def secrets(folder: Path) -> None:
    """Write the files that the models refer to."""
    from pxr import UsdGeom

    folder.mkdir(parents=True)
    floats = [at for corner in CORNERS for at in corner]
    (folder / "x.pc2").write_bytes(b"POINTCACHE2\0" + struct.pack("<iiffi12f", 1, 4, 0.0, 1.0, 1, *floats))
    (folder / "x.vdb").write_bytes(b" BDV")
    lines = [*(f"v {x} {y} {z}" for x, y, z in CORNERS), *(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in FACES)]
    (folder / "x.obj").write_text("\n".join(lines) + "\n")
    stage = _stage(folder / "x.usda")
    mesh = UsdGeom.Mesh.Define(stage, "/root/mesh")
    mesh.CreatePointsAttr(CORNERS)
    mesh.CreateFaceVertexCountsAttr([3] * 4)
    mesh.CreateFaceVertexIndicesAttr([corner for face in FACES for corner in face])
    stage.GetRootLayer().Save()


def blends(folder: Path, secret: str, mark: str = "") -> None:
    """Write .blend files. ``secret`` is the folder of the files that they refer to, ``/`` the model's own folder (Blender's ``//``)."""
    cache = _tetrahedron().modifiers.new("cache", "MESH_CACHE")
    cache.cache_format, cache.filepath = "PC2", f"{secret}/x.pc2"
    _save(folder / f"cache{mark}.blend")

    modifier = _tetrahedron().modifiers.new("mesh", "VOLUME_TO_MESH")
    volume = bpy.data.volumes.new("volume")
    volume.filepath = f"{secret}/x.vdb"
    modifier.object = bpy.data.objects.new("holder", volume)
    _save(folder / f"volume{mark}.blend")

    tree, node = _importing()
    node.inputs["Path"].default_value = f"{secret}/x.obj"
    _save(folder / f"node{mark}.blend")

    text = tree.nodes.new("FunctionNodeInputString")
    text.string = f"{secret}/x.obj"
    tree.links.new(text.outputs[0], node.inputs["Path"])
    _save(folder / f"computed{mark}.blend")


def _tetrahedron() -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new("mesh")
    mesh.from_pydata(CORNERS, [], FACES)
    owner = bpy.data.objects.new("owner", mesh)
    bpy.context.scene.collection.objects.link(owner)
    return owner


def _importing() -> tuple[Any, Any]:
    owner = _tetrahedron()
    tree = bpy.data.node_groups.new("tree", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    node, real, out = (tree.nodes.new(name) for name in ("GeometryNodeImportOBJ", "GeometryNodeRealizeInstances", "NodeGroupOutput"))
    tree.links.new(node.outputs[0], real.inputs[0])
    tree.links.new(real.outputs[0], out.inputs[0])
    owner.modifiers.new("nodes", "NODES").node_group = tree
    return tree, node


def _save(path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path), relative_remap=False)


def layers(folder: Path, secret: str) -> None:
    """Write OpenUSD layers and packages that refer to the layer ``secret``."""
    for name, write in _WAYS.items():
        for suffix in ("usda", "usdc"):
            stage = _stage(folder / f"{name}.{suffix}")
            write(stage, secret)
            stage.GetRootLayer().Save()
    work = folder.parent / "work"
    work.mkdir()
    shutil.copy(folder / "reference.usda", work / "layer.usda")
    shutil.copy(folder / "reference.usda", work / "LAYER.USDA")
    _pack(work / "inner.usdz", work / "layer.usda")
    _pack(work / "middle.usdz", _naming(work / "above.usda", "inner.usdz"), work / "inner.usdz")
    _pack(folder / "package.usdz", work / "layer.usda")
    _pack(folder / "capitals.usdz", work / "LAYER.USDA")
    _pack(folder / "nested.usdz", _naming(work / "top.usda", "inner.usdz"), work / "inner.usdz")
    _pack(folder / "deep.usdz", _naming(work / "highest.usda", "middle.usdz"), work / "middle.usdz")


def _stage(path: Path) -> Any:
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.CreateNew(str(path))
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/root").GetPrim())
    return stage


def _naming(path: Path, name: str) -> Path:
    stage = _stage(path)
    stage.GetDefaultPrim().GetReferences().AddReference(name)
    stage.GetRootLayer().Save()
    return path


def _pack(path: Path, *files: Path) -> None:
    from pxr import Sdf

    writer = Sdf.ZipFileWriter.CreateNew(str(path))
    for file in files:
        writer.AddFile(str(file), file.name)
    writer.Save()


def _variant(stage: Any, secret: str) -> None:
    variants = stage.GetDefaultPrim().GetVariantSets().AddVariantSet("which")
    variants.AddVariant("this")
    variants.SetVariantSelection("this")
    with variants.GetVariantEditContext():
        stage.GetDefaultPrim().GetReferences().AddReference(secret)


def _clips(stage: Any, secret: str) -> None:
    from pxr import Sdf, Usd

    Usd.ClipsAPI(stage.GetDefaultPrim()).SetClipAssetPaths([Sdf.AssetPath(secret)])


def _expression(stage: Any, secret: str) -> None:
    stage.GetRootLayer().expressionVariables = {"SECRET": secret}
    stage.GetDefaultPrim().GetReferences().AddReference('`"${SECRET}"`')


_WAYS = {
    "reference": lambda stage, secret: stage.GetDefaultPrim().GetReferences().AddReference(secret),
    "payload": lambda stage, secret: stage.GetDefaultPrim().GetPayloads().AddPayload(secret),
    "sublayer": lambda stage, secret: stage.GetRootLayer().subLayerPaths.append(secret),
    "variant": _variant,
    "clips": _clips,
    "expression": _expression,
}


def main(folder: Path, secret: Path) -> None:
    """Write the models and the files that they refer to."""
    find_pxr()
    secrets(secret)
    folder.mkdir()
    layers(folder, f"{secret}/x.usda")
    blends(folder, str(secret))
    shutil.copy(secret / "x.pc2", folder)
    shutil.copy(secret / "x.obj", folder)
    blends(folder, "/", "-here")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
