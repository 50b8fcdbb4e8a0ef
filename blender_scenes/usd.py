"""Restates what Blender's reader ignores in a USD file in a form that it reads. Importing this imports bpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blender_scenes.names import find_pxr
from blender_scenes.reasons import Unreadable
from datagen.assets.model import GREY


def mended_usd(path: Path) -> Path:
    """The path of a layer, written beside a file, that overrides parts of it; the file's own path if there is nothing to override.

    Blender ignores inputs of materials, fallbacks of images and colours that a mesh inherits, and gives faces in no subset the material of
    the first subset instead of the mesh's own. `Unreadable` for a mesh whose faces do not fit its points.
    """
    find_pxr()
    from pxr import Sdf, Usd

    stage = Usd.Stage.Open(str(path))
    over = Sdf.Layer.CreateNew(str(path.with_name(f"over {path.stem}.usda")))
    over.subLayerPaths.append(f"./{path.name}")
    for name in stage.GetPseudoRoot().GetAllMetadata():
        if name in _STAGE_METADATA:
            over.pseudoRoot.SetInfo(name, stage.GetMetadata(name))
    stage = Usd.Stage.Open(over)
    while shared := [prim for prim in stage.Traverse() if prim.IsInstance()]:  # the parts of an instance cannot be changed alone
        for prim in shared:
            prim.SetInstanceable(False)
    prims = list(stage.TraverseAll())
    for prim in prims:
        _check_faces(prim)
    if not sum([_mend(stage, prim) for prim in prims]):
        return path
    over.Save()
    return Path(over.realPath)


def _check_faces(prim: Any) -> None:
    """Raise `Unreadable` for faces without corners, or with corners that are no points of the mesh: Blender misreads them or crashes."""
    from pxr import Usd, UsdGeom, Vt

    if not prim.IsA(UsdGeom.Mesh):
        return
    mesh, first = UsdGeom.Mesh(prim), Usd.TimeCode.EarliestTime()
    counts = mesh.GetFaceVertexCountsAttr().Get(first) or Vt.IntArray()
    indices = mesh.GetFaceVertexIndicesAttr().Get(first) or Vt.IntArray()
    fits, reason = mesh.ValidateTopology(indices, counts, len(mesh.GetPointsAttr().Get(first) or ()))
    if (least := min(counts, default=1)) < 1:
        fits, reason = False, f"a face states {least} corners"
    if not fits:
        raise Unreadable(f"its mesh '{prim.GetPath()}' is damaged ({' '.join(reason.split()).rstrip('.')})")


_STAGE_METADATA = ("defaultPrim", "upAxis", "metersPerUnit", "timeCodesPerSecond", "framesPerSecond", "startTimeCode", "endTimeCode")
"""Metadata of a whole stage, which count in its topmost layer alone."""


def _mend(stage: Any, prim: Any) -> bool:
    from pxr import UsdGeom, UsdShade

    if prim.IsA(UsdShade.Shader):
        return sum([_set_input(source) for source in UsdShade.Shader(prim).GetInputs() if source.HasConnectedSource()]) > 0
    if not prim.IsA(UsdGeom.Gprim):
        return False
    colored = _inherit_color(prim)
    return (prim.IsA(UsdGeom.Mesh) and _bind_rest(stage, prim)) or colored


def _set_input(source: Any) -> bool:
    """Set a shader's input to the value of the material's input, or the fallback of the missing image, that it is connected to."""
    from pxr import Sdf, UsdShade

    found = source.GetValueProducingAttributes()
    if len(found) != 1:
        return False
    value = found[0].Get() if UsdShade.Input.IsInput(found[0]) else _fallback(found[0])
    if value is None or isinstance(value, Sdf.AssetPath):  # Blender follows these itself, relative to the layer that states them
        return False
    source.GetAttr().SetConnections([])
    return bool(source.Set(value))


def _fallback(output: Any) -> Any:
    """The fallback colour of a texture whose image is missing; None if there is none, or scale or bias would change it."""
    from pxr import Gf, UsdShade

    shader = UsdShade.Shader(output.GetPrim())
    if shader.GetShaderId() != "UsdUVTexture" or output.GetBaseName() != "rgb" or shader.GetInput("scale") or shader.GetInput("bias"):
        return None
    file, fallback = shader.GetInput("file"), shader.GetInput("fallback")
    named = file.GetValueProducingAttributes() if file else []
    asset = named[0].Get() if named else None
    color = fallback.Get() if fallback else None
    return None if color is None or (asset and asset.resolvedPath) else Gf.Vec3f(*list(color)[:3])


def _inherit_color(prim: Any) -> bool:
    """Give a mesh the colour that it inherits."""
    from pxr import UsdGeom

    own = UsdGeom.PrimvarsAPI(prim)
    found = own.FindPrimvarWithInheritance("displayColor")
    if not found or found.GetAttr().GetPrim() == prim or (color := found.ComputeFlattened()) is None:
        return False
    return bool(own.CreatePrimvar("displayColor", found.GetTypeName(), UsdGeom.Tokens.constant).Set(color))


def _bind_rest(stage: Any, prim: Any) -> bool:
    """Put faces in no subset into one of their own, with the mesh's material or colours."""
    from pxr import UsdGeom, UsdShade

    subsets = UsdShade.MaterialBindingAPI(prim).GetMaterialBindSubsets()
    rest = UsdGeom.Subset.GetUnassignedIndices(subsets, len(UsdGeom.Mesh(prim).GetFaceVertexCountsAttr().Get() or ())) if subsets else ()
    if not rest:
        return False
    bound, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
    subset = UsdGeom.Subset.CreateUniqueGeomSubset(
        UsdGeom.Mesh(prim), "rest", UsdGeom.Tokens.face, rest, "materialBind", UsdGeom.Tokens.nonOverlapping
    )
    material = bound if bound else _own_color(stage, prim)
    UsdShade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(material)
    return True


def _own_color(stage: Any, prim: Any) -> Any:
    """A material that shows a mesh's own colours, or grey."""
    from pxr import Gf, Sdf, UsdGeom, UsdShade

    material = UsdShade.Material.Define(stage, prim.GetPath().AppendChild("rest_material"))
    shader = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("surface"))
    shader.CreateIdAttr("UsdPreviewSurface")
    color = shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f)
    if UsdGeom.Gprim(prim).GetDisplayColorPrimvar().HasValue():
        reader = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("reader"))
        reader.CreateIdAttr("UsdPrimvarReader_float3")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("displayColor")
        color.ConnectToSource(reader.CreateOutput("result", Sdf.ValueTypeNames.Float3))
    else:
        color.Set(Gf.Vec3f(*(level / 255 for level in GREY)))
    material.CreateSurfaceOutput().ConnectToSource(shader.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    return material
