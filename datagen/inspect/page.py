"""The page with statistics, plots and a few samples, and one picture of it all."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from datagen.inspect.drawing import bytes_text
from datagen.inspect.pictures import COLUMNS, ROWS, color, font, labelled, object_words
from datagen.inspect.plots import Section
from datagen.io.pages import embedded, render_template
from datagen.io.ranges import counted
from datagen.samples.sample import Sample
from datagen.screen import printable

MARGIN = 24  # pixels of the overview
MOST_CODE = 6000  # characters of a sample's code on the page
MOST_ROWS = 20  # of a table on the page


@dataclass(frozen=True)
class _Picture:
    """An image within the page, as a data URI."""

    source: str
    width: int
    height: int


@dataclass(frozen=True)
class _Line:
    """A row beside a labelled picture: an object's colour in it, its words, and its number of visible pixels."""

    color: str
    words: str
    visible: int


def render_page(name: str, found: Mapping[str, Any], sections: Sequence[Section], shown: Sequence[Sample]) -> str:
    """The page as HTML, with its plots embedded and links to ``overview.png``, ``contact-sheet.png`` and ``statistics.json`` beside it.

    `found` is the content of ``statistics.json``. The template engine escapes every word of the data set.
    """
    plots = [(section, _picture(section.picture)) for section in sections]
    cards = [(sample, _picture(labelled(sample)), _lines(sample)) for sample in shown]
    return render_template(
        Path(__file__).parent,
        "inspect.html",
        {"bytes": bytes_text, "thousands": "{:,}".format, "numbers": _numbers},
        style="inspect.css",
        title=f"{name}: what is in it",
        name=name,
        found=found,
        lead=lead(found),
        sheet_basis=sheet_basis(found),
        plots=plots,
        cards=cards,
        most_code=MOST_CODE,
        most_rows=MOST_ROWS,
    )


def overview(name: str, found: Mapping[str, Any], sheet: Image.Image, sections: Sequence[Section]) -> Image.Image:
    """The contact sheet and all plots below one another, with headings, as one picture."""
    width = max(section.picture.width for section in sections) + 2 * MARGIN
    parts: list[tuple[str, str, Image.Image]] = [("Samples", sheet_basis(found), sheet)]
    parts += [(section.title, section.basis, section.picture) for section in sections]
    height = 96 + sum(picture.height + 72 for _, _, picture in parts) + MARGIN
    canvas = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), printable(name)[:60], fill="#1b1f27", font=font(34))
    pen.text((MARGIN, MARGIN + 44), lead(found), fill="#626b7a", font=font(18))
    top = 106
    for title, basis, picture in parts:
        pen.line((MARGIN, top, width - MARGIN, top), fill="#e0e4ea", width=2)
        pen.text((MARGIN, top + 14), title, fill="#1b1f27", font=font(22))
        pen.text((MARGIN, top + 42), basis, fill="#626b7a", font=font(15))
        canvas.paste(picture, (MARGIN, top + 70))
        top += picture.height + 72
    return canvas


def lead(found: Mapping[str, Any]) -> str:
    """A summary of the data set in one line: domains, counts, frames, size."""
    frames = ", ".join(list(found["frames"])[:3])
    kinds = f"domain {', '.join(found['domains'])}; {counted(found['samples'], 'sample')}, {counted(found['objects'], 'object')}; {frames}"
    return f"{kinds}; {bytes_text(found['disk']['bytes'])}"


def sheet_basis(found: Mapping[str, Any]) -> str:
    """The caption of the contact sheet."""
    shown = min(found["samples"], COLUMNS * ROWS)
    return f"{shown} of {found['samples']:,} samples, evenly spread." if shown < found["samples"] else "All samples."


def png(picture: Image.Image) -> bytes:
    """A picture as a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def _picture(picture: Image.Image) -> _Picture:
    return _Picture(embedded(png(picture)), picture.width, picture.height)


def _lines(sample: Sample) -> list[_Line]:
    pairs = zip(sample.scene, sample.record["labels"], strict=True)
    return [_Line(color(i), object_words(sample.domain, obj), label["visible_pixels"]) for i, (obj, label) in enumerate(pairs)]


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}".rstrip("0").rstrip(".") for value in values)
