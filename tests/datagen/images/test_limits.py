"""Images of too many pixels or scans, or with too long sides, are refused before they are decoded; --max-pixels allows more pixels."""

from __future__ import annotations

import numpy as np
import pytest
from image_files import PIXELS, encoded, png_of
from PIL import Image

from datagen.errors import ImageError
from datagen.images.encoding import decode_image
from datagen.images.limits import allow_pixels


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


def test_more_pixels_are_read_where_they_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGLLM_MAX_PIXELS", "")  # so that monkeypatch restores it
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encoded(Image.fromarray(PIXELS), "PNG")
    allow_pixels(PIXELS.shape[0] * PIXELS.shape[1])
    assert np.array_equal(decode_image(data, "x"), PIXELS)
    allow_pixels(PIXELS.shape[0] * PIXELS.shape[1] - 1)
    with pytest.raises(ImageError, match="--max-pixels"):
        decode_image(data, "x")


def test_a_photograph_of_very_many_scans_is_refused() -> None:
    """Each scan goes over all pixels, so that a file of a hundred kilobytes could take minutes."""
    photograph = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = photograph.rindex(b"\xff\xda")
    assert decode_image(photograph[:-2] + photograph[last:-2] * 20 + photograph[-2:], "x").shape == (64, 64, 3)
    multiple = b"\xff\xe2\x00\x08MPF\0II"  # written by cameras that keep several pictures in a file
    with pytest.raises(ImageError, match="scans"):
        decode_image(photograph[:2] + multiple + photograph[2:-2] + photograph[last:-2] * 100 + photograph[-2:], "x")
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode_image(photograph[:-2] + photograph[last:-2] * 100 + photograph[-2:], "x")
