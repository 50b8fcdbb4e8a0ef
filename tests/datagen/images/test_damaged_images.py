"""Damaged images: read if no pixel is harmed, else refused in one sentence, after a limited number of attempts."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from image_files import PIXELS, encoded, png_of
from PIL import Image, ImageCms, ImageFile

from datagen.errors import ImageError
from datagen.images.encoding import decode_image, encode_image


@given(
    name=st.sampled_from([b"eXIf", b"iCCP", b"pHYs", b"sRGB", b"gAMA", b"cHRM", b"tEXt", b"zTXt", b"iTXt", b"tIME", b"acTL", b"sBIT"]),
    content=st.binary(max_size=12),
    checked=st.booleans(),
)
def test_damage_beside_the_pixels_of_a_png_does_not_matter(name: bytes, content: bytes, checked: bool) -> None:
    assume(not (name == b"eXIf" and content[:1] in b"IM"))  # it may give an orientation
    assume(not (name == b"gAMA" and len(content) == 4))  # a valid gamma changes the pixels
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
    """A cut file gives all of its pixels or an error, and all of them if only its end marker is missing."""
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


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no image format"),
        (b"not a picture", "no image format"),
        (encode_image(PIXELS)[:60], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "no image format"),  # Ghostscript would run it
    ],
    ids=["empty", "text", "truncated", "program"],
)
def test_what_is_no_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=rf"^broken\.png: not a readable image \(.*{reason}"):
        decode_image(data, "broken.png")


def counted_decodings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A list that gets the size of each image that Pillow decodes from now on."""
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
    """All attempts together decode at most 100 million pixels, two and a half times the largest image that is read."""
    whole = encoded(Image.new("RGB", (6000, 5000)), "JPEG", **options)
    damaged = png_of(bytes(3001 * 6000), 3000, 6000, 8, 0, gAMA=b"1234", eXIf=b"MM", iCCP=b"x\0\0junk", tRNS=b"12")
    damaged = damaged[: damaged.rindex(b"IEND") - 4] + struct.pack(">I", 4) + b"ABCDabcdXXXX"  # an unknown critical chunk
    sizes = counted_decodings(monkeypatch)
    for data in (whole[:-2], damaged):
        sizes.clear()
        with suppress(ImageError):
            decode_image(data, "x")
        assert 0 < sum(width * height for width, height in sizes) <= 100_000_000


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
