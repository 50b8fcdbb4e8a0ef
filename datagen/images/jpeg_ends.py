"""JPEG files that lack nothing but their last two bytes, the marker of their end: some cameras and downloads leave it out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
_START_OF_SCAN, _RESTARTING = 0xDA, 0xDD
_COEFFICIENTS = range(64)
_MOST_PIXELS = 50_000_000  # of all scans together
_TAILS = np.random.default_rng(0).integers(0, 255, (16, 4096), np.uint8)  # never 255, and so without a marker
_TAILS[:, 0] = 16 * np.arange(16) + 7  # so that the first bits are all that there may be
"""Data that might have followed."""


def decode_without_end(data: bytes, decode: Callable[[bytes], np.ndarray]) -> np.ndarray | None:
    """The pixels of a JPEG without its end, if they are all there; None if some of them are missing, or it is no such file.

    All are there if every scan has begun, and whatever might have followed would change none of them. Of one whose scans restart
    nothing can be known: there, what follows may be passed over; and of a very large one it would take too long to know.
    """
    data = data.removesuffix(b"\xff")
    if not data.startswith(_START) or data.endswith(_END) or not _has_every_scan(data):
        return None
    pixels = decode(data + _END)
    if pixels.size * data.count(bytes([0xFF, _START_OF_SCAN])) > 3 * _MOST_PIXELS:
        return None
    return pixels if all(np.array_equal(decode(data + tail.tobytes() + _END), pixels) for tail in _TAILS) else None


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
