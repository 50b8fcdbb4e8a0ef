"""Image files without what they say beside the pixels: Pillow refuses a PNG or JPEG for damage there, too."""

from __future__ import annotations

from collections.abc import Collection, Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_START_OF_SCAN, _APPLICATION, _COMMENT = 0xDA, range(0xE0, 0xF0), 0xFE
_EXIF, _ICC, _ADOBE = 0xE1, 0xE2, 0xEE


def without_asides(data: bytes) -> Iterator[bytes]:
    """A PNG or JPEG with ever less of what is no part of its pixels: all that changes how it looks; no colour profile or gamma; no more
    than its transparency (PNG), or its orientation (JPEG). Nothing for files of other formats, and none that is as the one before."""
    last = data
    for bare in _ever_barer(data):
        if bare != last:
            yield bare
        last = bare


def _ever_barer(data: bytes) -> Iterator[bytes]:
    if data.startswith(_PNG):
        gamma = (b"gAMA", b"sRGB", b"cICP")
        for chunks in (
            (b"tRNS", b"eXIf", b"iCCP", *gamma),
            (b"tRNS", b"eXIf", *gamma),
            (b"tRNS", b"eXIf", b"iCCP"),
            (b"tRNS", b"eXIf"),
            (b"tRNS",),
        ):
            yield _png_of(data, chunks)
    elif data.startswith(_JPEG):
        for segments in ((_EXIF, _ICC, _ADOBE), (_EXIF, _ADOBE), (_EXIF,)):
            yield _jpeg_of(data, segments)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The names and the chunks, with their lengths, names and checksums, of a PNG."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at:end]
        at = end


def _png_of(data: bytes, kept: Collection[bytes]) -> bytes:
    """The chunks that a PNG cannot be shown without, and of the others these."""
    return b"".join([_PNG, *(chunk for name, chunk in png_chunks(data) if name[:1].isupper() or name in kept)])


def _jpeg_of(data: bytes, kept: Collection[int]) -> bytes:
    """A JPEG's segments but comments and those of applications, of which these are kept."""
    at, segments = len(_JPEG), [_JPEG]
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        marker = data[at + 1]
        if marker in kept or (marker not in _APPLICATION and marker != _COMMENT):
            segments.append(data[at:end])
        at = end
    return b"".join([*segments, data[at:]])
