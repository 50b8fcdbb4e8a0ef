"""JPEG files that lack nothing but their last two bytes, the marker of their end: some cameras and downloads leave it out."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
_START_OF_SCAN, _RESTARTING = 0xDA, 0xDD
_COEFFICIENTS = range(64)
_MOST_WORK = 25_000_000  # pixels of all scans and twice the bytes, which take as long: some 0.4 s a decoding
_TAILS = np.random.default_rng(0).integers(0, 255, (16, 4096), np.uint8)  # never 255, and so without a marker
_TAILS[:, 0] = 16 * np.arange(16) + 7  # so that the first four bits take every value
"""Data that might have followed the end of a file."""


def decode_without_end(data: bytes, decode: Callable[[bytes], np.ndarray]) -> np.ndarray | None:
    """The pixels of a JPEG without its end marker, if they are complete; None if some of them are missing, or it is no such file.

    They are complete if every scan has begun, and none of `_TAILS`, appended to the file, changes them. The result is also None for a JPEG
    with restart markers, after which a decoder may skip data, and for one of more than `_MOST_WORK`. The comparison is in the JPEG's own
    colours, which take less time than `decode`.
    """
    data = data.removesuffix(b"\xff")
    if not data.startswith(_START) or data.endswith(_END) or not _has_every_scan(data):
        return None
    with _opened(data) as image:
        scans = data.count(bytes([0xFF, _START_OF_SCAN]))
        if image.width * image.height * scans + 2 * len(data) > _MOST_WORK:
            return None
    own = _own_pixels(data + _END)
    if any(ImageChops.difference(_own_pixels(data + tail.tobytes() + _END), own).getbbox(alpha_only=False) for tail in _TAILS):
        return None
    return decode(data + _END)


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=["JPEG"])


def _own_pixels(data: bytes) -> Image.Image:
    with _opened(data) as image:
        image.load()
        return image


def _has_every_scan(data: bytes) -> bool:
    """Whether the scans give each coefficient of each component to its last bit, and there are no restart markers."""
    missing: set[tuple[int, int]] = set()
    begun = False
    at = len(_START)
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == _RESTARTING:
            return False
        if marker in (0, 0xFF):  # 0: a byte of a scan's data; 0xFF: filling
            at += 1 if marker == 0xFF else 2
            continue
        segment = data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4])]
        if marker in _FRAMES:
            missing = {(component, place) for component in segment[6::3] for place in _COEFFICIENTS}
        elif marker == _START_OF_SCAN:
            begun = True
            count = segment[0]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
            if bits % 16 == 0:
                missing -= {(component, place) for component in segment[1 : 1 + 2 * count : 2] for place in range(first, last + 1)}
        at += 4 + len(segment)
    return begun and not missing
