"""``.stl`` files: corrections of what Blender would misread."""

from __future__ import annotations

import struct

from datagen.assets.far import near_lines

_HEAD, _FACET = 84, 50
"""Bytes of a binary file's header, and of each of its triangles."""


def stl_read(data: bytes) -> bytes:
    """The file; text is put into lower case, with Blender's line ends (LF), and moved to the origin if it is far away. A binary file is
    unchanged: its coordinates have 32 bits already.

    `RefusedError` for vertices of a text that are not finite numbers, which Blender would read as zeros.
    """
    if _is_binary(data) or not data.lstrip().lower().startswith(b"solid") or b"facet" not in data[:2000].lower():
        return data
    lines = data.lower().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\n".join(near_lines(lines, [i for i, line in enumerate(lines) if line.split(None, 1)[:1] == [b"vertex"]], 1, (1, 2, 3)))


def _is_binary(data: bytes) -> bool:
    return len(data) >= _HEAD and len(data) == _HEAD + _FACET * struct.unpack_from("<I", data, _HEAD - 4)[0]


def stl_notes(data: bytes) -> list[str]:
    """Notes on colours that are not read."""
    return ["its colours are not read: grey is taken"] if b"COLOR=" in data[:80] else []
