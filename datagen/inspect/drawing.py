"""The parts that all plots share: colours, axes, labels, histograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from datagen.inspect.histograms import Histogram
from datagen.screen import printable

BLUE, PALE, RED, GRAY, INK = "#2f6fdb", "#bcd4f8", "#c4161c", "#626b7a", "#1b1f27"
SERIES = (BLUE, "#e8833a", "#2b9a54", "#8a56c9", "#c4a000", "#0f9aa8")
DENSITY = LinearSegmentedColormap.from_list("density", ["#f5f6f8", PALE, BLUE, "#12306b"])
LONGEST_WORD = 22  # letters
MOST_WORDS = 30  # bars of one argument

DPI = 110  # dots an inch

Panel = Callable[[Axes], None]


def picture_of(figure: Figure) -> Image.Image:
    """A figure as a picture. `Figure.savefig` would lay it out twice."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    return Image.frombuffer("RGBA", canvas.get_width_height(), pixels).convert("RGB")


def label(ax: Axes, title: str, x: str = "", y: str = "") -> None:
    """Write a plot's title and the labels of its axes."""
    ax.set_title(plain(title), fontsize=10, color=INK, loc="left", fontweight="bold")
    ax.set_xlabel(plain(x), fontsize=8.5, color=GRAY)
    ax.set_ylabel(plain(y), fontsize=8.5, color=GRAY)


def plain(text: str) -> str:
    """The text, escaped so that matplotlib does not parse it as a formula."""
    return text.replace("$", r"\$")


def word_label(text: str) -> str:
    """A word of a domain as a label, shortened if it is long."""
    text = printable(text)
    return plain(text if len(text) <= LONGEST_WORD else text[: LONGEST_WORD - 1] + "…")


def short_count(n: float) -> str:
    """A count as a short text, such as ``12k``."""
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if n >= bound:
            scaled = n / (1e3 if unit == "k" else bound)
            return f"{scaled:.1f}".removesuffix(".0") + unit if scaled < 100 else f"{scaled:.0f}{unit}"
    return f"{n:.0f}"


def count_axis(axis: Any) -> None:
    """Label an axis with a few whole numbers."""
    axis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda n, _: short_count(n)))


def objects_axis(ax: Axes, counts: Sequence[int]) -> None:
    """Fit the x axis to numbers of objects in a scene, ascending."""
    if counts:
        ax.set_xlim(counts[0] - 0.9, counts[-1] + 0.9)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def log_axis(axis: Any) -> None:
    """Label a logarithmic axis with a few numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda n, _: short_count(n)))
    axis.set_minor_formatter(NullFormatter())


def panel(draw: Callable[..., None], *arguments: Any) -> Panel:
    """A function that draws one plot: `draw` with these arguments."""
    return lambda ax: draw(ax, *arguments)


def bars(ax: Axes, histogram: Histogram, merge: int = 1) -> None:
    """Draw a histogram over its whole range; `merge` neighbouring bins make one bar."""
    counts = np.array(histogram.counts).reshape(-1, merge).sum(1)
    ax.stairs(counts, histogram.edges[::merge], fill=True, color=BLUE)
    ax.set_ylim(0, max(1, counts.max()) * 1.08)
    if histogram.high > histogram.low:
        ax.set_xlim(histogram.low, histogram.high)
    count_axis(ax.yaxis)


def bins_a_bar(n: int) -> int:
    """How many bins to draw as one bar for `n` values: more where values are few, so that the plot is not ragged."""
    return 4 if n < 200 else 2 if n < 20_000 else 1


def bytes_text(size: float) -> str:
    """A size in bytes as text, with decimal units."""
    for bound, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= bound:
            return f"{size / bound:.1f} {unit}"
    return f"{size:.0f} B"
