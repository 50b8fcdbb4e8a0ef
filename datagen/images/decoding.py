"""Image files decoded in this process. `datagen.images.encoding.decode_image` is how others read an image."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import MARKER

from datagen.errors import ImageError
from datagen.images.asides import png_chunks, without_asides
from datagen.images.jpeg_ends import decode_without_end
from datagen.images.limits import allowance, check_size, max_pixels, pillows_count, refusal
from datagen.images.rgb import PixelsError, as_rgb

PLAIN = ("PNG", "JPEG", "WEBP")
"""The formats that data sets are made of."""
FORMATS = (*PLAIN, "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")
"""All that are read. None of them runs other programs."""
_MOST_PARTS = 10_000  # chunks or segments, which Pillow reads one by one
_MOST_PLAIN_SCANS = 20  # of a JPEG, which each go over all of its pixels; usual are about ten
_MOST_SCANS = 100
_MOST_TRIED = 100_000_000  # pixels of all tries together, where damage is to be passed over

_CUT = "image file is truncated"  # what Pillow says of pixels, before which all else was read
_START_OF_SCAN = b"\xff\xda"  # JPEG's, which its coded data cannot hold
_START_OF_DATA, _END_OF_CODESTREAM = b"\xff\x93", b"\xff\xd9"  # JPEG 2000's, which neither


def is_plain(data: bytes) -> bool:
    """Whether a file is of a format of `PLAIN`, and of so few parts that what decoding it takes is known by its pixels."""
    if data.startswith(b"\x89PNG"):
        return _are_few(png_chunks(data))
    if data.startswith(b"\xff\xd8"):
        return data.count(_START_OF_SCAN) <= _MOST_PLAIN_SCANS and _are_few(_jpeg_segments(data))
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def _are_few(parts: Iterable[object]) -> bool:
    return sum(1 for _ in islice(parts, _MOST_PARTS + 1)) <= _MOST_PARTS


def _jpeg_segments(data: bytes) -> Iterator[int]:
    """Where Pillow looks for a segment before the first scan: at every byte between them, too."""
    at = 2
    while at + 2 <= len(data) and data[at : at + 2] != _START_OF_SCAN:
        yield at
        marker = int.from_bytes(data[at : at + 2])
        _, _, has_length = MARKER.get(marker, ("", "", None))
        if has_length:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
        else:
            at += 1 if marker == 0xFFFF or data[at] != 0xFF else 2


def decode(data: bytes, formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """An image as `datagen.images.encoding.decode_image` gives it. `ImageError` says why it cannot be read, and begins with no name."""
    tries = _Tries(formats)
    try:
        return tries.decoded(data)
    except ImageError:
        raise
    except PixelsError as error:
        raise ImageError(f"not a readable image ({error})") from None
    except Exception as error:  # Pillow's decoders raise what they like at bytes from anywhere
        reason = _reason(error)  # the error itself would hold on to the pixels of the first try
    for bare in () if reason.startswith(_CUT) else without_asides(data):
        with contextlib.suppress(Exception):
            return tries.decoded(bare)
    with contextlib.suppress(Exception):
        if (pixels := decode_without_end(data, tries.decoded)) is not None:
            return pixels
    raise ImageError(f"not a readable image ({reason})")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image format that is known, or a rare kind of one"
    return str(error) or type(error).__name__


class _Tries:
    """One file decoded in ever more forgiving ways, as long as all that takes no more than `_MOST_TRIED` allows."""

    def __init__(self, formats: tuple[str, ...]) -> None:
        self._formats, self._pixels_left = formats, _MOST_TRIED * allowance()

    def decoded(self, data: bytes) -> np.ndarray:
        """Of one of these ways, the pixels. Any exception if it is not the right one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, which does not matter here; size has its own bound
            with _opened(data, self._formats) as image:
                check_size(*image.size)
                self._pixels_left -= image.width * image.height
                if self._pixels_left < 0:
                    raise ValueError("it is too large to be tried so often")
                shown = _loaded(image, data)
        return np.array(shown)  # once the decoder has given its memory back


def _loaded(image: Image.Image, data: bytes) -> Image.Image:
    if image.format in ("JPEG", "MPO") and data.count(_START_OF_SCAN) > _MOST_SCANS:
        raise ValueError(f"it has more than {_MOST_SCANS} scans")
    if image.format == "JPEG2000" and _END_OF_CODESTREAM not in data[data.rfind(_START_OF_DATA) :]:
        raise ValueError("it is cut short")  # which its decoder fills with black
    return as_rgb(image, data)


def _opened(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    """The image, not yet decoded, of however many pixels."""
    pillows = Image.MAX_IMAGE_PIXELS
    if pillows is not None and max_pixels() > pillows:
        Image.MAX_IMAGE_PIXELS = max_pixels()
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:
        raise ImageError(refusal(pillows_count(str(error)))) from None
