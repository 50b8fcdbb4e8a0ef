"""Images as files: encoded so that equal pixels give equal bytes, and decoded from any file that anybody may have saved."""

from __future__ import annotations

import io
import re
import zlib
from typing import Any

import numpy as np
from PIL import Image

from datagen.errors import ImageError
from datagen.images.decoder import decode_apart
from datagen.images.decoding import PLAIN, decode, is_plain
from datagen.images.limits import max_image_bytes, refusal

IMAGE_SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp"}
"""The suffix of an image's file by the name of its format."""
_ENCODINGS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_level": 6, "compress_type": zlib.Z_RLE},  # a quarter of the time for 3 % more bytes
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "quality": 95, "method": 4},
}
_BEGINNINGS = {".png": rb"\x89PNG\r\n\x1a\n", ".jpg": rb"\xff\xd8\xff", ".webp": rb"RIFF....WEBP"}


def encode_image(pixels: np.ndarray, image_format: str = "png") -> bytes:
    """(height, width, 3) uint8 as a png, jpg or webp without any metadata, so that equal pixels give equal bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, **_ENCODINGS[image_format])
    return stream.getvalue()


def is_encoded_as(suffix: str, data: bytes) -> bool:
    """Whether a file begins as images with this suffix, one of `IMAGE_SUFFIXES`, do, so that readers that go by the suffix can read it."""
    return re.match(_BEGINNINGS[suffix], data, re.DOTALL) is not None


def decode_image(data: bytes, where: str) -> np.ndarray:
    """An encoded image of any mode as (height, width, 3) uint8, as displayed (`datagen.images.rgb`); the first frame of several.

    Damaged metadata is ignored. `ImageError` naming `where` if the image cannot be read, if it is too large (`datagen.images.limits`), or
    if the file does not define which of its numbers are black and white.

    PNG, JPEG and WebP are decoded in this process. A few bytes in another format, or in very many parts, can take hours and all memory:
    such files are decoded in a separate process, which limits both (`datagen.images.decoder`).
    """
    try:
        if len(data) > max_image_bytes():
            raise ImageError(refusal(f"{len(data):,} bytes"))
        return decode(data, PLAIN) if is_plain(data) else decode_apart(data)
    except ImageError as error:
        raise ImageError(f"{where}: {error}") from None
