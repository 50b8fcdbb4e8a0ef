"""The vertices of ``.ply`` and ``.stl`` files, moved to the origin where they lie too far away for Blender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.assets.far import is_far, middle, near_lines
from datagen.assets.folder import RefusedError

_TYPES = {
    **{name: kind for kind, names in (("i1", "char int8"), ("u1", "uchar uint8")) for name in names.split()},
    **{name: kind for kind, names in (("i2", "short int16"), ("u2", "ushort uint16")) for name in names.split()},
    **{name: kind for kind, names in (("i4", "int int32"), ("u4", "uint uint32")) for name in names.split()},
    **{name: kind for kind, names in (("f4", "float float32"), ("f8", "double float64")) for name in names.split()},
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}


def stl_near(data: bytes) -> bytes:
    """An ``.stl``, moved to the origin if it is far away and written as text; one in binary has lost those digits already.

    `RefusedError` for vertices that are no finite numbers, of which Blender would make zeros.
    """
    if not data.lstrip().startswith(b"solid") or b"facet" not in data[:2000]:
        return data
    lines = data.split(b"\n")
    return b"\n".join(near_lines(lines, [i for i, line in enumerate(lines) if line.split(None, 1)[:1] == [b"vertex"]], 1, (1, 2, 3)))


@dataclass
class _Element:
    """A sort of row in a ``.ply``: how many there are, and the type of each of its numbers by name; None where it holds a list."""

    name: str
    count: int
    types: dict[str, str | None]


def ply_near(data: bytes) -> bytes:
    """A ``.ply``, moved to the origin if it is far away and holds the digits: as text, or as doubles.

    `RefusedError` for vertices that are no finite numbers, of which Blender would make zeros.
    """
    head, found, body = data.partition(b"end_header")
    start = body.find(b"\n") + 1
    if not found or not head.startswith(b"ply") or not start:
        return data  # Blender will say what is wrong with it
    try:
        sort, elements = _header(head.decode("ascii", "replace"))
    except (ValueError, IndexError):
        return data
    before = elements[: next((i for i, element in enumerate(elements) if element.name == "vertex"), len(elements))]
    if len(before) == len(elements) or not {"x", "y", "z"} <= set(elements[len(before)].types):
        return data
    vertex, body = elements[len(before)], body[start:]
    whole_head = data[: len(data) - len(body)]
    if sort == "ascii":
        lines = body.split(b"\n")
        skipped = sum(element.count for element in before)
        if skipped + vertex.count > len(lines):
            raise RefusedError(f"it is cut short: it has fewer lines than its {vertex.count:,} vertices")
        if None in vertex.types.values():
            return data
        rows = list(range(skipped, skipped + vertex.count))
        x, y, z = (list(vertex.types).index(name) for name in "xyz")
        return whole_head + b"\n".join(near_lines(lines, rows, whole_head.count(b"\n") + 1, (x, y, z)))
    return whole_head + _moved(body, before, vertex, _ORDERS.get(sort, ""))


def _header(text: str) -> tuple[str, list[_Element]]:
    sort, elements = "", []
    for words in map(str.split, text.splitlines()):
        if words[:1] == ["format"]:
            sort = words[1]
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], int(words[2]), {}))
        elif words[:1] == ["property"]:
            if words[-1] in elements[-1].types or elements[-1].count < 0:
                raise ValueError
            elements[-1].types[words[-1]] = _TYPES.get(words[1])
    return sort, elements


def _moved(body: bytes, before: list[_Element], vertex: _Element, order: str) -> bytes:
    """The binary rows with the vertices moved, where they are doubles and far away. `RefusedError` for those that are not finite."""
    rows = [_row(element, order) for element in (*before, vertex)] if order else [None]
    if any(row is None for row in rows):
        return body
    start = sum(element.count * np.dtype(row).itemsize for element, row in zip(before, rows, strict=False))
    kind = np.dtype(rows[-1])
    if len(body) < start + vertex.count * kind.itemsize or not vertex.count:
        return body
    vertices: Any = np.frombuffer(body, kind, vertex.count, start).copy()
    points = np.stack([vertices[name] for name in "xyz"], axis=1).astype(float)
    if not np.isfinite(points).all():
        raise RefusedError(f"its vertex {int(np.flatnonzero(~np.isfinite(points).all(1))[0]) + 1:,} is not finite")
    if not is_far(points) or {vertex.types[name] for name in "xyz"} != {"f8"}:
        return body
    for name, values in zip("xyz", (points - middle(points)).T, strict=True):
        vertices[name] = values
    return body[:start] + vertices.tobytes() + body[start + vertices.nbytes :]


def _row(element: _Element, order: str) -> list[tuple[str, str]] | None:
    if any(kind is None for kind in element.types.values()):
        return None
    return [(name, f"{order}{kind}") for name, kind in element.types.items()]
