"""Fuzzer inputs: people's own model files, their ``assets.json``, and cached assets. A stand-in replaces Blender."""

from __future__ import annotations

import base64
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import declared
import headers
import numpy as np
from faults import PLACES, dressed
from headers import SIZES
from hypothesis import strategies as st
from kinds import Files, Kind

from datagen.assets import own
from datagen.assets.mesh import Mesh, mesh_bytes
from datagen.assets.named import Parts, read_part
from datagen.assets.own import AssetNotes, KeptNames
from datagen.io.declared import to_plain

CORNERS = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], "<f4")
WHOLE_STL = b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\nendsolid x\n"
FACES = np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)], "<u2")


class _StandIn:
    """Replaces Blender's importer: copies a model's files as for Blender, and returns a tetrahedron."""

    def __init__(self, _seconds: float) -> None:
        pass

    def __enter__(self) -> _StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def names(self, path: Path) -> list[str]:
        """The names of other files in a file that only Blender can read: here its first 20 lines."""
        return read_part(path).decode("latin-1").splitlines()[:20]

    def opened(self, parts: Parts) -> bytes:
        """The ``.npz`` of a tetrahedron, with the notes on the model's files."""
        parts.copy(Path(self._out))
        notes = np.array(parts.notes(), str)
        mesh = Mesh(CORNERS, FACES, np.zeros(4), np.zeros(4))
        return mesh_bytes(mesh, colors=np.array([(1, 2, 3)], np.uint8), notes=notes)

    _out = ""


def _read(folder: Path, out: Path) -> int:
    """Read a folder as `igllm inspect --assets` and `igllm generate --assets` do; return 2 if it has no usable asset."""
    with mock.patch.object(own, "Importer", _StandIn), mock.patch.object(_StandIn, "_out", str(out)):
        found = own.own_assets(folder)
    for line in found.remarks():
        print(line)
    if not found.assets:
        print("\n".join(found.remarks()) or "nothing was found", file=sys.stderr)
    return 0 if found.assets else 2


def _lines(lines: Sequence[str], words: Sequence[str]) -> st.SearchStrategy[bytes]:
    """A text of ``lines`` with up to three changes: a word replaced, added or removed, or a line put in, all out of ``words``."""
    change = st.tuples(st.integers(0, 2**16), st.integers(0, 3), declared.among(words))

    def made(changes: list[tuple[int, int, str]], dress: str, at: int) -> bytes:
        held = [line.split(" ") for line in lines]
        for place, sort, word in changes:
            row = held[place % len(held)]
            column = (place // len(held)) % len(row)
            if sort == 0:
                row[column] = word
            elif sort == 1:
                row.append(word)
            elif sort == 2:
                held.insert(place % len(held), word.split(" "))
            elif len(row) > 1:
                del row[column]
        text = "\n".join(" ".join(row) for row in held) + "\n"
        return dressed(text.encode("utf-8", "surrogatepass"), dress, at)

    dress = st.sampled_from(["plain", "plain", "plain", "plain", "cut", "bom", "utf-16", "byte", "nul", "lines", "twice", "empty"])
    return st.builds(made, st.lists(change, max_size=3), dress, st.integers(0, 2**16))


_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e38",
    "-1e308",
    "1" * 400,
    "0x10",
    "1_0",
    "1,5",
    "",
    "-0",
    "10000000000000",
    "-1",
    "0",
    "99999999999999999999",
    "1e7",
    "x",
)
_NAMED = (
    *PLACES,
    "own.mtl",
    "a.png",
    "inside/a.png",
    "mtllib own.mtl ../outside/own.mtl",
    "-s 1 1 1 a.png",
    "-bm 1 ../outside/a.png",
    "\x1b[2J",
    "é",
    "x" * 5000,
)


def _obj() -> st.SearchStrategy[Files]:
    corners = [f"v {x:g} {y:g} {z:g}" for x, y, z in CORNERS]
    faces = [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in FACES.tolist()]
    words = [
        *_NUMBERS,
        *_NAMED,
        "f",
        "v",
        "mtllib",
        "usemtl",
        "f 1 2",
        "f 1/1/1 2/2/2 3/3/3",
        "f -1 -2 -3",
        "v 1 2 3 1 0 0",
        "l 1 2",
        "curv",
        "call x.obj",
        "# x",
        "\\",
    ]
    library = ["newmtl red", "Kd 0.5 0 0", "map_Kd a.png", "newmtl blue", "Kd 0 0 1", "d 1"]
    marks = [*_NUMBERS, *_NAMED, "map_Kd -o 0 0 0", "map_Bump", "newmtl", "Kd spectral x.rfl", "Kd", "d", "refl"]
    model = _lines(["mtllib own.mtl", *corners, "usemtl red", *faces], words)
    return st.builds(
        lambda obj, mtl: {"own.obj": obj, "own.mtl": mtl, "a.png": b"\x89PNG", "inside/a.png": b""}, model, _lines(library, marks)
    )


def _ply() -> st.SearchStrategy[Files]:
    head = [
        "ply",
        "format ascii 1.0",
        "comment x",
        "element vertex 4",
        *(f"property float {name}" for name in "xyz"),
        "element face 4",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    rows = [*(f"{x:g} {y:g} {z:g}" for x, y, z in CORNERS), *(f"3 {a} {b} {c}" for a, b, c in FACES.tolist())]
    words = [
        *_NUMBERS,
        "binary_little_endian",
        "binary_big_endian",
        "double",
        "list",
        "property list uchar float x",
        "element vertex 1000000000000",
        "element face -1",
        "property uchar red",
    ]
    text = _lines([*head, *rows], [*words, "end_header", "comment TextureFile ../outside/a.png", "property float x"])
    binary = (
        "\n".join(head).replace("ascii", "binary_little_endian").encode()
        + b"\n"
        + CORNERS.tobytes()
        + b"".join(struct.pack("<B3i", 3, *face) for face in FACES.tolist())
    )
    doubles = binary.replace(b"property float", b"property double").replace(CORNERS.tobytes(), (CORNERS.astype("<f8") + 5e6).tobytes())
    return st.one_of(text, headers.overwritten([binary, doubles], far=400)).map(lambda data: {"own.ply": data})


def _stl() -> st.SearchStrategy[Files]:
    text = [
        "solid x",
        "facet normal 0 0 1",
        "outer loop",
        *(f"vertex {x:g} {y:g} {z:g}" for x, y, z in CORNERS[:3]),
        "endloop",
        "endfacet",
        "endsolid x",
    ]
    binary = b"COLOR=\1\2\3\4".ljust(80, b" ") + struct.pack("<I", 1) + struct.pack("<12f", *range(12)) + b"\0\0"
    return st.one_of(_lines(text, [*_NUMBERS, "vertex", "facet", "solid"]), headers.overwritten([binary])).map(
        lambda data: {"own.stl": data}
    )


def _gltf_content(uri: str | None) -> dict[str, Any]:
    data = CORNERS.tobytes() + FACES.tobytes()
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "translation": [1e7, 0, 0], "children": [1]}, {"matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 0, 0, 1]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"uri": "a.png"}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 1]},
            {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": 48}, {"buffer": 0, "byteOffset": 48, "byteLength": 24}],
        "buffers": [{"byteLength": len(data), **({} if uri is None else {"uri": uri})}],
    }


def _gltf() -> st.SearchStrategy[Files]:
    data = CORNERS.tobytes() + FACES.tobytes()
    inline = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    text = declared.damaged([_gltf_content("a.bin"), _gltf_content(inline)]).map(lambda held: {"own.gltf": held})
    length = st.one_of(st.none(), st.none(), st.sampled_from(SIZES))
    binary = st.builds(headers.glb, declared.damaged([_gltf_content(None)]), st.just(data), st.tuples(length, length, length)).map(
        lambda held: {"own.glb": held}
    )
    return st.one_of(text, binary).map(lambda files: {**files, "a.bin": data, "a.png": b"\x89PNG"})


def _usd() -> st.SearchStrategy[Files]:
    """Files in which only Blender can find the names of other files: for the stand-in, every line is a name."""
    lines = _lines(["a.png", "inside/a.png", "a.usda"], [*_NAMED, "own.usda", "sub/../a.png", "", " "])
    suffix = st.sampled_from([".usda", ".usdz", ".blend", ".usdc"])
    return st.builds(
        lambda data, suffix: {f"own{suffix}": data, "a.png": b"x", "a.usda": b"own.usda\n", "inside/a.png": b""}, lines, suffix
    )


def models() -> st.SearchStrategy[Files]:
    return st.one_of(_obj(), _ply(), _stl(), _gltf(), _usd())


def lists() -> st.SearchStrategy[Files]:
    """A damaged ``assets.json`` beside an undamaged model."""
    stated = [{"own.stl": {"class": "box", "symmetry": "C4"}}, {"own.stl": {"class": "box"}}, {"own.stl": {}}]
    return declared.damaged(stated, AssetNotes, most=2).map(lambda data: {"own.stl": WHOLE_STL, "assets.json": data})


def kept() -> st.SearchStrategy[Files]:
    """A damaged file of the cache: the arrays of an asset, or the names of other files in one."""
    arrays = {
        "vertices": CORNERS.astype(float),
        "triangles": FACES.astype(np.int32),
        "slots": np.zeros(4, np.int16),
        "smooth": np.zeros(4, bool),
    }
    honest = mesh_bytes(Mesh(**arrays), colors=np.array([(1, 2, 3)], np.uint8), notes=np.zeros(0, str))
    one = st.sampled_from(["vertices", "triangles", "slots", "smooth", "colors", "notes"])

    def with_array(name: str, array: bytes) -> bytes:
        members = {
            f"{each}.npy": headers.npy(
                f"{{'descr': '{np.asarray(held).dtype.str}', 'fortran_order': False, 'shape': {np.asarray(held).shape}, }}".encode(),
                np.asarray(held).tobytes(),
            )
            for each, held in arrays.items()
        }
        return bytes(headers.zipped({**members, f"{name}.npy": array}))

    crafted = st.builds(with_array, one, headers.npy_files("'<f8'", (4, 3), arrays["vertices"].tobytes()))
    lying = st.builds(lambda field, number: headers.lying_zip(bytearray(honest), field, number), st.integers(0, 6), st.sampled_from(SIZES))
    bombs = st.sampled_from(["vertices.npy", "notes.npy"]).map(lambda name: headers.bomb(name, 8))
    arrays_kept = st.one_of(crafted, lying, bombs, headers.overwritten([honest], far=2000)).map(lambda data: {"own.stl": data})
    names_kept = declared.damaged([to_plain(KeptNames.of(["a.png", "inside/a.png"]))], KeptNames, most=2).map(
        lambda data: {"own.usda": data}
    )
    return st.one_of(arrays_kept, arrays_kept, names_kept)


def _from_cache(folder: Path, out: Path) -> int:
    """Read a model after the damaged file has replaced its cached one; return 1 if it ends as before, else 0."""
    [damaged] = folder.iterdir()
    (out / "models").mkdir()
    (out / "models" / damaged.name).write_bytes(WHOLE_STL if damaged.suffix == ".stl" else b"a.png")
    with mock.patch.object(own, "_cache", lambda: out / "cache"):
        _read(out / "models", out)
        [cached] = (out / "cache").glob("*.npz" if damaged.suffix == ".stl" else "names/*.json")
        before = cached.read_bytes()
        cached.write_bytes(damaged.read_bytes())
        status = _read(out / "models", out)
    assert status == 0 or damaged.suffix != ".stl", "a damaged cache is a miss"
    return 0 if cached.read_bytes() != before else 1


KINDS = {
    "asset": Kind(models, _read, share=2),
    "asset-list": Kind(lists, _read, share=0.5),
    "asset-cache": Kind(kept, _from_cache, share=0.5),
}
