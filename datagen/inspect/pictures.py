"""Pictures of samples: the contact sheet, and images with their labels drawn on them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from datagen.domains.base import Domain
from datagen.images.reduced import reduced, shrinkage
from datagen.samples.labels import decode_rle
from datagen.samples.sample import Sample
from datagen.scene import Object
from datagen.screen import printable

COLUMNS, ROWS, GAP = 8, 4, 5
TILE_WIDTH = 242  # pixels
MOST_HEIGHT = 1000  # pixels of a tile, and of an enlarged image
MOST_SHOWN = 60  # characters of a label
LABELLED_WIDTH = 720  # pixels at least, so that labels can be read
PALETTE = ("#4c9aff", "#ff8b3d", "#4fd18b", "#ff6b8b", "#c08bff", "#ffd84d", "#4fd8d8", "#ff9ede", "#b7e36b", "#d9b38c")
"""Colours of labelled objects. They can be seen on dark and on bright images."""


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font of all pictures; ``size`` in pixels."""
    import matplotlib  # for its font, which not all who import this file need

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def contact_sheet(samples: Iterable[Sample]) -> Image.Image:
    """The samples' images in rows of `COLUMNS`, each above its key."""
    tiles = []
    for sample in samples:
        image = Image.fromarray(sample.pixels())
        size = (TILE_WIDTH, min(MOST_HEIGHT, max(1, round(TILE_WIDTH * image.height / image.width))))
        tiles.append((sample.key, image.resize(size, Image.Resampling.LANCZOS)))
    height = max(tile.height for _, tile in tiles) + 18 + GAP
    columns = min(COLUMNS, len(tiles))
    sheet = Image.new("RGB", (columns * (TILE_WIDTH + GAP) + GAP, -(-len(tiles) // columns) * height + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (key, tile) in enumerate(tiles):
        left, top = GAP + i % columns * (TILE_WIDTH + GAP), GAP + i // columns * height
        sheet.paste(tile, (left, top))
        pen.text((left, top + tile.height + 2), printable(key)[:40], fill="#626b7a", font=font(12))
    return sheet


def object_words(domain: Domain, obj: Object) -> str:
    """An object's words in the order of its statement."""
    return " ".join(str(obj[choice.name]) for choice in domain.statement(obj.statement).choices)


def labelled(sample: Sample) -> Image.Image:
    """The image, enlarged if it is small and reduced if it is very large, with each object's mask outlined, its box, its centre, its number
    and its words."""
    whole = sample.pixels()
    image, step = Image.fromarray(reduced(whole)), shrinkage(*whole.shape[:2])
    enlarged = max(1, min(-(-LABELLED_WIDTH // image.width), MOST_HEIGHT // image.height))
    factor = enlarged / step
    picture = image.resize((image.width * enlarged, image.height * enlarged), Image.Resampling.LANCZOS)
    pixels = np.array(picture)
    for i, label in enumerate(sample.record["labels"]):
        mask = decode_rle(label["mask"])[::step, ::step]
        if not mask.any():
            continue
        rows, columns = (slice(int(held.argmax()), len(held) - int(held[::-1].argmax())) for held in (mask.any(1), mask.any(0)))
        shown = np.kron(mask[rows, columns], np.ones((enlarged, enlarged), bool))  # the mask has no pixel outside the crop
        part = pixels[rows.start * enlarged : rows.stop * enlarged, columns.start * enlarged : columns.stop * enlarged]
        part[outline(shown)] = ImageColor.getrgb(color(i))
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture, "RGBA")
    for i, label in enumerate(sample.record["labels"]):
        x, y, width, height = (value * factor for value in label["bbox"])
        if width and height:
            pen.rectangle((x, y, x + width - 1, y + height - 1), outline=color(i))
        _cross(pen, label["pixel_coords"][0] * factor, label["pixel_coords"][1] * factor, color(i))
    for i, (obj, label) in enumerate(zip(sample.scene, sample.record["labels"], strict=True)):
        x, y = label["bbox"][0] * factor, label["bbox"][1] * factor
        _tag(pen, picture.size, (x, y), f"{i + 1} {object_words(sample.domain, obj)[:40]}", color(i))
    return picture


def color(place: int) -> str:
    """The colour of an object's labels, by the object's index in its scene."""
    return PALETTE[place % len(PALETTE)]


def outline(mask: np.ndarray) -> np.ndarray:
    """The outermost two pixels of a mask (height, width) along its border, as a mask."""
    inner = mask
    for _ in range(2):
        padded = np.pad(inner, 1)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _cross(pen: ImageDraw.ImageDraw, x: float, y: float, ink: str) -> None:
    for fill, width in (("#000000", 4), (ink, 2)):
        pen.line((x - 6, y, x + 6, y), fill=fill, width=width)
        pen.line((x, y - 6, x, y + 6), fill=fill, width=width)


def _tag(pen: ImageDraw.ImageDraw, frame: tuple[int, int], corner: tuple[float, float], text: str, ink: str) -> None:
    """Write text above a box's corner, inside the frame."""
    text = printable(text[:MOST_SHOWN])
    _, _, wide, high = pen.textbbox((0, 0), text, font=font(13))
    x, y = min(corner[0], frame[0] - wide - 6), max(corner[1] - high - 5, 0)
    pen.rectangle((x, y, x + wide + 6, y + high + 4), fill=(0, 0, 0, 170))
    pen.text((x + 3, y + 1), text, fill=ink, font=font(13))
