"""The JSON of ``.gltf`` and ``.glb`` files: names of other files, checks of accessors, positions of nodes."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import numpy as np
from msgspec import Struct

from datagen.assets.far import is_far, middle
from datagen.assets.folder import RefusedError
from datagen.assets.limits import MOST_NODES, MOST_TRIANGLES
from datagen.errors import UserError
from datagen.io.declared import Count, as_declared
from datagen.io.json_text import decode_json

T = TypeVar("T")

_MAGIC, _JSON = b"glTF", b"JSON"
_FLOAT = 5126  # the component type of 32-bit floats
_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, _FLOAT: 4}
"""Bytes of a component, by the component type."""
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_HEADER = struct.Struct("<4sII")  # magic, version, length of the file in bytes
_CHUNK = struct.Struct("<I4s")  # length in bytes, type


class Buffer(Struct):
    """Bytes in another file, in a ``data:`` URI or, without a URI, in the ``.glb`` itself."""

    uri: str | None = None


class BufferView(Struct):
    """A part of a buffer, in bytes."""

    buffer: Count
    byteLength: Count
    byteOffset: Count | None = None
    byteStride: Count | None = None
    extensions: dict[str, Any] | None = None


class Indices(Struct):
    """Where a sparse accessor's indices of replaced entries lie."""

    bufferView: Count
    componentType: Literal[5121, 5123, 5125]
    byteOffset: Count | None = None


class Values(Struct):
    """Where a sparse accessor's new values lie."""

    bufferView: Count
    byteOffset: Count | None = None


class Sparse(Struct):
    """The entries that a sparse accessor replaces, and their new values."""

    count: Count
    indices: Indices
    values: Values


class Accessor(Struct):
    """Entries of one type in a view; without a view, zeros or what an extension unpacks."""

    count: Count
    componentType: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"]
    bufferView: Count | None = None
    byteOffset: Count | None = None
    sparse: Sparse | None = None


def gltf_names(data: bytes) -> list[str]:
    """The names of the files with buffers and images outside this one. `RefusedError` for a damaged file."""
    content = _content(data)
    parts = [part for name in ("buffers", "images") for part in _objects(content, name)]
    return [unquote(part["uri"]) for part in parts if isinstance(part.get("uri"), str) and not part["uri"].startswith("data:")]


def gltf_read(data: bytes, named: Callable[[str], bytes]) -> bytes:
    """The file, its nodes moved to the origin if Blender's rounding to 32 bits would spoil the shape of a model so far away.

    ``named`` returns the content of a file by its name, empty if there is none. `RefusedError` for a file that is damaged, whose nodes form
    no tree, with more than `MOST_NODES` nodes or `MOST_TRIANGLES` parts, or with a vertex that is not finite: Blender would make it zero.
    """
    content = _content(data)

    @cache
    def buffer(number: int) -> bytes:
        return _buffer(content, number, data, named)

    _check_accessors(content, buffer)
    _check_vertices(content, buffer)
    nodes = _objects(content, "nodes")
    roots = _roots(nodes)
    corners = _corners(content, nodes, roots)
    if not len(corners) or not is_far(corners):
        return data
    for root in roots:
        _shift(nodes, root, middle(corners))
    return _replaced(data, content)


def _content(data: bytes) -> dict[str, Any]:
    text = data
    if data.startswith(_MAGIC):
        try:
            length, sort = _CHUNK.unpack_from(data, _HEADER.size)
        except struct.error:
            raise RefusedError("it is cut short: its header is not whole") from None
        text = data[_HEADER.size + _CHUNK.size :][:length]
        if sort != _JSON or len(text) < length:
            raise RefusedError("it is cut short, or no .glb file")
    try:
        content = decode_json(text)
    except ValueError as error:
        raise RefusedError(f"it is damaged: its JSON cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise RefusedError("it is damaged: its JSON is no object")
    return content


def _objects(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = content.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise RefusedError(f"it is damaged: its {name} are no list of objects")
    return found


def _check_accessors(content: dict[str, Any], buffer: Callable[[int], bytes]) -> None:
    """Raise `RefusedError` if an accessor states more entries than there are: readers would allocate them, or read other bytes."""
    views = _declared(content, "bufferViews", BufferView)
    buffers = len(_objects(content, "buffers"))
    for number, accessor in enumerate(_declared(content, "accessors", Accessor)):
        size = _BYTES[accessor.componentType] * _COMPONENTS[accessor.type]
        parts = [(accessor.bufferView, accessor.byteOffset, accessor.count, size)]
        if (sparse := accessor.sparse) is not None:
            parts.append((sparse.indices.bufferView, sparse.indices.byteOffset, sparse.count, _BYTES[sparse.indices.componentType]))
            parts.append((sparse.values.bufferView, sparse.values.byteOffset, sparse.count, size))
        for place, offset, count, each in parts:
            if place is None:
                fits = count <= 3 * MOST_TRIANGLES
            elif place >= len(views) or views[place].buffer >= buffers:
                fits = False
            else:
                view = views[place]
                held = len(buffer(view.buffer))
                if view.extensions or not held:  # it is compressed, or its file is missing, which a note reports
                    continue
                end = (offset or 0) + (count - 1) * (view.byteStride or each) + each if count else 0
                fits = end <= view.byteLength and (view.byteOffset or 0) + end <= held
            if not fits:
                raise RefusedError(f"it is damaged: its accessor {number} states {count:,} entries, more than there are")


def _declared(content: dict[str, Any], name: str, kind: type[T]) -> list[T]:
    try:
        return [as_declared(each, kind, f"it is damaged: {name}[{i}]") for i, each in enumerate(_objects(content, name))]
    except UserError as error:
        raise RefusedError(str(error)) from None


def _check_vertices(content: dict[str, Any], buffer: Callable[[int], bytes]) -> None:
    """Raise `RefusedError` if a vertex of 32-bit floats is not finite."""
    accessors, views = _objects(content, "accessors"), _objects(content, "bufferViews")
    for mesh in _objects(content, "meshes"):
        with contextlib.suppress(LookupError, TypeError, ValueError, OverflowError):  # Blender reports a damaged mesh
            for part in mesh["primitives"]:
                accessor = accessors[part["attributes"]["POSITION"]]
                view = views[accessor["bufferView"]]
                start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
                shape, strides = (accessor["count"], 3), (view.get("byteStride", 12), 4)
                if (
                    accessor["componentType"] != _FLOAT
                    or np.isfinite(np.ndarray(shape, "<f4", buffer(view["buffer"]), start, strides)).all()
                ):
                    continue
                raise RefusedError("it has a vertex that is not finite")


def _buffer(content: dict[str, Any], number: int, data: bytes, named: Callable[[str], bytes]) -> bytes:
    """The bytes of a buffer: from the ``.glb`` behind its JSON, a ``data:`` URI, or another file."""
    uri = _declared(content, "buffers", Buffer)[number].uri
    if uri is None:
        if not data.startswith(_MAGIC):
            raise RefusedError(f"it is damaged: buffers[{number}] names no file, and only a .glb holds one itself")
        length, _ = _CHUNK.unpack_from(data, _HEADER.size)
        return data[_HEADER.size + 2 * _CHUNK.size + length :]
    if not uri.startswith("data:"):
        return named(unquote(uri))
    try:
        return base64.b64decode(uri.partition(",")[2])
    except ValueError as error:
        raise RefusedError(f"it is damaged: what buffers[{number}] holds cannot be read ({error})") from None


def _replaced(data: bytes, content: dict[str, Any]) -> bytes:
    text = json.dumps(content).encode()
    if not data.startswith(_MAGIC):
        return text
    _, version, _ = _HEADER.unpack_from(data)
    length, _ = _CHUNK.unpack_from(data, _HEADER.size)
    rest = data[_HEADER.size + _CHUNK.size + length :]
    text += b" " * (-len(text) % 4)
    whole = _HEADER.size + _CHUNK.size + len(text) + len(rest)
    return _HEADER.pack(_MAGIC, version, whole) + _CHUNK.pack(len(text), _JSON) + text + rest


def _children(nodes: list[dict[str, Any]], node: dict[str, Any]) -> list[int]:
    children = node.get("children", [])
    if not isinstance(children, list) or not all(isinstance(child, int) and 0 <= child < len(nodes) for child in children):
        raise RefusedError("it is damaged: a node's children are not among its nodes")
    return children


def _roots(nodes: list[dict[str, Any]]) -> list[int]:
    """The indices of the nodes without a parent. `RefusedError` if there are more than `MOST_NODES` nodes, or they form no tree."""
    if len(nodes) > MOST_NODES:
        raise RefusedError(f"it has more than {MOST_NODES:,} nodes; join what belongs together")
    owned = [child for node in nodes for child in _children(nodes, node)]
    roots = sorted(set(range(len(nodes))) - set(owned))
    if len(owned) != len(set(owned)):
        raise RefusedError("its nodes form no tree: one is contained in two others, or twice")
    met, at = set(roots), list(roots)
    while at:
        children = _children(nodes, nodes[at.pop()])
        met.update(children)
        at += children
    if len(met) < len(nodes):
        raise RefusedError("its nodes contain each other in a circle")
    return roots


def _matrix(node: dict[str, Any]) -> np.ndarray:
    """A node's own transformation, (4, 4). `RefusedError` if it is not made of finite numbers."""
    try:
        if "matrix" in node:
            return np.array(node["matrix"], float).reshape(4, 4).T
        x, y, z, w = map(float, node.get("rotation", (0, 0, 0, 1)))
        turn = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        matrix = np.eye(4)
        matrix[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), float).reshape(3)
        matrix[:3, 3] = np.array(node.get("translation", (0, 0, 0)), float).reshape(3)
    except (TypeError, ValueError, OverflowError):
        raise RefusedError("it is damaged: a node's place is not made of numbers") from None
    if not np.isfinite(matrix).all():
        raise RefusedError("it is damaged: a node's place is not finite")
    return matrix


def _corners(content: dict[str, Any], nodes: list[dict[str, Any]], roots: list[int]) -> np.ndarray:
    """The corners (N, 3), in the scene's frame, of the stated bounding boxes of all meshes that are shown."""
    boxes = _boxes(content)
    corners = [np.empty((0, 3))]
    waiting = [(root, np.eye(4)) for root in roots]
    while waiting:
        at, outer = waiting.pop()
        whole = outer @ _matrix(nodes[at])
        for box in boxes.get(str(nodes[at].get("mesh")), ()):
            corners.append(np.array(list(product(*box.T))) @ whole[:3, :3].T + whole[:3, 3])
        if len(corners) > MOST_TRIANGLES:  # each part has at least one triangle
            raise RefusedError(f"it shows more than {MOST_TRIANGLES:,} parts of meshes, and so more triangles than may be")
        waiting += [(child, whole) for child in _children(nodes, nodes[at])]
    return np.concatenate(corners)


def _boxes(content: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    """The valid bounding boxes (2, 3) that a mesh's parts state, by the mesh's index as text."""
    accessors = _objects(content, "accessors")
    found: dict[str, list[np.ndarray]] = {}
    for number, mesh in enumerate(_objects(content, "meshes")):
        boxes = found[str(number)] = []
        with contextlib.suppress(LookupError, TypeError, ValueError, OverflowError):  # Blender reports a damaged mesh
            for part in mesh["primitives"]:
                accessor = accessors[part["attributes"]["POSITION"]]
                box = np.array([accessor["min"], accessor["max"]], float)
                if box.shape == (2, 3) and np.isfinite(box).all():
                    boxes.append(box)
    return found


def _shift(nodes: list[dict[str, Any]], root: int, by: np.ndarray) -> None:
    """Move a node and its descendants by -`by` (3,). If the node has no mesh and is itself near the origin, its children are moved instead,
    because the large coordinates are theirs."""
    waiting = [(root, by)]
    while waiting:
        at, move = waiting.pop()
        node, matrix = nodes[at], _matrix(nodes[at])
        children = _children(nodes, node)
        stands_near = np.abs(matrix[:3, 3]).max() < np.abs(move).max() / 2
        if stands_near and children and "mesh" not in node and abs(np.linalg.det(matrix[:3, :3])) > 1e-12:
            within = np.linalg.solve(matrix[:3, :3], move)
            waiting += [(child, within) for child in children]
        elif "matrix" in node:
            node["matrix"][12:15] = (matrix[:3, 3] - move).tolist()
        else:
            node["translation"] = (matrix[:3, 3] - move).tolist()
