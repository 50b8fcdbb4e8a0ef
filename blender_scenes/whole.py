"""Whether the files that Blender writes are whole: where the disk is full, it passes over what it could not write."""

from __future__ import annotations

from pathlib import Path

from datagen.errors import UserError

_SEEKABLE_END = 0x8F92EAB1.to_bytes(4, "little")
"""The last bytes of a file in Zstandard's seekable format, in which Blender writes compressed .blend files."""


def check_whole(path: Path) -> None:
    """`UserError` if a compressed .blend or an MP4 file, told from its first bytes, was written in part."""
    data = path.read_bytes()
    if not (_is_whole_mp4(data) if data[4:8] == b"ftyp" else data.endswith(_SEEKABLE_END)):
        raise UserError("Blender could write only a part of it: is the disk full?")


def _is_whole_mp4(data: bytes) -> bool:
    """Whether it consists of whole boxes, of which one is the table of contents (ISO/IEC 14496-12, section 4.2)."""
    at, names = 0, []
    while at + 16 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else max(size, 8)
    return at in (len(data), len(data) - 8) and b"moov" in names
