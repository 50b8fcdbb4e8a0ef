"""Images as files: encoded so that equal pixels give equal bytes, and decoded from whatever anybody may have saved."""

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
    """Whether an image's file begins as those of one of `IMAGE_SUFFIXES` do, so that readers which go by its name can read it."""
    return re.match(_BEGINNINGS[suffix], data, re.DOTALL) is not None


def decode_image(data: bytes, where: str) -> np.ndarray:
    """An encoded image of any mode as (height, width, 3) uint8, as it looks (`datagen.images.rgb`); the first frame of several.

    Damage to what is said beside the pixels does not matter. `ImageError` naming `where` if it cannot be read, if it has more pixels than
    `max_pixels`, or if nothing says which of its numbers are black and white.

    PNG, JPEG and WebP are decoded here. In other formats, and in files of very many parts, a few bytes can ask for hours and for all the
    memory there is: they are decoded in a process of its own, with an end to both (`datagen.images.decoder`).
    """
    try:
        if len(data) > max_image_bytes():
            raise ImageError(refusal(f"{len(data):,} bytes"))
        return decode(data, PLAIN) if is_plain(data) else decode_apart(data)
    except ImageError as error:
        raise ImageError(f"{where}: {error}") from None
