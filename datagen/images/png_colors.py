"""What Pillow ignores of a PNG's colours: the gamma, and the transparent colour of 16-bit RGB and of 2-bit and 4-bit grey."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, PngImagePlugin

from datagen.images.asides import png_chunks

_SRGB_GAMMA = 0.45455
_PIXELS_AT_ONCE = 500_000
_STEPS = {"L;2": 85, "L;4": 17}
"""The 8-bit size of a step of grey of few bits, by Pillow's raw mode."""


def load_png(image: PngImagePlugin.PngImageFile, raw_mode: str, data: bytes) -> Image.Image:
    """The pixels of a PNG that was opened from `data`: as Pillow decodes them, or, if it has a gamma or a transparent 16-bit colour, as
    sRGB in mode RGB or RGBA. Corrects the transparent shade of few-bit grey; leaves the gamma of 16-bit grey to `grey_gamma`."""
    image.load()
    gamma = _gamma(data)
    clear = image.info.get("transparency")
    if raw_mode in ("RGB;16B", "RGBA;16B") and (gamma or clear):
        return _from_deep(image, _low_bytes(data, raw_mode), gamma)
    if raw_mode in _STEPS and isinstance(clear, int):
        image.info["transparency"] = clear * _STEPS[raw_mode]
    if not gamma or image.mode == "I;16":
        return image
    shown = image.convert("RGBA" if image.has_transparency_data else "RGB")
    table = [int(value) for value in np.round(255 * as_srgb(np.arange(256) / 255, gamma))]
    return shown.point(table * 3 + [*range(256)] * (shown.mode == "RGBA"))


def grey_gamma(image: Image.Image, data: bytes) -> float | None:
    """The gamma of a PNG of 16-bit grey; None if it is about that of sRGB, or for other formats."""
    return _gamma(data) if image.format == "PNG" else None


def as_srgb(shares: np.ndarray, gamma: float) -> np.ndarray:
    """The sRGB values in [0, 1] of numbers in [0, 1], each of which is linear light to the power of `gamma`."""
    light = shares ** (1 / gamma)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _gamma(data: bytes) -> float | None:
    """The gamma of a PNG; None if it has none, if it is about that of sRGB, or if another chunk, which goes first, defines the colours."""
    chunks = {}
    for name, chunk in png_chunks(data):
        if name == b"IDAT":
            break
        chunks[name] = chunk[8:-4]
    if chunks.keys() & {b"sRGB", b"iCCP", b"cICP"} or len(chunks.get(b"gAMA", b"")) != 4:
        return None
    gamma = int.from_bytes(chunks[b"gAMA"]) / 100_000
    return gamma if 0.01 < gamma < 100 and abs(gamma / _SRGB_GAMMA - 1) > 0.05 else None


def _low_bytes(data: bytes, raw_mode: str) -> np.ndarray:
    """The lower bytes of 16-bit channels. Pillow decodes only upper bytes, so the opposite byte order is set."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.tile = [tile._replace(args=raw_mode.replace("16B", "16L")) for tile in image.tile]
        return np.array(image)


def _from_deep(image: Image.Image, low: np.ndarray, gamma: float | None) -> Image.Image:
    """The 8-bit image of 16-bit channels, from an image in mode RGB or RGBA of their upper bytes, and their lower bytes; some rows at a
    time, because it takes 60 bytes a pixel."""
    shown = np.array(image)
    clear = image.info.get("transparency")
    if clear:
        shown = np.dstack([shown, np.full(low.shape[:2], 255, np.uint8)])
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    shades = np.round(255 * as_srgb(np.arange(65536) / 65535, gamma)).astype(np.uint8) if gamma else None
    for first in range(0, len(low), rows):
        part = shown[first : first + rows]
        deep = part[..., : low.shape[2]].astype(np.int64) * 256 + low[first : first + rows]
        if clear:
            part[..., 3][(deep == clear).all(-1)] = 0
        if shades is not None:
            part[..., :3] = shades[deep[..., :3]]
    return Image.fromarray(shown)
