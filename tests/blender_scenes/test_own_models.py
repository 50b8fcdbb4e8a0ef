"""People's own models through Blender: colours from any combination of sources, coordinates far from the origin, and notes on faults."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plain_models import CORNERS, FACES, gltf, obj, ply, stl, surface, usda

import igllm

FAR = (500000.123, 4649776.22, 100.5)
LEVEL = 200
LINEAR = ((LEVEL / 255 + 0.055) / 1.055) ** 2.4
"""The red of red.png as linear light."""
RED, GREY = (LINEAR, 0, 0), (150 / 255, 152 / 255, 156 / 255)
UNLIT = {"extensions": {"KHR_materials_unlit": {}}}
HALF = ((0.5 + 0.055) / 1.055) ** 2.4
TEXTURED = "color3f inputs:diffuseColor.connect = </A/M/T.outputs:rgb>"

CUT = "float inputs:opacity.connect = </A/M/T.outputs:a>\nfloat inputs:opacityThreshold = 0.5"

BASE = "color3f inputs:base = (0, 0.5, 1)\ncolor3f inputs:paint.connect = </A/M.inputs:base>"


def product(*colors: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = np.prod(colors, axis=0)
    return red, green, blue


def mtl(**lines: str) -> str:
    return "newmtl m\n" + "".join(f"{name} {value}\n" for name, value in lines.items())


WORN = obj("mtllib {}.mtl\nusemtl m")
COLORS: dict[str, tuple[str | bytes, tuple[float, float, float]]] = {
    "factor.gltf": (gltf(surface((0.2, 0.5, 1))), (0.2, 0.5, 1)),
    "image.gltf": (gltf(surface(textured=True), image="red.png"), RED),
    "factor-image.gltf": (gltf(surface((0.5, 1, 1), True), image="red.png"), product((0.5, 1, 1), RED)),
    "vertex.gltf": (gltf(color=(0, 0.5, 1)), (0, 0.5, 1)),
    "factor-vertex.gltf": (gltf(surface((0.5, 0.5, 1)), (0, 0.5, 1)), (0, 0.25, 1)),
    "image-vertex.gltf": (gltf(surface(textured=True), (0.5, 1, 1), "red.png"), product(RED, (0.5, 1, 1))),
    "factor-image-vertex.gltf": (gltf(surface((0.5, 1, 1), True), (0.5, 1, 1), "red.png"), product(RED, (0.25, 1, 1))),
    "unlit-factor.gltf": (gltf(surface((0, 0.5, 1), **UNLIT)), (0, 0.5, 1)),
    "unlit-all.gltf": (gltf(surface((0.5, 1, 1), True, **UNLIT), (0.5, 1, 1), "red.png"), product(RED, (0.25, 1, 1))),
    "emission.gltf": (gltf(surface((0, 0, 0), emissiveFactor=[1, 0.5, 0])), (1, 0.5, 0)),
    "glossy.gltf": (
        gltf({"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [0.5, 0, 1, 1]}}}),
        (0.5, 0, 1),
    ),
    "through.gltf": (gltf(surface((0, 0, 1), alphaMode="BLEND")), (0, 0, 1)),
    "cut-blend.gltf": (gltf(surface(textured=True, alphaMode="BLEND"), image="cut.png"), (1, 0, 0)),
    "cut-mask.gltf": (gltf(surface(textured=True, alphaMode="MASK"), image="cut.png"), (1, 0, 0)),
    "cut-unlit.gltf": (gltf(surface(textured=True, alphaMode="BLEND", **UNLIT), image="cut.png"), (1, 0, 0)),
    "cut-opaque.gltf": (gltf(surface(textured=True), image="cut.png"), (0.5, 0, 0)),
    "gone.gltf": (gltf(surface((0, 1, 0.5), True), image="nowhere.png"), (0, 1, 0.5)),
    "gone-alone.gltf": (gltf(surface(textured=True), image="nowhere.png"), GREY),
    "kd.obj": (WORN.format("kd"), (0, 0.5, 1)),
    "image.obj": (WORN.format("image"), RED),
    "black-image.obj": (WORN.format("black-image"), RED),
    "kd-image.obj": (WORN.format("kd-image"), product((0.5, 1, 1), RED)),
    "one-kd.obj": (WORN.format("one-kd"), (0.5, 0.5, 0.5)),
    "gone.obj": (WORN.format("gone"), (0, 0.5, 1)),
    "torn.obj": (WORN.format("torn"), (0, 0.5, 1)),
    "emission.obj": (WORN.format("emission"), (0, 1, 0)),
    "cut.obj": (WORN.format("cut"), (1, 0, 0)),
    "cut-apart.obj": (WORN.format("cut-apart"), (1, 0, 0)),
    "cut-unused.obj": (WORN.format("cut-unused"), (0.5, 0, 0)),
    "vertex.obj": (obj(color="0.5 0 1"), (HALF, 0, 1)),
    "kd-vertex.obj": (obj("mtllib kd.mtl\nusemtl m", color="1 0.5 1"), (0, HALF / 2, 1)),
    "vertex.ply": (ply(color=(LEVEL, 0, 0)), RED),
    "diffuse.ply": (ply(color=(LEVEL, 0, 0), names=("diffuse_red", "diffuse_green", "diffuse_blue")), RED),
    "r-g-b.ply": (ply(color=(LEVEL, 0, 0), names=("r", "g", "b")), RED),
    "binary.ply": (ply(sort="binary_little_endian"), GREY),
    "bytes.obj": (obj(color=f"{LEVEL} 0 0"), RED),
    "bytes-kd.obj": (WORN.format("bytes-kd"), (0.2, 0.4, 0)),
    "comment.obj": (WORN.format("comment"), (0.5, 0, 0)),
    "hash.obj": (obj("mtllib hash.mtl\nusemtl m # 2"), (0, 0.5, 0)),
    "returns.obj": (WORN.format("returns").replace("\n", "\r"), (0, 0.5, 1)),
    "lower.obj": (WORN.format("lower"), RED),
    "vertex.usda": (usda("color3f[] primvars:displayColor = [(0, 0.5, 1)]"), (0, 0.5, 1)),
    "surface.usda": (usda(shader="color3f inputs:diffuseColor = (0, 0.5, 1)"), (0, 0.5, 1)),
    "image.usda": (usda(shader=TEXTURED, image="red.png"), RED),
    "cut.usda": (usda(shader=f"{TEXTURED}\n{CUT}", image="cut.png", texture="float outputs:a"), (1, 0, 0)),
    "input.usda": (usda(shader="color3f inputs:diffuseColor.connect = </A/M.inputs:base>", material=BASE), (0, 0.5, 1)),
    "input-of-input.usda": (usda(shader="color3f inputs:diffuseColor.connect = </A/M.inputs:paint>", material=BASE), (0, 0.5, 1)),
    "inherited.usda": (usda(parent="color3f[] primvars:displayColor = [(0, 0.5, 1)]"), (0, 0.5, 1)),
    "gone-fallback.usda": (usda(shader=TEXTURED, image="nowhere.png", texture="float4 inputs:fallback = (0, 0.5, 1, 1)"), (0, 0.5, 1)),
    "there-fallback.usda": (usda(shader=TEXTURED, image="red.png", texture="float4 inputs:fallback = (0, 0.5, 1, 1)"), RED),
    "scaled.usda": (usda(shader=TEXTURED, image="red.png", texture="float4 inputs:scale = (0.5, 1, 1, 1)"), product(RED, (0.5, 1, 1))),
    "each.usda": (usda('color3f[] primvars:displayColor = [(0, 0.5, 1)] (interpolation = "uniform")'), (0, 0.5, 1)),
    "gone.usda": (usda(shader=TEXTURED, image="nowhere.png"), GREY),
    "emission.usda": (usda(shader="color3f inputs:diffuseColor = (0, 0, 0)\ncolor3f inputs:emissiveColor = (0, 0, 1)"), (0, 0, 1)),
}
"""By file name: its content, and its colour as linear light."""
LIBRARIES = {
    "kd": mtl(Kd="0 0.5 1"),
    "image": mtl(map_Kd="red.png"),
    "black-image": mtl(Kd="0 0 0", map_Kd="red.png"),
    "kd-image": mtl(Kd="0.5 1 1", map_Kd="-s 1 1 1 red.png"),
    "cut": mtl(map_Kd="cut.png", map_d="cut.png"),
    "cut-apart": mtl(map_Kd="cut.png", map_d="stencil.png"),
    "cut-unused": mtl(map_Kd="cut.png"),
    "one-kd": mtl(Kd="0.5"),
    "gone": mtl(Kd="0 0.5 1", map_Kd="nowhere.png"),
    "torn": mtl(Kd="0 0.5 1", map_Kd="torn.png"),
    "emission": mtl(Kd="0 0 0", Ke="0 1 0"),
    "bytes-kd": mtl(Kd="51 102 0"),
    "comment": "newmtl m # paint\nKd 0.5 0 0 # red\n",
    "hash": "newmtl m # 1\nKd 0.5 0 0\nnewmtl m # 2\nKd 0 0.5 0\n",
    "returns": mtl(Kd="0 0.5 1").replace("\n", "\r"),
    "lower": mtl(kd="1 1 1", map_kd="red.png"),
}
CUBES: dict[str, str | bytes] = {
    "far/text.obj": obj(size=0.1, at=FAR),
    "far/text.ply": ply(4649776.22),
    "far/big.ply": ply(4649776.22, sort="binary_big_endian"),
    "far/little.ply": ply(4649776.22, sort="binary_little_endian"),
    "far/text.stl": stl(4649776.22),
    "far/root.gltf": gltf(nodes=[{"mesh": 0, "translation": FAR}]),
    "far/matrix.gltf": gltf(nodes=[{"mesh": 0, "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, *FAR, 1]}]),
    "far/within.gltf": gltf(nodes=[{"children": [1], "rotation": [0.5**0.5, 0, 0, 0.5**0.5]}, {"mesh": 0, "translation": FAR}]),
    "near/mirrored.gltf": gltf(nodes=[{"children": [1], "scale": [-2, 2, 2]}, {"mesh": 0, "translation": [3, 2, 1]}]),
    "near/capitals.STL": stl(),
    "near/shouted.stl": stl().upper(),
    "near/returns.stl": stl().replace("\n", "\r"),
    "near/returns.obj": obj().replace("\n", "\r"),
    "far/shouted.stl": stl(4649776.22).upper(),
}
"""Files that each show a cube."""
SUBSET = """
        def GeomSubset "g" (prepend apiSchemas = ["MaterialBindingAPI"]) {
            uniform token elementType = "face"
            uniform token familyName = "materialBind"
            int[] indices = [0]
            rel material:binding = </A/N>
        }
        int[] faceVertexCounts = [3, 3, 3]
        int[] faceVertexIndices = [0, 1, 2, 0, 2, 3, 0, 2, 3]
"""
RED_MATERIAL = """
    def Material "N" {
        token outputs:surface.connect = </A/N/S.outputs:surface>
        def Shader "S" {
            uniform token info:id = "UsdPreviewSurface"
            color3f inputs:diffuseColor = (1, 0, 0)
            token outputs:surface
        }
    }
"""
SUBSETS = {
    "material": (usda(SUBSET, "color3f inputs:diffuseColor = (0, 0, 1)", parent=RED_MATERIAL), [0, 0, 255]),
    "colors": (usda(SUBSET + "color3f[] primvars:displayColor = [(0, 1, 0)]", parent=RED_MATERIAL), [0, 255, 0]),
    "nothing": (usda(SUBSET, parent=RED_MATERIAL), [150, 152, 156]),
}
"""Meshes with a red subset, and the colour of the rest, which is larger."""
POINTS = [" ".join(map(str, corner)) for corner in CORNERS]
TRIANGLES = b"".join(np.array([(0, 0, 1), (0, 0, z), (1, 0, 0), (0, 1, z)], "<f4").tobytes() + b"\0\0" for z in (0, 1))
"""Two triangles in the format of a binary ``.stl``."""
SHAPELESS: dict[str, tuple[str | bytes, str]] = {
    "float.ply": (ply(4649776.22, sort="binary_little_endian", number="float"), "far from the origin"),
    "cancelled.gltf": (
        gltf(nodes=[{"children": [1], "translation": [5e6 + 0.3, 0, 0]}, {"mesh": 0, "translation": [-5e6, 0, 0]}]),
        "far from the origin",
    ),
    "far.usda": (usda(at="500000.1, 4649776.2, 3"), "far from the origin"),
    "line.obj": ("v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n", "no area"),
    "needle.obj": ("".join(f"v {x * 1e-3} {y * 1e-3} {z}\n" for x, y, z in CORNERS) + "f 1 2 4 3\nf 5 7 8 6\n", "no area"),
    "stray.obj": (obj() + "v 1e6 0 0\nf 1 2 9\n", "1 of its 9 vertices lie so far away"),
    "nan.obj": (obj().replace("v -1.0", "v nan", 1), "line 2: 'nan'"),
    "comma.obj": (obj().replace("v -1.0", "v -1,0", 1), "line 2: '-1,0'"),
    "huge.obj": (obj().replace("v -1.0", "v 1e400", 1), "line 2: '1e400'"),
    "short.obj": (obj().replace("v -1.0 -1.0 -1.0", "v -1.0 -1.0", 1), "line 2 has too few numbers"),
    "nan.ply": (ply().replace(b"\n-1.0", b"\nnan", 1), "'nan'"),
    "cut.ply": (ply()[:-20], "cut short"),
    "cut-faces.ply": (ply(sort="binary_little_endian")[:-20], "cut short"),
    "cut-vertices.ply": (ply(sort="binary_big_endian")[:-200], "cut short"),
    "wide.obj": (obj().encode("utf-16"), "wide.obj is written in UTF-16"),
    "wide.stl": (stl().encode("utf-16"), "wide.stl is written in UTF-16"),
    "wide-library.obj": (obj("mtllib wide.mtl"), "wide.mtl is written in UTF-16"),
    "nan-binary.ply": (ply(np.nan, sort="binary_little_endian", number="float"), "its vertex 1 is not finite"),
    "nan.stl": (stl().replace("vertex -1.0", "vertex nan", 1), "'nan'"),
    "nan.gltf": (gltf(corner=np.nan), "a vertex that is not finite"),
    "torn.gltf": (gltf()[:300], "its JSON cannot be read (Expecting value: line 1 column 301"),
    "torn-tuple.usda": (usda().partition("(0, 1, 0)")[0] + "(0, ", "not what is expected at"),
    "circle.gltf": (gltf(nodes=[{"mesh": 0}, {"children": [2]}, {"children": [1]}]), "in a circle"),
    "header.glb": (b"glTF", "cut short"),
    "accessor.gltf": (gltf().replace('"count": 24', '"count": 99999'), "its accessor 0 states 99,999 entries, more than there are"),
    "vast.gltf": (  # 3.6 GB of zeros
        json.dumps(
            {
                "asset": {"version": "2.0"},
                "scenes": [{"nodes": [0]}],
                "nodes": [{"mesh": 0}],
                "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
                "accessors": [{"componentType": 5126, "count": 300_000_000, "type": "VEC3"}],
            }
        ),
        "its accessor 0 states 300,000,000 entries, more than there are",
    ),
    "negative.usda": (usda().replace("[4]", "[4, -4, 4]"), "its mesh '/A/m' is damaged (a face states -4 corners)"),
    "none.usda": (usda().replace("[4]", "[4, 0]"), "its mesh '/A/m' is damaged (a face states 0 corners)"),
    "few.usda": (usda().replace("[4]", "[4, 4]"), "is damaged (Sum of faceVertexCounts [8] != size of faceVertexIndices [4])"),
    "absent.usda": (usda().replace("[0, 1, 2, 3]", "[0, 1, 2, 4]"), "is damaged (Out of range face vertex index 4"),
    "torn.usda": ("#usda 1.0\ndef Mesh {", "OpenUSD cannot read it (torn.usda:2:"),
}
"""Files without a usable shape, and a part of the reason given."""

SIDES = "".join(f"f {' '.join(str(i + 1) for i in face)}\n" for face in FACES)
THIN = "".join(f"v {x * 0.01} {y * 0.01} {z}\n" for x, y, z in CORNERS) + SIDES
FACE_COLORS = re.sub(rb"(?m)^(4 .*)$", rb"\1 200 0 0", ply()).replace(
    b"vertex_indices", b"vertex_indices\nproperty uchar red\nproperty uchar green\nproperty uchar blue"
)
MORE_FACES = np.array([[4, 0, 1, 3, 99], [4, 0, 1, 3, -1], [4, 0, 1, 1, 0], [4, *FACES[0]]])
"""Faces that a cube already has or cannot have, each after the number of its corners."""
MORE_TEXT = "\n".join(" ".join(map(str, face)) for face in MORE_FACES.tolist()).encode()
MORE_BINARY = b"".join(b"\x04" + face[1:].astype("<i4").tobytes() for face in MORE_FACES)
LOST = "4 of its 10 faces are left out: of vertices that are not there, of fewer than three, or there already"
NOTED: dict[str, tuple[str | bytes, str]] = {
    "undefined.obj": (obj("usemtl m"), "uses the material 'm', which nothing defines: grey is taken"),
    "library.obj": (obj("mtllib nowhere.mtl", size=3), "names 'nowhere.mtl', which is not there"),
    "kd.obj": (WORN.format("kd"), "the colour 'Kd spectral red.rfl' is not understood: grey is taken"),
    "negative.obj": (WORN.format("negative"), "the colour 'Kd -0.1 0.5 2' is not understood: grey is taken"),
    "bright.obj": (WORN.format("bright"), "the colour 'Kd 0.5 2 0' is not understood: grey is taken"),
    "comma.obj": (WORN.format("comma"), "the colour 'Kd 1,0 0,5 0,0' is not understood: grey is taken"),
    "comma-image.obj": (WORN.format("comma-image"), "the colour 'Kd 1,0 0,5 0,0' is not understood: its image alone is taken"),
    "partial.obj": (
        obj(color="1 0 0").replace("1 0 0\n", "\n", 3),
        "only 5 of its 8 vertices have colours: what has a vertex without is taken without them",
    ),
    "beyond.obj": (
        obj(color="0.5 2.5 -1"),
        "the colours of its vertices, neither from 0 to 1 nor whole numbers up to 255, are not understood, and left out",
    ),
    "faces.obj": (obj() + "f 1 2 99\nf -1 -2 -3\nf -1 -2 -30\n", "2 of its faces name vertices that are not there, and are left out"),
    "thin.obj": (THIN, "it is so thin that a generated scene, which must show enough of every object, will hardly hold it"),
    "huge.obj": (
        WORN.format("huge"),
        "the image 'huge.png' has 8,193x8,192 pixels, more than 67,108,864: the colour is taken without it",
    ),
    "texture.ply": (ply().replace(b"comment", b"comment TextureFile"), "its texture 'a cube' is not read: grey is taken"),
    "lost.ply": (ply().replace(b"face 6", b"face 10") + MORE_TEXT, LOST),
    "lost-binary.ply": (ply(sort="binary_little_endian").replace(b"face 6", b"face 10") + MORE_BINARY, LOST),
    "faces.ply": (FACE_COLORS, "the colours of its faces are not read: grey is taken"),
    "color.stl": (b"COLOR=".ljust(80) + struct.pack("<I", 2) + TRIANGLES, "its colours are not read: grey is taken"),
}
"""Files that are read with a note, and that note."""
STRANGE = {"negative": "-0.1 0.5 2", "bright": "0.5 2 0", "comma": "1,0 0,5 0,0"}
"""Values of ``Kd`` that are not colours."""

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
"""The pixels of palette.png."""


def palette_model(place: int) -> str:
    """An ``.obj`` cube that shows one pixel of palette.png, which is repeated."""
    lines = obj("mtllib palette.mtl\nusemtl m").splitlines()
    return "".join(f"vt {(place + 0.5) / 4} 0.5\n" if line.startswith("vt") else f"{line}\n" for line in lines)


def palette_gltf(place: int, sampler: dict[str, int], **transform: Any) -> str:
    """A ``.gltf`` cube that shows one pixel of palette.png, by the sampler's wrapping or a texture transformation."""
    texture = {"index": 0} | ({"extensions": {"KHR_texture_transform": transform}} if transform else {})
    material = {"pbrMetallicRoughness": {"baseColorTexture": texture}}
    text = gltf(material, image="palette.png", places=(((place + 0.5) / 4, 0.5),) * 4, sampler=sampler)
    return text.replace('"extensionsUsed": []', '"extensionsUsed": ["KHR_texture_transform"]')


CLAMP, MIRROR, REPEAT = 33071, 33648, 10497
REPEATED: dict[str, tuple[str, int]] = {
    "clamp": (palette_gltf(6, {"wrapS": CLAMP, "wrapT": CLAMP}), 3),
    "clamp and repeat": (palette_gltf(6, {"wrapS": CLAMP, "wrapT": REPEAT}), 3),
    "mirror": (palette_gltf(5, {"wrapS": MIRROR, "wrapT": MIRROR}), 2),
    "mirror and clamp": (palette_gltf(5, {"wrapS": MIRROR, "wrapT": CLAMP}), 2),
    "repeat": (palette_gltf(5, {}), 1),
    "repeat and mirror": (palette_gltf(-3, {"wrapS": REPEAT, "wrapT": MIRROR}), 1),
    "shifted": (palette_gltf(0, {}, offset=[0.5, 0.0]), 2),
    "scaled": (palette_gltf(1, {}, scale=[0.5, 1.0]), 0),
    "turned": (palette_gltf(0, {}, rotation=np.pi, offset=[0.75, 0.0]), 2),
}
"""Cubes that show one pixel of palette.png, and its index."""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By path, the rows that `igllm inspect --assets` lists."""
    folder = tmp_path_factory.mktemp("plain")
    files = {f"colors/{name}": content for name, (content, _) in COLORS.items()} | CUBES
    files |= {f"colors/{name}.mtl": text for name, text in LIBRARIES.items()}
    files |= {f"shapeless/{name}": content for name, (content, _) in SHAPELESS.items()}
    files |= {f"notes/{name}": content for name, (content, _) in NOTED.items()}
    files |= {f"subsets/{name}.usda": text for name, (text, _) in SUBSETS.items()}
    files |= {f"palette/{place}.obj": palette_model(place) for place in range(-1, 5)}
    files |= {f"palette/{name}.gltf": text for name, (text, _) in REPEATED.items()}
    files["shapeless/wide.mtl"] = mtl(Kd="1 0 0").encode("utf-16")
    files |= {f"notes/{name}.mtl": mtl(Kd=color) for name, color in STRANGE.items()}
    files["notes/comma-image.mtl"] = mtl(Kd=STRANGE["comma"], map_Kd="white.png")
    files["notes/huge.mtl"] = mtl(map_Kd="huge.png")
    files["notes/kd.mtl"] = mtl(Kd="spectral red.rfl")
    files["palette/palette.mtl"] = mtl(map_Kd="palette.png")
    for name, content in files.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    Image.new("RGB", (4, 4), (LEVEL, 0, 0)).save(folder / "in" / "colors" / "red.png")
    Image.new("RGB", (4, 4), (255, 255, 255)).save(folder / "in" / "notes" / "white.png")
    Image.new("1", (8193, 8192)).save(folder / "in" / "notes" / "huge.png")
    stencil = Image.new("L", (64, 64))
    stencil.paste(255, (0, 0, 32, 64))
    stencil.save(folder / "in" / "colors" / "stencil.png")
    cut = Image.new("RGB", (64, 64))
    cut.paste((255, 0, 0), (0, 0, 32, 64))
    cut.putalpha(stencil)
    cut.save(folder / "in" / "colors" / "cut.png")
    palette = Image.new("RGB", (4, 1))
    palette.putdata(PALETTE)
    palette.save(folder / "in" / "palette" / "palette.png")
    (folder / "in" / "colors" / "torn.png").write_bytes((folder / "in" / "colors" / "red.png").read_bytes()[:40])
    with pytest.MonkeyPatch.context() as context:
        context.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        context.setattr("datagen.inspect.sheets.picture", lambda _, size: np.zeros((size, size, 3), np.uint8))  # a hundred take seconds
        assert igllm.main(["inspect", "--assets", str(folder / "in"), "--out", str(folder / "out")]) == 0
    found: dict[str, Any] = json.loads((folder / "out" / "asset-list.json").read_text())
    return {row["path"]: row for row in (*found["assets"], *found["refused"])}


@pytest.mark.parametrize("name", COLORS)
def test_the_colour_is_right_or_grey_and_told(listed: dict[str, Any], name: str) -> None:
    row = listed[f"colors/{name}"]
    assert "colors" in row, row
    [color] = row["colors"]
    np.testing.assert_allclose(np.array(color) / 255, COLORS[name][1], atol=1.5 / 255)
    note = {"gone": "'nowhere.png', which is not there", "torn": "'torn.png' cannot be read"}.get(name.partition(".")[0].partition("-")[0])
    assert len(row["notes"]) == (note is not None)
    assert note is None or note in row["notes"][0]


@pytest.mark.parametrize("name", SUBSETS)
def test_the_rest_of_a_mesh_keeps_its_color(listed: dict[str, Any], name: str) -> None:
    assert listed[f"subsets/{name}.usda"]["colors"] == [SUBSETS[name][1], [255, 0, 0]]


@pytest.mark.parametrize("name", CUBES)
def test_a_cube_is_a_cube_wherever_it_stands(listed: dict[str, Any], name: str) -> None:
    np.testing.assert_allclose(listed[name]["extent"], 2 / np.sqrt(3), atol=2e-4)


@pytest.mark.parametrize("name", SHAPELESS)
def test_what_has_no_shape_is_left_out_with_the_reason(listed: dict[str, Any], name: str) -> None:
    reason = listed[f"shapeless/{name}"]["reason"]
    assert SHAPELESS[name][1] in reason
    assert "Traceback" not in reason and "/tmp" not in reason and len(reason) < 300


@pytest.mark.parametrize("name", NOTED)
def test_what_is_amiss_is_noted(listed: dict[str, Any], name: str) -> None:
    row = listed[f"notes/{name}"]
    assert row["notes"] == [NOTED[name][1]]
    [(red, green, blue)] = row["colors"]
    assert "grey" not in NOTED[name][1] or max(red, green, blue) - min(red, green, blue) <= 6


@pytest.mark.parametrize("place", range(-1, 5))
def test_the_colour_is_that_of_the_part_of_an_image_that_is_worn(listed: dict[str, Any], place: int) -> None:
    assert listed[f"palette/{place}.obj"]["colors"] == [list(PALETTE[place % 4])]


@pytest.mark.parametrize("name", REPEATED)
def test_an_image_is_repeated_and_moved_as_gltf_says(listed: dict[str, Any], name: str) -> None:
    row = listed[f"palette/{name}.gltf"]
    assert row["colors"] == [list(PALETTE[REPEATED[name][1]])] and not row["notes"]
