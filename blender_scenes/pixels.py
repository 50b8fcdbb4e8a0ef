"""The pixels of Blender's images. Importing this imports bpy."""

from __future__ import annotations

import bpy
import numpy as np

_MOST_PIXELS = 1024  # along each side; larger images are made smaller


def linear_pixels(image: bpy.types.Image) -> np.ndarray | None:
    """The pixels (height, width, 4) as linear light and opacity, the lowest row first; None if they cannot be read."""
    if image.source not in ("FILE", "GENERATED"):
        return None
    small = image.copy()
    try:
        wide, high = image.size
        if max(wide, high) > _MOST_PIXELS:
            small.scale(min(wide, _MOST_PIXELS), min(high, _MOST_PIXELS))
        wide, high = small.size
        pixels = np.empty(wide * high * small.channels, np.float32)
        small.pixels.foreach_get(pixels)
    except RuntimeError:
        return None
    finally:
        bpy.data.images.remove(small)
    if not pixels.size or not image.has_data:
        return None
    return _linear(pixels.reshape(high, wide, -1), encoded=image.colorspace_settings.name == "sRGB" and not image.is_float)


def _linear(pixels: np.ndarray, encoded: bool) -> np.ndarray:
    """Pixels of any number of channels as linear red, green and blue, and their opacity: 1 where none is stated."""
    levels = pixels[..., :3] if pixels.shape[2] > 2 else np.repeat(pixels[..., :1], 3, axis=2)
    opacity = pixels[..., -1:] if pixels.shape[2] in (2, 4) else np.ones_like(pixels[..., :1])
    if encoded:
        levels = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return np.concatenate([levels, opacity], axis=2)
