"""Images of every format and mode are read as the format defines, and those whose brightness is ambiguous are refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import PIXELS, encoded
from PIL import Image

from datagen.errors import ImageError
from datagen.images.encoding import decode_image, encode_image
from datagen.images.rgb import ORIENTATION


def test_what_we_write_is_read_to_the_bit() -> None:
    assert np.array_equal(decode_image(encode_image(PIXELS), "x"), PIXELS)


MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "F"),
    "GIF": ("1", "L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
    "TGA": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "PPM": ("1", "L", "RGB", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
}


def of_mode(mode: str, colors: np.ndarray, alpha: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """An image of a mode with these colours (height, width, 3) and, if the mode has it, alpha (height, width); and its visible pixels."""
    grey = colors[..., 0]
    if mode == "1":
        return Image.fromarray(grey).point(lambda v: 255 * (v > 127)).convert("1"), np.where(grey > 127, 255, 0)[..., None].repeat(3, -1)
    if mode in ("I;16", "I;16B"):
        deep = grey.astype(np.dtype("<u2" if mode == "I;16" else ">u2")) * 257
        return Image.fromarray(deep), grey[..., None].repeat(3, -1)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255), grey[..., None].repeat(3, -1)
    few = colors // 128 * 255  # eight colours, which palettes and CMYK hold without loss
    if mode in ("P", "CMYK"):
        return Image.fromarray(few).convert(mode), few
    if mode == "PA":
        return Image.fromarray(few).convert("P").convert("PA"), few
    plain = Image.fromarray(colors).convert("RGB" if "RGB" in mode else "L")
    seen = np.array(plain.convert("RGB"))
    if mode.endswith("A"):
        plain.putalpha(Image.fromarray(alpha))
        seen = np.where(alpha[..., None] > 0, seen, 255)
    return plain, seen


@given(data=st.data(), image_format=st.sampled_from(sorted(MODES)), seed=st.integers(0, 99))
def test_known_pixels_in_known_pixels_out(data: st.DataObject, image_format: str, seed: int) -> None:
    """In every mode of each lossless format, and every orientation that its metadata can give."""
    mode = data.draw(st.sampled_from(MODES[image_format]))
    turn = data.draw(st.sampled_from(sorted(TURNED))) if image_format in ("PNG", "TIFF", "WEBP") else 1
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (*rng.integers(9, 20, 2), 3), np.uint8)
    alpha = rng.integers(0, 2, colors.shape[:2], np.uint8) * 255
    alpha[0, 0] = 255
    image, seen = of_mode(mode, colors, alpha)
    options: dict[str, Any] = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    if turn > 1:
        exif = Image.Exif()
        exif[ORIENTATION] = turn
        options["exif"] = exif
    read = decode_image(encoded(image, image_format, **options), "x")
    assert read.dtype == np.uint8
    assert np.array_equal(read, TURNED[turn](seen))


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.transpose(1, 0, 2),
    6: lambda seen: np.rot90(seen, -1),
    7: lambda seen: seen[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}
"""By EXIF orientation, the function from stored to visible pixels."""


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "YCbCr"])
def test_photographs_are_read_in_every_mode(mode: str) -> None:
    smooth = np.array(Image.fromarray(PIXELS[:2, :2]).resize((32, 24), Image.Resampling.BICUBIC))
    image = Image.fromarray(smooth).convert(mode)
    read = decode_image(encoded(image, "JPEG", quality=98), "x")
    assert np.abs(read.astype(int) - np.array(image.convert("RGB"))).mean() < 4


def tiff(values: bytes, width: int, **tags: int) -> bytes:
    """A TIFF of one row of pixels, whose values have the format that `tags` state."""
    known = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262, "at": 273}
    known |= {"samples": 277, "rows": 278, "bytes": 279, "planar": 284, "sample_format": 339}
    fields = {"width": width, "height": 1, "compression": 1, "photometric": 1, "samples": 1, "rows": 1, "bytes": len(values), **tags}
    fields["at"] = 8 + 2 + 12 * (len(fields) + 1) + 4
    entries = sorted((known[name], value) for name, value in fields.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries) + b"\0" * 4 + values


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (tiff(struct.pack("<3H", 0, 257, 65535), 3, bits=16, photometric=0), [255, 254, 0]),
        (tiff(bytes([0x00, 0x0F, 0xFF, 0x80, 0x00]), 3, bits=12), [0, 255, 128]),
        (tiff(struct.pack("<3f", 0, 0.5, 1), 3, bits=32, sample_format=3), [0, 128, 255]),
        (tiff(struct.pack("<3f", 0, 0.2, 1), 3, bits=32, sample_format=3, photometric=0), [255, 204, 0]),
        (b"P5 3 1 1000\n" + struct.pack(">3H", 0, 500, 1000), [0, 128, 255]),
        (b"Pf\n3 1\n-1.0\n" + struct.pack("<3f", 0, 0.5, 1), [0, 128, 255]),
    ],
    ids=["white is 0", "12 bits", "floating point", "floating point, white is 0", "another white", "float map"],
)
def test_deep_grey_is_as_light_as_its_format_says(data: bytes, seen: list[int]) -> None:
    assert decode_image(data, "x")[0, :, 1].tolist() == seen


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            tiff(struct.pack("<3f", 0, 0.5, 255), 3, bits=32, sample_format=3),
            "floating-point numbers from 0 to 255, and only 0 for black to 1",
        ),
        (tiff(struct.pack("<3f", -0.1, 0.5, 1), 3, bits=32, sample_format=3), "floating-point numbers from -0.1 to 1"),
        (tiff(struct.pack("<3f", 0, np.nan, 1), 3, bits=32, sample_format=3), "infinite or none"),
        (
            tiff(struct.pack("<3I", 0, 128, 255), 3, bits=32),
            "whole numbers of 32 bits, from 0 to 255, and nothing says which of them is white",
        ),
        (tiff(struct.pack("<3I", 7, 128, 2**32 - 1), 3, bits=32), "from 7 to 4294967295"),
        (tiff(bytes(3), 3, bits=8, photometric=0, planar=2), "PlanarConfiguration 2"),
        (tiff(struct.pack("<3h", -5, 0, 255), 3, bits=16, sample_format=2), "numbers with a sign"),
        (tiff(struct.pack("<3b", -5, 0, 99), 3, bits=8, sample_format=2), "numbers with a sign"),
        (encoded(Image.new("RGBA", (3, 3), (9, 9, 9, 0)), "PNG"), "every pixel of it is transparent"),
    ],
    ids=[
        "bright floats",
        "negative floats",
        "no number",
        "32 bits",
        "32 bits, all of them",
        "white is 0, planar",
        "signed 16",
        "signed 8",
        "transparent",
    ],
)
def test_what_nobody_can_know_to_be_light_or_dark_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=rf"^scan\.tif: not a readable image \(.*{reason}"):
        decode_image(data, "scan.tif")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_channels_that_lie_one_after_the_other_are_read(order: str, depth: int, channels: int) -> None:
    """Many scientific programs write each channel of a TIFF as a strip of its own."""
    planes = np.concatenate([PIXELS, np.full((*PIXELS.shape[:2], 1), 255, np.uint8)], -1)[..., :channels].transpose(2, 0, 1)
    size = PIXELS[..., 0].size * depth // 8
    number, words = (f"{order}H", lambda *values: struct.pack(f"{order}{len(values)}I", *values))
    tags = {256: 9, 257: 6, 259: 1, 262: 2, 277: channels, 278: 6, 284: 2} | ({338: 2} if channels == 4 else {})
    after = 8 + 2 + 12 * (len(tags) + 3) + 4
    lists = {258: words(*[depth] * channels), 279: words(*[size] * channels)}
    lists[273] = words(*(after + 3 * 4 * channels + size * channel for channel in range(channels)))
    entries = {tag: words(value) for tag, value in tags.items()} | {tag: words(after + 4 * channels * i) for i, tag in enumerate(lists)}
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 42) + words(8) + struct.pack(number, len(entries))
    for tag in sorted(entries):
        head += struct.pack(f"{order}HHI", tag, 4, channels if tag in lists else 1) + entries[tag]
    values = planes if depth == 8 else (planes.astype(np.uint16) * 257).astype(f"{order}u2")
    data = head + words(0) + b"".join(lists.values()) + values.tobytes()
    assert np.array_equal(decode_image(data, "x"), PIXELS)


def test_sixteen_bits_are_scaled() -> None:
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    for image_format in ("PNG", "TIFF"):
        assert decode_image(encoded(Image.fromarray(deep), image_format), "x")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 3), color) for color in ("red", "blue")]
    for image_format in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], lossless=True)
        assert decode_image(data, "x")[0, 0].tolist() == [255 if image_format != "WEBP" else pytest.approx(255, abs=3), 0, 0]


def test_a_panorama_is_read() -> None:
    assert decode_image(encoded(Image.new("L", (60_000, 40)), "PNG"), "x").shape == (40, 60_000, 3)
