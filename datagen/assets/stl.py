"""``.stl`` files as Blender reads them rightly."""

from __future__ import annotations

from datagen.assets.far import near_lines


def stl_read(data: bytes) -> bytes:
    """The file, moved to the origin if it is far away and written as text; one in binary has lost those digits already.

    `RefusedError` for vertices that are no finite numbers, of which Blender would make zeros.
    """
    if not data.lstrip().startswith(b"solid") or b"facet" not in data[:2000]:
        return data
    lines = data.split(b"\n")
    return b"\n".join(near_lines(lines, [i for i, line in enumerate(lines) if line.split(None, 1)[:1] == [b"vertex"]], 1, (1, 2, 3)))


def stl_notes(data: bytes) -> list[str]:
    """What of its colours is not read."""
    return ["its colours are not read: grey is taken"] if b"COLOR=" in data[:80] else []
