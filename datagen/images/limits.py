"""Limits on the size of images that are read: a file of a few bytes can declare any number of pixels, and each of them takes memory."""

from __future__ import annotations

import os
import re

from datagen.errors import ImageError

MAX_PIXELS = 40_000_000
"""The limit on an image's pixels unless `allow_pixels` is called: a gigabyte, as some formats take 25 bytes a pixel to decode."""
MAX_SIDE = 65_500
"""The limit on an image's width and height in pixels, which is JPEG's own. Each row takes additional memory, so that very narrow images
take several times as much as others."""
_ALLOWED = "IGLLM_MAX_PIXELS"  # in the environment, for the processes that read images for this one
_BYTES_PER_PIXEL = 8  # of a file: four channels of 16 bits, not compressed
_INSTEAD = "make it smaller, or allow more with --max-pixels"


def allow_pixels(most: int) -> None:
    """Allow images of up to so many pixels, in this process and those that it starts."""
    os.environ[_ALLOWED] = str(most)


def max_pixels() -> int:
    """The greatest number of pixels of an image that is read."""
    allowed = os.environ.get(_ALLOWED, "")
    return int(allowed) if allowed.isdecimal() else MAX_PIXELS


def allowed_pixels() -> dict[str, str]:
    """What `allow_pixels` has put into the environment, for processes on other machines."""
    return {_ALLOWED: os.environ[_ALLOWED]} if _ALLOWED in os.environ else {}


def allowance() -> float:
    """The factor by which the limits on an image are raised: the allowed pixels over `MAX_PIXELS`, at least 1."""
    return max(1.0, max_pixels() / MAX_PIXELS)


def check_size(width: int, height: int) -> None:
    """`ImageError` for an image that is too large to be read."""
    if width * height > max_pixels():
        raise ImageError(refusal(f"{width:,}x{height:,} pixels"))
    if max(width, height) > (most := int(MAX_SIDE * allowance())):
        raise ImageError(f"has {width:,}x{height:,} pixels, and at most {most:,} along a side are read; {_INSTEAD}")


def max_image_bytes() -> int:
    """The greatest number of bytes of an image file that is read."""
    return max(2**20, _BYTES_PER_PIXEL * max_pixels())


def refusal(stated: str) -> str:
    """The message for an image that is too large; ``stated`` is its declared size, such as "12,000x12,000 pixels"."""
    return f"has {stated}, and at most {max_pixels():,} pixels are read; {_INSTEAD}"


def pixels_in_pillow_error(message: str) -> str:
    """The number of pixels in Pillow's error "Image size (123 pixels) exceeds limit ...", as text."""
    found = re.search(r"\d+", message)
    return f"{int(found[0]):,} pixels" if found else "too many pixels"
