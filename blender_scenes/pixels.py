"""The pixels of Blender's images. Importing this imports bpy."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from datagen.assets.limits import MOST_PIXELS
from datagen.images.size import more_pixels

_UNREADABLE = "cannot be read"
_MOST_SIDE = 1024  # pixels along each side; larger images are scaled down


class NoPixels(Exception):
    """An image without usable pixels; the message is a predicate such as "cannot be read"."""


def linear_pixels(image: bpy.types.Image) -> np.ndarray:
    """The pixels (height, width, 4) as linear light and opacity, the lowest row first, at most `_MOST_SIDE` along each side. `NoPixels`
    if they cannot be read or are more than `MOST_PIXELS`."""
    if image.source not in ("FILE", "GENERATED"):
        raise NoPixels(_UNREADABLE)
    if stated := _too_many(image):
        raise NoPixels(f"has {stated}, more than {MOST_PIXELS:,}")
    small = image.copy()
    try:
        wide, high = image.size
        if max(wide, high) > _MOST_SIDE:
            small.scale(min(wide, _MOST_SIDE), min(high, _MOST_SIDE))
        wide, high = small.size
        pixels = np.empty(wide * high * small.channels, np.float32)
        small.pixels.foreach_get(pixels)
    except RuntimeError:
        raise NoPixels(_UNREADABLE) from None
    finally:
        bpy.data.images.remove(small)
    if not pixels.size or not image.has_data:
        raise NoPixels(_UNREADABLE)
    image.buffers_free()  # a model may have many images
    return _linear(pixels.reshape(high, wide, -1), encoded=image.colorspace_settings.name == "sRGB" and not image.is_float)


def _too_many(image: bpy.types.Image) -> str | None:
    """The size of an image with too many pixels, in words, else None; found without Blender, which would decode the image."""
    if image.source == "GENERATED":
        wide, high = image.generated_width, image.generated_height
        return f"{wide:,}x{high:,} pixels" if wide * high > MOST_PIXELS else None
    if image.packed_file:
        return more_pixels(image.packed_file.data, MOST_PIXELS)
    try:
        return more_pixels(Path(bpy.path.abspath(image.filepath, library=image.library)).read_bytes(), MOST_PIXELS)
    except (OSError, ValueError):
        return None


def _linear(pixels: np.ndarray, encoded: bool) -> np.ndarray:
    """Pixels of any number of channels as linear red, green and blue, and their opacity: 1 where none is stated."""
    levels = pixels[..., :3] if pixels.shape[2] > 2 else np.repeat(pixels[..., :1], 3, axis=2)
    opacity = pixels[..., -1:] if pixels.shape[2] in (2, 4) else np.ones_like(pixels[..., :1])
    if encoded:
        levels = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return np.concatenate([levels, opacity], axis=2)
