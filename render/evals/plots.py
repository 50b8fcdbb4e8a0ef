"""Scores over the number of training images: a colour a method, solid in distribution and dashed out of it, bars for intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from render.evals.cells import Cell
from render.evals.plan import METHODS, Evaluation
from render.evals.table import ALL, Path, at

COLORS = dict(zip(METHODS, ("#2f6fdb", "#e8833a", "#2b9a54"), strict=True))
STYLES: tuple[Literal["-", "--"], ...] = ("-", "--")
COLUMNS = 4
METRES: Path = ("location_l2",)
WHOLE: tuple[tuple[str, Path], ...] = (
    ("right number of objects", ("count_accuracy",)),
    ("AP, any distance", ("ap", "inf")),
    ("AP at 0.5 m", ("ap", "0.5")),
    ("L2 of matched objects, metres", METRES),
)


def plot(evaluation: Evaluation, cells: Sequence[Cell]) -> Figure:
    """A panel an attribute (of all true objects), and of the count, AP and the location."""
    names = dict.fromkeys(name for cell in cells for c in evaluation.conditions for name in cell.scores[c.key][ALL])
    panels = [*((f"{name}, of all true objects", (ALL, name)) for name in names), *WHOLE]
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 3.1 * rows + 0.7), layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.1))
    grid = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes, (title, path) in zip(grid, panels, strict=False):
        _panel(axes, title, path, evaluation, cells)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    methods = dict.fromkeys(cell.request.method for cell in cells)
    handles = [Line2D([], [], color=COLORS[m.name], linewidth=2, label=m.label) for m in methods]
    handles += [
        Line2D([], [], color="#626b7a", linestyle=style, marker="o", markerfacecolor=face, label=condition.label)
        for condition, style, face in zip(evaluation.conditions, STYLES, ("#626b7a", "white"), strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def _panel(axes: Axes, title: str, path: Path, evaluation: Evaluation, cells: Sequence[Cell]) -> None:
    methods = list(dict.fromkeys(cell.request.method.name for cell in cells))
    series = [(name, condition.key, style) for name in methods for condition, style in zip(evaluation.conditions, STYLES, strict=True)]
    for place, (name, key, style) in enumerate(series):
        aside = 1.025 ** (place - (len(series) - 1) / 2)  # so that bars at one size stand beside each other
        color, face = COLORS[name], COLORS[name] if style == STYLES[0] else "white"
        told = [(c.request.size, at(c.scores[key], path), at(c.intervals[key], path)) for c in cells if c.request.method.name == name]
        known = [(size, value, ends) for size, value, ends in told if value is not None]
        for size, value, ends in known:
            low, high = ends or (value, value)
            bar = ([max(0.0, value - low)], [max(0.0, high - value)])
            axes.errorbar(
                [size * aside], [value], yerr=bar, color=color, marker="o", markersize=5, markerfacecolor=face, elinewidth=1.2, capsize=2.5
            )  # fmt: skip
        sizes = sorted({size for size, _, _ in known})
        means = [fmean(value for own, value, _ in known if own == size) for size in sizes]
        axes.plot([size * aside for size in sizes], means, color=color, linestyle=style, linewidth=1.5)
    _style(axes, title, path, sorted({cell.request.size for cell in cells}))


def _style(axes: Axes, title: str, path: Path, sizes: Sequence[int]) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.4, sizes[-1] * 1.4)
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("training images")
    axes.set_ylim(bottom=0)
    if path != METRES:
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
