"""Image files without their metadata: Pillow refuses a PNG or JPEG for damage there, too."""

from __future__ import annotations

from collections.abc import Collection, Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_START_OF_SCAN, _APPLICATION, _COMMENT = 0xDA, range(0xE0, 0xF0), 0xFE
_EXIF, _ICC, _ADOBE = 0xE1, 0xE2, 0xEE


def without_asides(data: bytes) -> Iterator[bytes]:
    """Versions of a PNG or JPEG with less metadata: first only what changes how it looks, then that without the colour profile, the
    gamma or both, last only the transparency (PNG) or orientation (JPEG). None for other formats, and none that equals the one before."""
    last = data
    for bare in _with_less_metadata(data):
        if bare != last:
            yield bare
        last = bare


def _with_less_metadata(data: bytes) -> Iterator[bytes]:
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
    """The name of each chunk of a PNG, and the chunk with its length, name and checksum."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at:end]
        at = end


def _png_of(data: bytes, kept: Collection[bytes]) -> bytes:
    """A PNG with its critical chunks, and, of the others, those that are `kept`."""
    return b"".join([_PNG, *(chunk for name, chunk in png_chunks(data) if name[:1].isupper() or name in kept)])


def _jpeg_of(data: bytes, kept: Collection[int]) -> bytes:
    """A JPEG without its comments and its applications' segments, except those that are `kept`."""
    at, segments = len(_JPEG), [_JPEG]
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        marker = data[at + 1]
        if marker in kept or (marker not in _APPLICATION and marker != _COMMENT):
            segments.append(data[at:end])
        at = end
    return b"".join([*segments, data[at:]])
