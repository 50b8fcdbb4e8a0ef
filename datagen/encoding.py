"""Images as files: encoded so that equal pixels give equal bytes, and decoded from whatever anybody may have saved."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
import zlib
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from datagen.asides import without_asides
from datagen.errors import ImageError
from datagen.jpeg_ends import decode_without_end
from datagen.rgb import as_rgb

IMAGE_SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp"}
"""The suffix of an image's file by the name of its format."""
_ENCODINGS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_level": 6, "compress_type": zlib.Z_RLE},  # a quarter of the time for 3 % more bytes
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "quality": 95, "method": 4},
}
_READ = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")  # no format that runs other programs
_MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # as Pillow has it

_START_OF_DATA, _END_OF_CODESTREAM = b"\xff\x93", b"\xff\xd9"  # JPEG 2000's, which its coded data cannot hold


def encode_image(pixels: np.ndarray, image_format: str = "png") -> bytes:
    """(height, width, 3) uint8 as a png, jpg or webp without any metadata, so that equal pixels give equal bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, **_ENCODINGS[image_format])
    return stream.getvalue()


def decode_image(data: bytes, where: str) -> np.ndarray:
    """An encoded image of any mode as (height, width, 3) uint8, as it looks (`datagen.rgb`); the first frame of several.

    Damage to what is said beside the pixels does not matter. `ImageError` naming `where` if it cannot be read, or if nothing says which of
    its numbers are black and white.
    """
    try:
        return _decoded(data)
    except Exception as error:  # Pillow's decoders raise what they like at bytes from anywhere
        for bare in without_asides(data):
            with contextlib.suppress(Exception):
                return _decoded(bare)
        with contextlib.suppress(Exception):
            if (pixels := decode_without_end(data, _decoded)) is not None:
                return pixels
        raise ImageError(f"{where}: not a readable image ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image format that is known, or a rare kind of one"
    if isinstance(error, Image.DecompressionBombError) and (pixels := re.search(r"\d+", str(error))):
        return f"it has {int(pixels[0]):,} pixels, and at most {_MOST_PIXELS:,} are read; make it smaller"
    return str(error) or type(error).__name__


def _decoded(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of size: Pillow refuses what is dangerous; of metadata: they do not matter here
        with Image.open(io.BytesIO(data), formats=_READ) as image:
            if image.format == "JPEG2000" and _END_OF_CODESTREAM not in data[data.rfind(_START_OF_DATA) :]:
                raise ValueError("it is cut short")  # which its decoder fills with black
            return np.array(as_rgb(image, data))
