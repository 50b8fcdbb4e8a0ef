"""``.ply`` files: corrections of what Blender would misread."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.assets.far import is_far, middle, near_lines
from datagen.assets.folder import RefusedError
from datagen.screen import printable

_TYPES = {
    **{name: kind for kind, names in (("i1", "char int8"), ("u1", "uchar uint8")) for name in names.split()},
    **{name: kind for kind, names in (("i2", "short int16"), ("u2", "ushort uint16")) for name in names.split()},
    **{name: kind for kind, names in (("i4", "int int32"), ("u4", "uint uint32")) for name in names.split()},
    **{name: kind for kind, names in (("f4", "float float32"), ("f8", "double float64")) for name in names.split()},
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_COLORS = {f"{prefix}{name}": color for color in ("red", "green", "blue") for prefix, name in (("diffuse_", color), ("", color[0]))}
"""Other names for the properties ``red``, ``green`` and ``blue``."""


@dataclass(frozen=True)
class _Element:
    """A kind of row: its name, the number of rows, and NumPy types by property; None for a list or an unknown type."""

    name: str
    count: int
    types: dict[str, str | None]


@dataclass(frozen=True)
class _Ply:
    """A parsed file: the lines of its header, its format (``sort``), its elements, and the bytes after the header."""

    head: list[str]
    sort: str
    elements: list[_Element]
    body: bytes

    @property
    def before(self) -> list[_Element]:
        """The elements before the vertices."""
        return self.elements[: [element.name for element in self.elements].index("vertex")]

    @property
    def vertex(self) -> _Element:
        """The vertices."""
        return self.elements[len(self.before)]


def ply_read(data: bytes) -> bytes:
    """The file, with Blender's names for colours, moved to the origin if it is far away, with coordinates in text or doubles.

    `RefusedError` for fewer rows than stated, or vertices that are not finite numbers, which Blender would read as zeros.
    """
    ply = _parsed(data)
    if ply is None:
        return data
    _check_counts(ply)
    head = "\n".join(_renamed(ply)) + "\n"
    moved = _text_moved(ply) if ply.sort == "ascii" else _binary_moved(ply)
    return head.encode("latin-1") + moved


def _check_counts(ply: _Ply) -> None:
    """Raise `RefusedError` if there are fewer rows than the header states: Blender would allocate memory for all of them."""
    rows = ply.body.count(b"\n") + 1 if ply.sort == "ascii" else len(ply.body)
    for element in ply.elements:
        size = 1 if ply.sort == "ascii" else sum(np.dtype(kind or "u1").itemsize for kind in element.types.values())
        if element.types and element.count * size > rows:
            raise RefusedError(
                f"it is cut short: it states {element.count:,} rows of '{printable(element.name)[:40]}', more than there are"
            )
        rows -= element.count * size


def ply_notes(data: bytes) -> list[str]:
    """Notes on colours and textures that are not read."""
    ply = _parsed(data)
    if ply is None or {"red", *_COLORS} & set(ply.vertex.types):
        return []
    textures = [line.split(None, 2)[2] for line in ply.head if re.match(r"comment\s+TextureFile\s+\S", line)]
    notes = [f"its texture '{printable(name)[:80]}' is not read: grey is taken" for name in textures]
    if any({"red", *_COLORS} & set(element.types) for element in ply.elements):
        notes.append("the colours of its faces are not read: grey is taken")
    return notes


def faces_stated(data: bytes) -> int:
    """The number of faces that the header states; 0 for a file that cannot be parsed."""
    ply = _parsed(data)
    return 0 if ply is None else sum(element.count for element in ply.elements if element.name == "face")


def _parsed(data: bytes) -> _Ply | None:
    """The parsed file; None for a damaged one, of which Blender reports the fault."""
    found = re.search(rb"^end_header[ \t]*\r?\n", data, re.MULTILINE)
    if not data.startswith(b"ply") or not found:
        return None
    head = data[: found.end()].decode("latin-1").splitlines()
    sort, elements = "", []
    try:
        for words in map(str.split, head):
            if words[:1] == ["format"]:
                sort = words[1]
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1], int(words[2]), {}))
            elif words[:1] == ["property"]:
                if words[-1] in elements[-1].types or elements[-1].count < 0:
                    return None
                elements[-1].types[words[-1]] = _TYPES.get(words[1])
    except (ValueError, IndexError):
        return None
    ply = _Ply(head, sort, elements, data[found.end() :])
    known = any(element.name == "vertex" and {"x", "y", "z"} <= set(element.types) for element in elements)
    return ply if known and ply.vertex.types else None


def _renamed(ply: _Ply) -> list[str]:
    """The lines of the header, with the vertices' colours named ``red``, ``green`` and ``blue``."""
    if "red" in ply.vertex.types:
        return ply.head
    renamed, element = [], ""
    for line in ply.head:
        words = line.split()
        element = words[1] if words[:1] == ["element"] else element
        is_color = element == "vertex" and words[:1] == ["property"] and words[-1] in _COLORS
        renamed.append(" ".join([*words[:-1], _COLORS[words[-1]]]) if is_color else line)
    return renamed


def _text_moved(ply: _Ply) -> bytes:
    lines, vertex = ply.body.split(b"\n"), ply.vertex
    skipped = sum(element.count for element in ply.before)
    if None in vertex.types.values():
        return ply.body
    x, y, z = (list(vertex.types).index(name) for name in "xyz")
    return b"\n".join(near_lines(lines, list(range(skipped, skipped + vertex.count)), len(ply.head) + 1, (x, y, z)))


def _binary_moved(ply: _Ply) -> bytes:
    body, vertex, order = ply.body, ply.vertex, _ORDERS.get(ply.sort, "")
    rows = [_row(element, order) for element in (*ply.before, vertex)] if order else [None]
    if any(row is None for row in rows):
        return body
    start = sum(element.count * np.dtype(row).itemsize for element, row in zip(ply.before, rows, strict=False))
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
