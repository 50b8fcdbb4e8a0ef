"""Image files decoded in this process. Other packages read images by `datagen.images.encoding.decode_image`."""

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
from datagen.images.limits import allowance, check_size, max_pixels, pixels_in_pillow_error, refusal
from datagen.images.rgb import PixelsError, as_rgb

PLAIN = ("PNG", "JPEG", "WEBP")
"""The formats of images in data sets."""
FORMATS = (*PLAIN, "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")
"""All formats that are read. Decoding none of them runs another program."""
_MOST_PARTS = 10_000  # chunks or segments, which Pillow reads one by one
_MOST_PLAIN_SCANS = 20  # of a JPEG, each of which covers all of its pixels; about ten are usual
_MOST_SCANS = 100
_MOST_TRIED = 100_000_000  # pixels of all attempts at a damaged file together

_CUT = "image file is truncated"  # Pillow's error for pixels, which it reads after all else
_START_OF_SCAN = b"\xff\xda"  # JPEG's marker, which its coded data cannot contain
_START_OF_DATA, _END_OF_CODESTREAM = b"\xff\x93", b"\xff\xd9"  # JPEG 2000's markers, which its coded data cannot contain


def is_plain(data: bytes) -> bool:
    """Whether a file is of a format of `PLAIN`, and of so few parts that its number of pixels bounds the cost of decoding."""
    if data.startswith(b"\x89PNG"):
        return _are_few(png_chunks(data))
    if data.startswith(b"\xff\xd8"):
        return data.count(_START_OF_SCAN) <= _MOST_PLAIN_SCANS and _are_few(_jpeg_segments(data))
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def _are_few(parts: Iterable[object]) -> bool:
    return sum(1 for _ in islice(parts, _MOST_PARTS + 1)) <= _MOST_PARTS


def _jpeg_segments(data: bytes) -> Iterator[int]:
    """The offsets at which Pillow looks for a segment before the first scan: every byte between segments, too."""
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
    """An image as `datagen.images.encoding.decode_image` returns it. `ImageError` with the reason, and no name, if it cannot be read."""
    tries = _Tries(formats)
    try:
        return tries.decoded(data)
    except ImageError:
        raise
    except PixelsError as error:
        raise ImageError(f"not a readable image ({error})") from None
    except Exception as error:  # Pillow's decoders raise any error for damaged files
        reason = _reason(error)  # the error itself would keep the pixels of the first attempt in memory
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
    """Attempts at decoding one file, as it is and with parts left out, of no more than `_MOST_TRIED` pixels in all."""

    def __init__(self, formats: tuple[str, ...]) -> None:
        self._formats, self._pixels_left = formats, _MOST_TRIED * allowance()

    def decoded(self, data: bytes) -> np.ndarray:
        """The pixels from one attempt. Raises any exception if it fails."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, which does not matter here; the size is checked below
            with _opened(data, self._formats) as image:
                check_size(*image.size)
                self._pixels_left -= image.width * image.height
                if self._pixels_left < 0:
                    raise ValueError("it is too large to be tried so often")
                shown = _loaded(image, data)
        return np.array(shown)  # copied once the decoder has freed its memory


def _loaded(image: Image.Image, data: bytes) -> Image.Image:
    if image.format in ("JPEG", "MPO") and data.count(_START_OF_SCAN) > _MOST_SCANS:
        raise ValueError(f"it has more than {_MOST_SCANS} scans")
    if image.format == "JPEG2000" and _END_OF_CODESTREAM not in data[data.rfind(_START_OF_DATA) :]:
        raise ValueError("it is cut short")  # the decoder would fill the rest with black
    return as_rgb(image, data)


def _opened(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    """The image, not yet decoded. `ImageError` if Pillow refuses its size, of which more than Pillow's own limit may be allowed."""
    pillows = Image.MAX_IMAGE_PIXELS
    if pillows is not None and max_pixels() > pillows:
        Image.MAX_IMAGE_PIXELS = max_pixels()
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:
        raise ImageError(refusal(pixels_in_pillow_error(str(error)))) from None
