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
from datagen.image_limits import max_image_bytes, max_pixels, pillows_count, refusal
from datagen.jpeg_ends import decode_without_end
from datagen.rgb import as_rgb

IMAGE_SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp"}
"""The suffix of an image's file by the name of its format."""
_ENCODINGS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_level": 6, "compress_type": zlib.Z_RLE},  # a quarter of the time for 3 % more bytes
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "quality": 95, "method": 4},
}
_BEGINNINGS = {".png": rb"\x89PNG\r\n\x1a\n", ".jpg": rb"\xff\xd8\xff", ".webp": rb"RIFF....WEBP"}
_READ = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")  # no format that runs other programs
_MOST_SCANS = 100  # of a JPEG, which each go over all of its pixels; usual are about ten

_START_OF_SCAN = b"\xff\xda"  # JPEG's, which its coded data cannot hold
_START_OF_DATA, _END_OF_CODESTREAM = b"\xff\x93", b"\xff\xd9"  # JPEG 2000's, which neither


def encode_image(pixels: np.ndarray, image_format: str = "png") -> bytes:
    """(height, width, 3) uint8 as a png, jpg or webp without any metadata, so that equal pixels give equal bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, **_ENCODINGS[image_format])
    return stream.getvalue()


def is_encoded_as(suffix: str, data: bytes) -> bool:
    """Whether an image's file begins as those of one of `IMAGE_SUFFIXES` do, so that readers which go by its name can read it."""
    return re.match(_BEGINNINGS[suffix], data, re.DOTALL) is not None


def decode_image(data: bytes, where: str) -> np.ndarray:
    """An encoded image of any mode as (height, width, 3) uint8, as it looks (`datagen.rgb`); the first frame of several.

    Damage to what is said beside the pixels does not matter. `ImageError` naming `where` if it cannot be read, if it has more pixels than
    `max_pixels`, or if nothing says which of its numbers are black and white.
    """
    try:
        return _decoded(data)
    except _TooLarge as error:
        raise ImageError(f"{where}: {error}") from None
    except Exception as error:  # Pillow's decoders raise what they like at bytes from anywhere
        reason = _reason(error)  # the error itself would hold on to the pixels of the first try
    for bare in without_asides(data):
        with contextlib.suppress(Exception):
            return _decoded(bare)
    with contextlib.suppress(Exception):
        if (pixels := decode_without_end(data, _decoded)) is not None:
            return pixels
    raise ImageError(f"{where}: not a readable image ({reason})")


class _TooLarge(Exception):
    """More pixels than are read, in words."""


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image format that is known, or a rare kind of one"
    return str(error) or type(error).__name__


def _decoded(data: bytes) -> np.ndarray:
    if len(data) > max_image_bytes():
        raise _TooLarge(refusal(f"{len(data):,} bytes"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata, which does not matter here; size has its own bound
        with _opened(data) as image:
            if image.width * image.height > max_pixels():
                raise _TooLarge(refusal(f"{image.width:,}x{image.height:,} pixels"))
            if image.format in ("JPEG", "MPO") and data.count(_START_OF_SCAN) > _MOST_SCANS:
                raise ValueError(f"it has more than {_MOST_SCANS} scans")
            if image.format == "JPEG2000" and _END_OF_CODESTREAM not in data[data.rfind(_START_OF_DATA) :]:
                raise ValueError("it is cut short")  # which its decoder fills with black
            shown = as_rgb(image, data)
    return np.array(shown)  # once the decoder has given its memory back


def _opened(data: bytes) -> Image.Image:
    """The image, not yet decoded, of however many pixels."""
    pillows = Image.MAX_IMAGE_PIXELS
    if pillows is not None and max_pixels() > pillows:
        Image.MAX_IMAGE_PIXELS = max_pixels()
    try:
        return Image.open(io.BytesIO(data), formats=_READ)
    except Image.DecompressionBombError as error:
        raise _TooLarge(refusal(pillows_count(str(error)))) from None
