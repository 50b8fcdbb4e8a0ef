"""The plots of a data set's statistics, by section. They work for every domain, because the counts include the domain's words."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from datagen.inspect.drawing import GRAY, INK, Panel, picture_of
from datagen.inspect.folder import FolderFacts
from datagen.inspect.image_plots import image_panels, origin_panels, seen_panels
from datagen.inspect.scene_plots import pair_panels, place_panels, scene_panels
from datagen.inspect.statistics import Statistics
from datagen.io.ranges import counted

WIDTH, HEIGHT = 18.0, 2.9  # inches of a figure's width and a row's height
MOST_PANELS = 24


@dataclass(frozen=True)
class Section:
    """A group of plots: its title, a sentence on the samples counted, and the plots as one picture."""

    title: str
    basis: str
    picture: Image.Image


def sections(statistics: Statistics, facts: FolderFacts) -> list[Section]:
    """All sections that have at least one plot."""
    records = f"Every record: {counted(statistics.samples, 'sample')}, {counted(statistics.objects, 'object')}."
    images = f"{counted(statistics.images.images, 'image')}, evenly spread over the {counted(statistics.samples, 'sample')}."
    where, places = "Where objects are", records
    if statistics.lamps:
        where = "Where objects and lamps are"
        places = f"Positions: every object, {statistics.objects:,}. Lamps: of {counted(statistics.images.images, 'evenly spread sample')}."
    seen = f"{records} Visible share: {counted(statistics.images.images, 'evenly spread sample')}."
    groups: list[tuple[str, str, list[Panel]]] = [
        ("What the scenes hold", records, scene_panels(statistics)),
        ("Which words come together", f"{records} Red: never, where chance would give five or more.", pair_panels(statistics)),
        (where, places, place_panels(statistics)),
        ("What is seen", seen, seen_panels(statistics)),
        ("Images", images, image_panels(statistics)),
        ("How it was made and what it takes on disk", records, origin_panels(statistics, facts)),
    ]
    return [_section(*group) for group in groups if group[2]]


def _section(title: str, basis: str, panels: Sequence[Panel]) -> Section:
    left_out = f" The first {MOST_PANELS} of {len(panels)} plots." if len(panels) > MOST_PANELS else ""
    return Section(title, basis + left_out, _figure(panels[:MOST_PANELS]))


def _figure(panels: Sequence[Panel]) -> Image.Image:
    """The panels as one picture: in one row if they are at most six, else in the rows that leave the fewest places empty."""
    columns = max(4, len(panels)) if len(panels) <= 6 else min((6, 5, 4), key=lambda columns: -len(panels) % columns)
    rows = -(-len(panels) // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(WIDTH, HEIGHT * rows), layout=layout, facecolor="white")
    for place, panel in enumerate(panels):
        ax = figure.add_subplot(rows, columns, place + 1)
        _style(ax)
        panel(ax)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # words may be in any script; letters that the font lacks are drawn as boxes
        return picture_of(figure)


def _style(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GRAY)
    ax.tick_params(colors=GRAY, labelsize=8, labelcolor=INK)
    ax.set_axisbelow(True)
