"""Scores over the number of training images, or where there is one number alone, by method: a colour a method, solid in distribution,
dashed and dotted out of it, bars for intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from render.evals.cells import Cell
from render.evals.declaration import Evaluation, Measure, Method
from render.evals.table import at

COLORS = ("#2f6fdb", "#e8833a", "#2b9a54", "#b34fc5", "#c9423f", "#8a6d3b", "#1fa3b5", "#626b7a")
STYLES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
COLUMNS = 4


def plot(evaluation: Evaluation, cells: Sequence[Cell]) -> Figure:
    """The evaluation's panels."""
    rows = -(-len(evaluation.panels) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 3.1 * rows + 0.7), layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.1))
    grid = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes, panel in zip(grid, evaluation.panels, strict=False):
        _panel(axes, panel, evaluation, cells)
    for axes in grid[len(evaluation.panels) :]:
        axes.set_axis_off()
    handles = [Line2D([], [], color=_color(m, evaluation), linewidth=2, label=m.label) for m in _methods(cells)]
    for place, condition in enumerate(evaluation.conditions):
        face = "white" if place else "#626b7a"
        style = STYLES[place] if len(_sizes(cells)) > 1 else ""
        handles.append(Line2D([], [], color="#626b7a", linestyle=style, marker="o", markerfacecolor=face, label=condition.label))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)), frameon=False)
    return figure


def _methods(cells: Sequence[Cell]) -> list[Method]:
    return list(dict.fromkeys(cell.request.method for cell in cells))


def _sizes(cells: Sequence[Cell]) -> list[int]:
    return sorted({cell.request.size for cell in cells})


def _color(method: Method, evaluation: Evaluation) -> str:
    return COLORS[[m.name for m in evaluation.methods].index(method.name) % len(COLORS)]


def _panel(axes: Axes, panel: Measure, evaluation: Evaluation, cells: Sequence[Cell]) -> None:
    sizes = _sizes(cells)
    series = [(method, place) for method in _methods(cells) for place in range(len(evaluation.conditions))]
    for number, (method, place) in enumerate(series):
        key, color = evaluation.conditions[place].key, _color(method, evaluation)
        own = [cell for cell in cells if cell.request.method == method]
        told = [(c.request.size, at(c.scores[key], panel.path), at(c.intervals[key], panel.path)) for c in own]
        known = [(size, value, ends) for size, value, ends in told if value is not None]
        aside = 1.025 ** (number - (len(series) - 1) / 2)  # so that bars at one size stand beside each other
        dots: dict[str, Any] = {"color": color, "marker": "o", "markersize": 5, "markerfacecolor": "white" if place else color}
        for size, value, ends in known:
            low, high = ends or (value, value)
            bar = ([max(0.0, value - low)], [max(0.0, high - value)])
            axes.errorbar([size * aside if len(sizes) > 1 else number], [value], yerr=bar, elinewidth=1.2, capsize=2.5, **dots)
        if len(sizes) > 1:
            there = sorted({size for size, _, _ in known})
            means = [fmean(value for size, value, _ in known if size == one) for one in there]
            axes.plot([size * aside for size in there], means, color=color, linestyle=STYLES[place], linewidth=1.5)
    _style(axes, panel)
    if len(sizes) > 1:
        _size_axis(axes, sizes)
    else:
        _method_axis(axes, _methods(cells), len(evaluation.conditions), sizes[0])


def _style(axes: Axes, panel: Measure) -> None:
    axes.set_title(panel.title, fontsize=11)
    if panel.log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.04 * axes.get_ylim()[1])
    if panel.form == "share":
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.4, sizes[-1] * 1.4)
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("training images")


def _method_axis(axes: Axes, methods: Sequence[Method], conditions: int, size: int) -> None:
    middles = [number * conditions + (conditions - 1) / 2 for number in range(len(methods))]
    axes.set_xticks(middles, [method.name for method in methods], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.7, len(methods) * conditions - 0.3)
    axes.set_xlabel(f"{size:,} training images")
