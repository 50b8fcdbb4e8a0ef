"""Plots of scores over the number of training images, or by method if all runs have the same number. Each method has a colour; lines are
solid in distribution, dashed and dotted out of distribution; bars are intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from render.evals.declaration import Evaluation, Measure, Method
from render.evals.runs import Run
from render.evals.table import at

COLORS = ("#2f6fdb", "#e8833a", "#2b9a54", "#b34fc5", "#c9423f", "#8a6d3b", "#1fa3b5", "#626b7a")
STYLES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
COLUMNS = 4
Point = tuple[int, float, Sequence[float] | None]
"""The number of training images, a score, and the ends of its interval."""


def plot(evaluation: Evaluation, runs: Sequence[Run]) -> Figure:
    """The figure of an evaluation's panels."""
    rows = -(-len(evaluation.panels) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 3.1 * rows + 0.7), layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.1))
    grid = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes, panel in zip(grid, evaluation.panels, strict=False):
        _panel(axes, panel, evaluation, runs)
    for axes in grid[len(evaluation.panels) :]:
        axes.set_axis_off()
    handles = [Line2D([], [], color=_color(m, evaluation), linewidth=2, label=m.label) for m in _methods(runs)]
    for place, condition in enumerate(evaluation.conditions):
        face = "white" if place else "#626b7a"
        style = STYLES[place] if len(_sizes(runs)) > 1 else ""
        handles.append(Line2D([], [], color="#626b7a", linestyle=style, marker="o", markerfacecolor=face, label=condition.label))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)), frameon=False)
    return figure


def _methods(runs: Sequence[Run]) -> list[Method]:
    return list(dict.fromkeys(run.request.method for run in runs))


def _sizes(runs: Sequence[Run]) -> list[int]:
    return sorted({run.request.size for run in runs})


def _color(method: Method, evaluation: Evaluation) -> str:
    return COLORS[[m.name for m in evaluation.methods].index(method.name) % len(COLORS)]


def _panel(axes: Axes, panel: Measure, evaluation: Evaluation, runs: Sequence[Run]) -> None:
    sizes = _sizes(runs)
    series = [(method, place) for method in _methods(runs) for place in range(len(evaluation.conditions))]
    for number, (method, place) in enumerate(series):
        key, color = evaluation.conditions[place].key, _color(method, evaluation)
        own = [run for run in runs if run.request.method == method]
        values = [(run.request.size, at(run.scores[key], panel.path), at(run.intervals[key], panel.path)) for run in own]
        points = [(size, value, ends) for size, value, ends in values if value is not None]
        shift = 1.025 ** (number - (len(series) - 1) / 2)  # so that bars at one size do not overlap
        places = {size: size * shift if len(sizes) > 1 else float(number) for size in sizes}
        _bars(axes, points, places, color, "white" if place else color)
        if len(sizes) > 1:
            there = sorted({size for size, _, _ in points})
            means = [fmean(value for size, value, _ in points if size == one) for one in there]
            axes.plot([places[size] for size in there], means, color=color, linestyle=STYLES[place], linewidth=1.5)
    _style(axes, panel)
    if len(sizes) > 1:
        _size_axis(axes, sizes)
    else:
        _method_axis(axes, _methods(runs), len(evaluation.conditions), sizes[0])


def _bars(axes: Axes, points: Sequence[Point], places: Mapping[int, float], color: str, face: str) -> None:
    """Draw each score as a dot with a bar for its interval, at the place of its size."""
    for size, value, ends in points:
        low, high = ends or (value, value)
        bar = ([max(0.0, value - low)], [max(0.0, high - value)])
        dot: dict[str, Any] = {"color": color, "marker": "o", "markersize": 5, "markerfacecolor": face}
        axes.errorbar([places[size]], [value], yerr=bar, elinewidth=1.2, capsize=2.5, **dot)


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
