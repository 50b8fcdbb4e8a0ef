"""Images of every kind that people have are read; what is none is refused in one sentence."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datagen.encoding import decode_image, encode_image
from datagen.errors import ImageError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), np.uint8)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def test_what_we_write_is_read_to_the_bit() -> None:
    assert np.array_equal(decode_image(encode_image(PIXELS), "x"), PIXELS)


@pytest.mark.parametrize(
    ("image_format", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("TIFF", mode) for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK", "YCbCr")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        *(("GIF", mode) for mode in ("1", "L", "P")),
        *(("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
    ],
)
def test_every_mode_that_a_format_can_hold(image_format: str, mode: str) -> None:
    data = encoded(Image.fromarray(PIXELS).convert("L" if mode == "PA" else "RGB").convert(mode), image_format)
    read = decode_image(data, "x")
    assert read.shape == PIXELS.shape
    assert read.dtype == np.uint8


def test_transparent_is_white() -> None:
    grey = np.full((2, 2), 100, np.uint8)
    alpha = np.array([[255, 0], [0, 255]], np.uint8)
    layers = [Image.fromarray(layer) for layer in (grey, grey, grey, alpha)]
    expected = np.array([[100, 255], [255, 100]])
    assert np.array_equal(decode_image(encoded(Image.merge("RGBA", layers), "PNG"), "x")[..., 0], expected)
    assert np.array_equal(decode_image(encoded(Image.merge("LA", layers[2:]), "PNG"), "x")[..., 1], expected)
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    palette.putpalette([100, 100, 100, 0, 0, 0])
    for image_format in ("PNG", "GIF"):
        assert np.array_equal(decode_image(encoded(palette, image_format, transparency=1), "x")[..., 2], expected)
    keyed = Image.fromarray(np.stack([np.where(alpha, 100, 7).astype(np.uint8)] * 3, -1))
    assert np.array_equal(decode_image(encoded(keyed, "PNG", transparency=(7, 7, 7)), "x")[..., 0], expected)


def test_sixteen_bits_are_scaled() -> None:
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert decode_image(encoded(Image.fromarray(deep), "PNG"), "x")[0, :, 0].tolist() == [0, 1, 128, 255]
    assert decode_image(encoded(Image.fromarray(deep.astype(np.int32)), "TIFF"), "x")[0, :, 1].tolist() == [0, 1, 128, 255]


def test_a_rotated_photograph_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    data = encoded(Image.fromarray(PIXELS), "PNG", exif=exif)
    assert np.array_equal(decode_image(data, "x"), np.rot90(PIXELS, -1))


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 3), color) for color in ("red", "blue")]
    for image_format in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], lossless=True)
        assert decode_image(data, "x")[0, 0].tolist() == [255 if image_format != "WEBP" else pytest.approx(255, abs=3), 0, 0]


def test_a_panorama_is_read() -> None:
    assert decode_image(encoded(Image.new("L", (60_000, 40)), "PNG"), "x").shape == (40, 60_000, 3)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size, with next to nothing in it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no image format"),
        (b"not a picture", "no image format"),
        (encode_image(PIXELS)[:60], "truncated"),
        (png_of_size(60_000, 60_000), "bomb"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "no image format"),  # which Ghostscript would run
    ],
    ids=["empty", "text", "truncated", "bomb", "program"],
)
def test_what_is_no_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=rf"^broken\.png: not a readable image \(.*{reason}"):
        decode_image(data, "broken.png")


@given(data=st.data(), image_format=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]))
def test_damage_is_refused_or_read_but_nothing_worse(data: st.DataObject, image_format: str) -> None:
    damaged = bytearray(encoded(Image.fromarray(PIXELS), image_format))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    try:
        assert decode_image(bytes(damaged), "x").dtype == np.uint8
    except ImageError as error:
        assert "\n" not in str(error)
