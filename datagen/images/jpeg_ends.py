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
_MOST_WORK = 25_000_000  # the pixels of all scans together, and twice the bytes, which take as long: some 0.4 s each time
_TAILS = np.random.default_rng(0).integers(0, 255, (16, 4096), np.uint8)  # never 255, and so without a marker
_TAILS[:, 0] = 16 * np.arange(16) + 7  # so that the first bits are all that there may be
"""Data that might have followed."""


def decode_without_end(data: bytes, decode: Callable[[bytes], np.ndarray]) -> np.ndarray | None:
    """The pixels of a JPEG without its end, if they are all there; None if some of them are missing, or it is no such file.

    All are there if every scan has begun, and whatever might have followed would change none of them. Of one whose scans restart
    nothing can be known: there, what follows may be passed over; and of a very large one it would take too long to know. What might have
    followed is looked at in the JPEG's own colours, which cost less than `decode`'s.
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
    """Whether there are, without any that restarts, the scans that give each coefficient of each component to its last bit."""
    missing: set[tuple[int, int]] = set()
    begun = False
    at = len(_START)
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == _RESTARTING:
            return False
        if marker in (0, 0xFF):  # within a scan, or filling
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
