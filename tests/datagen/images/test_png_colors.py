"""Colours of images: transparent pixels are white, and gammas and colour profiles are applied."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import encoded, png_of
from PIL import Image, ImageCms

from datagen.images.encoding import decode_image


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


def test_a_transparent_shade_of_deep_grey_is_white() -> None:
    deep = Image.fromarray(np.array([[0, 257, 32896]], np.uint16))
    assert decode_image(encoded(deep, "PNG", transparency=257), "x")[0, :, 0].tolist() == [0, 255, 128]


@given(key=st.tuples(*[st.integers(0, 65535)] * 3), channel=st.integers(0, 2), bit=st.integers(0, 15))
def test_a_transparent_colour_of_16_bits_is_white_and_none_that_is_near(key: tuple[int, ...], channel: int, bit: int) -> None:
    near = [value ^ (1 << bit if channel == place else 0) for place, value in enumerate(key)]
    data = png_of(b"\0" + struct.pack(">6H", *key, *near), 2, 1, 16, tRNS=struct.pack(">3H", *key))
    assert decode_image(data, "x")[0].tolist() == [[255] * 3, [value >> 8 for value in near]]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_transparent_grey_of_few_bits_is_white(depth: int) -> None:
    most = 2**depth - 1
    for key in range(most):
        data = png_of(bytes([0, key << 8 - depth | most - key << 8 - 2 * depth]), 2, 1, depth, 0, tRNS=struct.pack(">H", key))
        other = 255 if key == most - key else (most - key) * 255 // most
        assert decode_image(data, "x")[0, :, 0].tolist() == [255, other]


def linear(values: np.ndarray) -> np.ndarray:
    """The linear light, in [0, 1], of sRGB values in [0, 255]."""
    shares = values / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (6, 4)])
@pytest.mark.parametrize("depth", [8, 16])
def test_the_gamma_of_a_png_is_heeded(gamma: float, color: int, channels: int, depth: int) -> None:
    seen = np.arange(100, 252, 8).repeat(channels).reshape(-1, channels)
    values = np.round(linear(seen) ** gamma * (2**depth - 1))
    if color == 6:
        values[:, 3] = 2**depth - 1
    rows = b"\0" + values.astype(">u2" if depth == 16 else np.uint8).tobytes()
    gamma_chunk = struct.pack(">I", round(gamma * 100_000))
    read = decode_image(png_of(rows, len(seen), 1, depth, color, gAMA=gamma_chunk), "x")[0].astype(int)
    assert np.abs(read - seen[:, :1]).max() <= (1 if depth == 16 or gamma < 1 else 8)
    plain = decode_image(png_of(rows, len(seen), 1, depth, color), "x")
    for better in ({"sRGB": b"\0"}, {"cICP": bytes([1, 13, 0, 1])}):
        assert np.array_equal(decode_image(png_of(rows, len(seen), 1, depth, color, gAMA=gamma_chunk, **better), "x"), plain)
    for same in (45455, 45000, 47000, 0):
        assert np.array_equal(decode_image(png_of(rows, len(seen), 1, depth, color, gAMA=struct.pack(">I", same)), "x"), plain)


def test_the_gamma_of_a_palette_and_beside_transparency_and_damage() -> None:
    palette = bytes([55, 55, 55, 9, 9, 9])
    plain = png_of(bytes([0, 0, 1]), 2, 1, 8, 3, gAMA=struct.pack(">I", 100_000), PLTE=palette, tRNS=bytes([255, 0]))
    assert decode_image(plain, "x")[0, :, 0].tolist() == [128, 255]
    torn = struct.pack(">I", 2) + b"tEXt" + b"ab" + bytes(4)  # with a wrong checksum
    assert decode_image(plain[:33] + torn + plain[33:], "x")[0, :, 0].tolist() == [128, 255]


def test_a_colour_profile_is_heeded_and_a_damaged_one_passed_over() -> None:
    """The profile swaps the red and the blue of sRGB; a reader that ignores it would give the stored colours."""
    red = Image.new("RGB", (4, 4), (200, 30, 30))
    plain = decode_image(encoded(red, "PNG"), "x")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = decode_image(encoded(red, "PNG", icc_profile=lab), "x")
    assert np.abs(same.astype(int) - plain).max() <= 2
    at = {name: lab.index(name) for name in (b"rXYZ", b"bXYZ")}
    swapped = bytearray(lab)
    for one, other in ((b"rXYZ", b"bXYZ"), (b"bXYZ", b"rXYZ")):
        swapped[at[one] + 4 : at[one] + 12] = lab[at[other] + 4 : at[other] + 12]
    swapped_read = decode_image(encoded(red, "PNG", icc_profile=bytes(swapped)), "x")[0, 0].astype(int)
    assert swapped_read[2] > swapped_read[0] + 100
    for broken in (lab[:100], b"no profile"):
        assert np.array_equal(decode_image(encoded(red, "PNG", icc_profile=broken), "x"), plain)
