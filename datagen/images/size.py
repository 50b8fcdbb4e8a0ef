"""The size of an image that its file declares, without decoding it: for use before readers that have no limit of their own."""

from __future__ import annotations

import io
import re
import struct
import warnings

from PIL import Image

from datagen.images.limits import pixels_in_pillow_error

_HEADERS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "SGI", "DDS", "PSD")
_OPENEXR = b"\x76\x2f\x31\x01"
_DATA_WINDOW = b"dataWindow\0box2i\0\x10\0\0\0"  # of OpenEXR; least x and y, then greatest x and y follow, 32 bits each
_RADIANCE = re.compile(rb"[-+]Y (\d{1,9}) [-+]X (\d{1,9})\n")


def more_pixels(data: bytes, most: int) -> str | None:
    """The declared size of an encoded image, as text, if it has more than `most` pixels; None if not, or if its format is not known."""
    try:
        size = _stated(data)
    except Image.DecompressionBombError as error:
        return pixels_in_pillow_error(str(error))
    except Exception:  # Pillow raises any error for damaged files
        return None
    return f"{size[0]:,}x{size[1]:,} pixels" if size is not None and size[0] * size[1] > most else None


def _stated(data: bytes) -> tuple[int, int] | None:
    """The declared width and height."""
    if data.startswith(_OPENEXR):
        left, top, right, bottom = struct.unpack_from("<4i", data, data.index(_DATA_WINDOW) + len(_DATA_WINDOW))
        return max(0, right - left + 1), max(0, bottom - top + 1)
    if data.startswith(b"#?") and (found := _RADIANCE.search(data)):
        return int(found[2]), int(found[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=_HEADERS) as image:
            return image.size
