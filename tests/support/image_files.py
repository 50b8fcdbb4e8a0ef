"""Images as files of any format, and PNGs put together chunk by chunk."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """An image as a file, made by Pillow with these options."""
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(rows: bytes, width: int, height: int, depth: int = 8, color: int = 2, **chunks: bytes) -> bytes:
    """A PNG of rows that each begin with a 0, with these chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    asides = b"".join(png_chunk(name.encode(), content) for name, content in chunks.items())
    ends = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + asides + ends
