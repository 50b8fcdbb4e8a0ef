"""Small models written without Blender, for tests of colours and coordinates."""

from __future__ import annotations

import base64
import json
from itertools import product
from typing import Any

import numpy as np

CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
"""The faces of a cube of side 2, as indices of `CORNERS`."""
PLACES = ((0, 0), (1, 0), (1, 1), (0, 1))
"""The UV coordinates of the corners of each face."""


def obj(head: str = "", size: float = 1.0, at: tuple[float, float, float] = (0, 0, 0), color: str = "") -> str:
    """A cube as an ``.obj``; ``color`` is that of its vertices."""
    lines = [head, *("v " + " ".join(repr(float(c)) for c in corner * size + at) + f" {color}" for corner in CORNERS)]
    lines += [f"vt {u} {v}" for u, v in PLACES]
    return "\n".join([*lines, *("f " + " ".join(f"{i + 1}/{k + 1}" for k, i in enumerate(face)) for face in FACES)]) + "\n"


def ply(
    at: float = 0.0,
    color: tuple[int, int, int] | None = None,
    sort: str = "ascii",
    number: str = "double",
    names: tuple[str, str, str] = ("red", "green", "blue"),
) -> bytes:
    """A cube as a ``.ply``, with all coordinates moved by ``at``; ``color`` is that of its vertices, in properties of these ``names``."""
    head = ["ply", f"format {sort} 1.0", "comment a cube", "element vertex 8", *(f"property {number} {axis}" for axis in "xyz")]
    if color is not None:
        head += [f"property uchar {name}" for name in names]
    head += ["element face 6", "property list uchar int vertex_indices", "end_header"]
    if sort == "ascii":
        rows = [" ".join([*map(repr, (corner + at).tolist()), *map(str, color or ())]) for corner in CORNERS]
        rows += ["4 " + " ".join(map(str, face)) for face in FACES]
        return "\n".join([*head, *rows, ""]).encode()
    order = "<" if "little" in sort else ">"
    vertices = (CORNERS + at).astype(order + {"double": "f8", "float": "f4"}[number]).tobytes()
    faces = b"".join(b"\x04" + np.array(face, f"{order}i4").tobytes() for face in FACES)
    return "\n".join([*head, ""]).encode() + vertices + faces


def stl(at: float = 0.0) -> str:
    """A cube as an ``.stl``, with all coordinates moved by ``at``."""
    triangles = [(face[0], face[i], face[i + 1]) for face in FACES for i in (1, 2)]
    facets = ["".join(f"vertex {' '.join(map(repr, (CORNERS[i] + at).tolist()))}\n" for i in three) for three in triangles]
    return "solid x\n" + "".join(f"facet normal 0 0 0\nouter loop\n{facet}endloop\nendfacet\n" for facet in facets) + "endsolid x\n"


def gltf(
    material: dict[str, Any] | None = None,
    color: tuple[float, float, float] | None = None,
    image: str | None = None,
    *,
    nodes: list[dict[str, Any]] | None = None,
    roots: tuple[int, ...] = (0,),
    places: tuple[tuple[float, float], ...] = PLACES,
    sampler: dict[str, int] | None = None,
    corner: float = -1.0,
) -> str:
    """A cube as a ``.gltf`` that holds everything except the ``image``. Its mesh and its texture have index 0; ``corner`` is the X
    coordinate of its first vertex."""
    corners = np.concatenate([CORNERS[list(face)] for face in FACES]).astype("<f4")
    corners[0, 0] = corner
    arrays: list[tuple[np.ndarray, int, str]] = [(corners, 5126, "VEC3")]
    arrays.append((np.array([4 * face + i for face in range(6) for i in (0, 1, 2, 0, 2, 3)], "<u2"), 5123, "SCALAR"))
    arrays.append((np.tile(np.array(places, "<f4"), (6, 1)), 5126, "VEC2"))
    attributes = {"POSITION": 0, "TEXCOORD_0": 2}
    if color is not None:
        arrays.append((np.tile(np.array(color, "<f4"), (24, 1)), 5126, "VEC3"))
        attributes["COLOR_0"] = 3
    data, views = b"", []
    for array, _, _ in arrays:
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
        data += array.tobytes()
    accessors: list[dict[str, Any]] = [
        {"bufferView": i, "componentType": kind, "count": len(array), "type": shape} for i, (array, kind, shape) in enumerate(arrays)
    ]
    accessors[0] |= {"min": [-1, -1, -1], "max": [1, 1, 1]}
    primitive: dict[str, Any] = {"attributes": attributes, "indices": 1} | ({} if material is None else {"material": 0})
    content: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": list(roots)}],
        "nodes": nodes or [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(data), "uri": "data:application/octet-stream;base64," + base64.b64encode(data).decode()}],
    }
    if material is not None:
        content["materials"] = [material]
        content["extensionsUsed"] = sorted(material.get("extensions", {}))
    if image is not None:
        content |= {"images": [{"uri": image}], "textures": [{"source": 0, "sampler": 0}], "samplers": [sampler or {}]}
    return json.dumps(content)


def surface(factor: tuple[float, float, float] | None = None, textured: bool = False, **more: Any) -> dict[str, Any]:
    """A material of a ``.gltf``."""
    base: dict[str, Any] = {} if factor is None else {"baseColorFactor": [*factor, 1.0]}
    return {"pbrMetallicRoughness": base | ({"baseColorTexture": {"index": 0}} if textured else {}), **more}


FACE = "int[] faceVertexCounts = [4]\n        int[] faceVertexIndices = [0, 1, 2, 3]"
"""The one face, of all four corners, in a ``.usda``."""


def usda(
    mesh: str = "", shader: str = "", image: str = "", texture: str = "", at: str = "0, 0, 0", *, material: str = "", parent: str = ""
) -> str:
    """A square as a ``.usda``, with more lines for its mesh and its parent and, if ``shader`` is given, a material with its parts."""
    worn = f"""
    def Material "M" {{
        {material}
        token outputs:surface.connect = </A/M/S.outputs:surface>
        def Shader "S" {{
            uniform token info:id = "UsdPreviewSurface"
            {shader}
            token outputs:surface
        }}
        def Shader "T" {{
            uniform token info:id = "UsdUVTexture"
            asset inputs:file = @{image}@
            {texture}
            float2 inputs:st.connect = </A/M/R.outputs:result>
            float3 outputs:rgb
        }}
        def Shader "R" {{
            uniform token info:id = "UsdPrimvarReader_float2"
            string inputs:varname = "st"
            float2 outputs:result
        }}
    }}
"""
    return f"""#usda 1.0
(
    defaultPrim = "A"
)
def Xform "A" {{
    double3 xformOp:translate = ({at})
    uniform token[] xformOpOrder = ["xformOp:translate"]
    {parent}
    def Mesh "m" {{
        {"" if "faceVertexCounts" in mesh else FACE}
        point3f[] points = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
        texCoord2f[] primvars:st = [(0, 0), (1, 0), (1, 1), (0, 1)] (
            interpolation = "vertex"
        )
        {"rel material:binding = </A/M>" if shader else ""}
        {mesh}
    }}
{worn if shader else ""}
}}
"""
