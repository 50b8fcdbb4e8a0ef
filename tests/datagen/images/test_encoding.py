"""Images of every kind that people have are read; what is none is refused in one sentence."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from datagen.errors import ImageError
from datagen.images.encoding import decode_image, encode_image
from datagen.images.limits import allow_pixels
from datagen.images.rgb import ORIENTATION

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), np.uint8)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


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
    """An image of a mode from (height, width, 3) uint8 and, where it can be, (height, width) transparency; and what is to be seen of it."""
    grey = colors[..., 0]
    if mode == "1":
        return Image.fromarray(grey).point(lambda v: 255 * (v > 127)).convert("1"), np.where(grey > 127, 255, 0)[..., None].repeat(3, -1)
    if mode in ("I;16", "I;16B"):
        deep = grey.astype(np.dtype("<u2" if mode == "I;16" else ">u2")) * 257
        return Image.fromarray(deep), grey[..., None].repeat(3, -1)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255), grey[..., None].repeat(3, -1)
    few = colors // 128 * 255  # what palettes hold of all, and CMYK without a loss
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
    """Of every mode that a format without losses can hold, and however it is turned by its metadata."""
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
"""By EXIF's orientation, what is shown of what is stored."""


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "YCbCr"])
def test_photographs_are_read_in_every_mode(mode: str) -> None:
    smooth = np.array(Image.fromarray(PIXELS[:2, :2]).resize((32, 24), Image.Resampling.BICUBIC))
    image = Image.fromarray(smooth).convert(mode)
    read = decode_image(encoded(image, "JPEG", quality=98), "x")
    assert np.abs(read.astype(int) - np.array(image.convert("RGB"))).mean() < 4


def tiff(values: bytes, width: int, **tags: int) -> bytes:
    """A TIFF of one row of numbers, of which the tags say what they are."""
    known = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262, "at": 273}
    known |= {"samples": 277, "rows": 278, "bytes": 279, "planar": 284, "sample_format": 339}
    stated = {"width": width, "height": 1, "compression": 1, "photometric": 1, "samples": 1, "rows": 1, "bytes": len(values), **tags}
    stated["at"] = 8 + 2 + 12 * (len(stated) + 1) + 4
    entries = sorted((known[name], value) for name, value in stated.items())
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
    """What many programs of science write: each channel of a TIFF in a strip of its own."""
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


def test_a_transparent_shade_of_deep_grey_is_white() -> None:
    deep = Image.fromarray(np.array([[0, 257, 32896]], np.uint16))
    assert decode_image(encoded(deep, "PNG", transparency=257), "x")[0, :, 0].tolist() == [0, 255, 128]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(rows: bytes, width: int, height: int, depth: int = 8, color: int = 2, **chunks: bytes) -> bytes:
    """A PNG of rows that each begin with a 0, with these chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    asides = b"".join(png_chunk(name.encode(), content) for name, content in chunks.items())
    ends = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + asides + ends


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
    """The light of sRGB values, 0 to 255, in [0, 1]."""
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
    stated = struct.pack(">I", round(gamma * 100_000))
    read = decode_image(png_of(rows, len(seen), 1, depth, color, gAMA=stated), "x")[0].astype(int)
    assert np.abs(read - seen[:, :1]).max() <= (1 if depth == 16 or gamma < 1 else 8)
    plain = decode_image(png_of(rows, len(seen), 1, depth, color), "x")
    for better in ({"sRGB": b"\0"}, {"cICP": bytes([1, 13, 0, 1])}):
        assert np.array_equal(decode_image(png_of(rows, len(seen), 1, depth, color, gAMA=stated, **better), "x"), plain)
    for same in (45455, 45000, 47000, 0):
        assert np.array_equal(decode_image(png_of(rows, len(seen), 1, depth, color, gAMA=struct.pack(">I", same)), "x"), plain)


def test_the_gamma_of_a_palette_and_beside_transparency_and_damage() -> None:
    palette = bytes([55, 55, 55, 9, 9, 9])
    plain = png_of(bytes([0, 0, 1]), 2, 1, 8, 3, gAMA=struct.pack(">I", 100_000), PLTE=palette, tRNS=bytes([255, 0]))
    assert decode_image(plain, "x")[0, :, 0].tolist() == [128, 255]
    torn = struct.pack(">I", 2) + b"tEXt" + b"ab" + bytes(4)  # with a wrong checksum
    assert decode_image(plain[:33] + torn + plain[33:], "x")[0, :, 0].tolist() == [128, 255]


def test_a_colour_profile_is_heeded_and_a_damaged_one_passed_over() -> None:
    """A profile whose red is the blue of sRGB: swapped colours that any other way of reading would show as they are stored."""
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


@given(
    name=st.sampled_from([b"eXIf", b"iCCP", b"pHYs", b"sRGB", b"gAMA", b"cHRM", b"tEXt", b"zTXt", b"iTXt", b"tIME", b"acTL", b"sBIT"]),
    content=st.binary(max_size=12),
    checked=st.booleans(),
)
def test_damage_beside_the_pixels_of_a_png_does_not_matter(name: bytes, content: bytes, checked: bool) -> None:
    assume(not (name == b"eXIf" and content[:1] in b"IM"))  # which may say how it is turned
    assume(not (name == b"gAMA" and len(content) == 4))  # which says how light it is
    png = encode_image(PIXELS)
    checksum = zlib.crc32(name + content) ^ (not checked)
    aside = struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    assert np.array_equal(decode_image(png[:33] + aside + png[33:], "x"), PIXELS)


@given(
    marker=st.integers(0xE0, 0xEF),
    begin=st.sampled_from([b"", b"Exif\0\0", b"JFIF\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0", b"http://ns.adobe.com/xap/1.0/\0"]),
    content=st.binary(max_size=8),
)
def test_damage_beside_the_pixels_of_a_photograph_does_not_matter(marker: int, begin: bytes, content: bytes) -> None:
    jpeg = encoded(Image.fromarray(PIXELS), "JPEG")
    aside = struct.pack(">BBH", 0xFF, marker, 2 + len(begin + content)) + begin + content
    assert np.array_equal(decode_image(jpeg[:2] + aside + jpeg[2:], "x"), decode_image(jpeg, "x"))


@given(data=st.data(), image_format=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "JPEG2000"]))
def test_a_file_that_was_cut_short_shows_all_or_nothing(data: st.DataObject, image_format: str) -> None:
    whole = encoded(Image.fromarray(PIXELS), image_format)
    with suppress(ImageError):
        read = decode_image(whole[: data.draw(st.integers(0, len(whole) - 1))], "x")
        assert np.array_equal(read, decode_image(whole, "x"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsampling": 2, "quality": 30},
        {"progressive": True},
        {"progressive": True, "quality": 100, "subsampling": 0},
        {"restart_marker_blocks": 2},
        {"optimize": True},
    ],
    ids=["plain", "coarse", "progressive", "fine progressive", "restarting", "optimized"],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_photograph_may_lack_its_last_two_bytes_but_no_pixel(options: dict[str, Any], mode: str, flat: bool) -> None:
    """However it is cut: all of its pixels, or none; and all of them if only the marker of its end is missing."""
    pixels = np.full((40, 24, 3), 128, np.uint8) if flat else np.random.default_rng(1).integers(0, 256, (40, 24, 3), np.uint8)
    whole = encoded(Image.fromarray(pixels).convert(mode), "JPEG", **options)
    seen = decode_image(whole, "x")
    assert whole.endswith(b"\xff\xd9")
    for length in () if "restart_marker_blocks" in options else (len(whole) - 1, len(whole) - 2):
        assert np.array_equal(decode_image(whole[:length], "x"), seen)
    for length in range(len(whole) - 3, 0, -1 if flat else -7):
        with suppress(ImageError):
            assert np.array_equal(decode_image(whole[:length], "x"), seen), length
    with pytest.raises(ImageError):
        decode_image(whole[: len(whole) - 40], "x")


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
    for image_format in ("PNG", "TIFF"):
        assert decode_image(encoded(Image.fromarray(deep), image_format), "x")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 3), color) for color in ("red", "blue")]
    for image_format in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], lossless=True)
        assert decode_image(data, "x")[0, 0].tolist() == [255 if image_format != "WEBP" else pytest.approx(255, abs=3), 0, 0]


def test_a_panorama_is_read() -> None:
    assert decode_image(encoded(Image.new("L", (60_000, 40)), "PNG"), "x").shape == (40, 60_000, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no image format"),
        (b"not a picture", "no image format"),
        (encode_image(PIXELS)[:60], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "no image format"),  # which Ghostscript would run
    ],
    ids=["empty", "text", "truncated", "program"],
)
def test_what_is_no_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=rf"^broken\.png: not a readable image \(.*{reason}"):
        decode_image(data, "broken.png")


@pytest.mark.parametrize(
    ("data", "stated"),
    [
        (png_of(bytes(9), 60_000, 60_000), "3,600,000,000 pixels"),
        (png_of(bytes(9), 40_000_001, 1), "40,000,001x1 pixels"),
        (encoded(Image.new("1", (6325, 6325)), "TIFF", compression="group4"), "6,325x6,325 pixels"),
        (bytes(320_000_001), "320,000,001 bytes"),
    ],
    ids=["beyond Pillow", "a line", "beyond ours", "a file"],
)
def test_an_image_of_more_pixels_than_are_read_is_refused_before_they_are(data: bytes, stated: str) -> None:
    with pytest.raises(ImageError, match=rf"^huge\.png: has {stated}, and at most 40,000,000 pixels are read; .* --max-pixels$"):
        decode_image(data, "huge.png")


@pytest.mark.parametrize(("width", "height"), [(1, 65_501), (65_501, 1), (1, 39_999_999)])
def test_a_side_may_be_as_long_as_that_of_a_jpeg(width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row takes memory of its own: a PNG one pixel wide took 60 bytes a pixel."""
    with pytest.raises(ImageError, match=r"^x: has [\d,x]+ pixels, and at most 65,500 along a side are read; .* --max-pixels$"):
        decode_image(png_of(bytes(9), width, height), "x")
    assert decode_image(encoded(Image.new("L", (min(width, 65_500), 2)), "PNG"), "x").shape[0] == 2
    monkeypatch.setenv("IGLLM_MAX_PIXELS", "80000000")
    assert decode_image(encoded(Image.new("L", (65_501, 1)), "PNG"), "x").shape[1] == 65_501


def counted_decodings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes of the images that Pillow loads from now on."""
    sizes: list[tuple[int, int]] = []
    load = ImageFile.ImageFile.load

    def counting(image: ImageFile.ImageFile) -> Any:
        if image.tile:
            sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counting)
    return sizes


def test_pixels_that_show_nothing_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png_of(b"\0" + bytes(9), 3, 1, tEXt=b"a\0b", gAMA=struct.pack(">I", 45455), eXIf=b"MM\0*", tRNS=bytes(6))
    sizes = counted_decodings(monkeypatch)
    with pytest.raises(ImageError, match=r"^x: not a readable image \(every pixel of it is transparent\)$"):
        decode_image(data, "x")
    assert sizes == [(3, 1)]


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}]
)
def test_large_damaged_images_are_not_tried_for_ever(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """All tries together take no more than a few of the largest image that is read."""
    whole = encoded(Image.new("RGB", (6000, 5000)), "JPEG", **options)
    damaged = png_of(bytes(3001 * 6000), 3000, 6000, 8, 0, gAMA=b"1234", eXIf=b"MM", iCCP=b"x\0\0junk", tRNS=b"12")
    damaged = damaged[: damaged.rindex(b"IEND") - 4] + struct.pack(">I", 4) + b"ABCDabcdXXXX"  # a chunk that must be understood, and is not
    sizes = counted_decodings(monkeypatch)
    for data in (whole[:-2], damaged):
        sizes.clear()
        with suppress(ImageError):
            decode_image(data, "x")
        assert 0 < sum(width * height for width, height in sizes) <= 100_000_000


def test_more_pixels_are_read_where_they_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGLLM_MAX_PIXELS", "")  # so that it is put back
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encoded(Image.fromarray(PIXELS), "PNG")
    allow_pixels(PIXELS.shape[0] * PIXELS.shape[1])
    assert np.array_equal(decode_image(data, "x"), PIXELS)
    allow_pixels(PIXELS.shape[0] * PIXELS.shape[1] - 1)
    with pytest.raises(ImageError, match="--max-pixels"):
        decode_image(data, "x")


def test_a_photograph_of_very_many_scans_is_refused() -> None:
    """Each goes over all of its pixels: a hundred kilobytes could take minutes."""
    photograph = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = photograph.rindex(b"\xff\xda")
    assert decode_image(photograph[:-2] + photograph[last:-2] * 20 + photograph[-2:], "x").shape == (64, 64, 3)
    multiple = b"\xff\xe2\x00\x08MPF\0II"  # as cameras write that keep several pictures in a file
    with pytest.raises(ImageError, match="scans"):
        decode_image(photograph[:2] + multiple + photograph[2:-2] + photograph[last:-2] * 100 + photograph[-2:], "x")
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode_image(photograph[:-2] + photograph[last:-2] * 100 + photograph[-2:], "x")


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
