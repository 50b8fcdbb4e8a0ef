"""Plots of the scenes' contents: numbers of objects, words, pairs of words, positions, numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from datagen.inspect.drawing import (
    BLUE,
    DENSITY,
    GRAY,
    INK,
    MOST_WORDS,
    RED,
    SERIES,
    Panel,
    bars,
    bins_a_bar,
    count_axis,
    label,
    objects_axis,
    panel,
    short_count,
    word_label,
)
from datagen.inspect.histograms import Histogram
from datagen.inspect.statistics import Statistics
from datagen.inspect.tallies import StatementTally, component_name
from datagen.scene import Camera

# What the scenes hold


def scene_panels(statistics: Statistics) -> list[Panel]:
    panels: list[Panel] = [lambda ax: _object_counts(ax, statistics)]
    for tally in statistics.statements.values():
        panels += [panel(_words, tally, name) for name in tally.words]
    return panels


def _object_counts(ax: Axes, statistics: Statistics) -> None:
    counts = sorted(statistics.objects_per_scene)
    ax.bar(counts, [statistics.objects_per_scene[count] for count in counts], width=0.8, color=BLUE)
    mean = statistics.objects / statistics.samples
    label(ax, "objects a scene", f"objects (mean {mean:.2f})", "scenes")
    objects_axis(ax, counts)
    count_axis(ax.yaxis)


def _words(ax: Axes, tally: StatementTally, name: str) -> None:
    (title, shown), undeclared = _shown(tally, name), tally.undeclared[name]
    counter = dict.fromkeys(shown.values(), 0)
    for word, n in tally.words[name].items():
        counter[shown[word]] += n
    rows = [(word, n, BLUE) for word, n in counter.items()] + [(word, n, RED) for word, n in undeclared.items()]
    rows = rows[:MOST_WORDS]
    ax.barh(range(len(rows)), [n for _, n, _ in rows], color=[ink for _, _, ink in rows], height=0.72)
    ax.set_yticks(range(len(rows)), [word_label(word) for word, _, _ in rows])
    ax.invert_yaxis()
    for place, (_, n, _) in enumerate(rows):
        ax.annotate(f" {short_count(n)}", (n, place), va="center", fontsize=7.5, color=GRAY if n else RED)
    ax.set_xlim(0, max(1, *(n for _, n, _ in rows)) * 1.14)
    note = "red: undeclared" if undeclared else ""
    label(ax, f"{_statement(tally)}{title}", f"objects {note}".strip())
    count_axis(ax.xaxis)


def _shown(tally: StatementTally, name: str) -> tuple[str, Mapping[str, str]]:
    """The title of an argument's plot, and the label of each of its words. More than `MOST_WORDS` words are labelled by their groups, if
    the domain has any."""
    words = tally.words[name]
    for title, groups in tally.domain.groups.items():
        if groups.argument == name and len(words) > MOST_WORDS:
            return title, groups.of
    return name, {word: word for word in words}


def _statement(tally: StatementTally) -> str:
    """The beginning of a title: the statement's name, if the domain has several statements."""
    return f"{tally.statement.name}: " if len(tally.domain.statements) > 1 else ""


# Which words come together


def pair_panels(statistics: Statistics) -> list[Panel]:
    """A panel for each pair of arguments, those first of which some words never occur together."""
    pairs = [(tally, pair) for tally in statistics.statements.values() for pair in tally.pairs]
    pairs.sort(key=lambda entry: not entry[0].holes(*entry[1]))
    return [panel(_pair, tally, *pair) for tally, pair in pairs]


def _pair(ax: Axes, tally: StatementTally, a: str, b: str) -> None:
    (row_title, row_of), (column_title, column_of) = _shown(tally, a), _shown(tally, b)
    rows, columns = (list(dict.fromkeys(shown.values())) for shown in (row_of, column_of))
    places = (
        [names.index(shown[word]) for word in tally.words[name]] for names, shown, name in ((rows, row_of, a), (columns, column_of, b))
    )
    table = np.zeros((len(rows), len(columns)), np.int64)
    np.add.at(table, np.ix_(*places), tally.pairs[a, b])
    holes = set(tally.holes(a, b)) if (row_title, column_title) == (a, b) else set()
    odd = {(row, column) for row, column in holes if not tally.excluded({a: row, b: column})}
    most = max(1, int(table.max()))
    ax.imshow(table, cmap=DENSITY, vmin=0, vmax=most, aspect="auto")
    ax.set_xticks(range(len(columns)), [word_label(word) for word in columns], rotation=45 if len(columns) > 5 else 0)
    ax.set_yticks(range(len(rows)), [word_label(word) for word in rows])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if table.size <= 200:
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                ink = RED if (row, column) in odd else "white" if table[i, j] > 0.55 * most else INK
                weight = "bold" if (row, column) in odd else "normal"
                ax.text(j, i, short_count(int(table[i, j])), ha="center", va="center", fontsize=7.5, color=ink, fontweight=weight)
    for row, column in odd:
        box = (columns.index(column) - 0.46, rows.index(row) - 0.44)
        ax.add_patch(_outline(box, 0.92, 0.88))
    note = f"{len(odd)} never together" if odd else f"{len(holes)} left out by the split" if holes else "objects with both words"
    label(ax, f"{_statement(tally)}{row_title} × {column_title}", note)


def _outline(corner: tuple[float, float], width: float, height: float) -> Rectangle:
    return Rectangle(corner, width, height, fill=False, edgecolor=RED, linewidth=1.2)


# Where objects and lamps are


def place_panels(statistics: Statistics) -> list[Panel]:
    panels: list[Panel] = []
    if statistics.positions.counts.any():
        panels.append(lambda ax: _from_above(ax, statistics))
    if statistics.lamps:
        panels.append(lambda ax: _lamps(ax, statistics))
    for tally in statistics.statements.values():
        for number in tally.statement.numbers:
            for place, histogram in enumerate(tally.numbers[number.name]):
                title = _statement(tally) + component_name(number, place)
                if histogram.n:
                    panels.append(panel(_number, histogram, title, number.unit))
    return panels


def _from_above(ax: Axes, statistics: Statistics) -> None:
    cells = int(np.clip(np.sqrt(statistics.objects), 10, 48))
    density, extent = statistics.positions.occupied(cells)
    ax.imshow(density, cmap=DENSITY, vmin=0, origin="lower", extent=extent)
    label(ax, "objects from above" if statistics.cameras else "objects", f"x in {statistics.unit}", f"y in {statistics.unit}")
    _view_directions(ax, statistics.cameras)


def _view_directions(ax: Axes, cameras: Mapping[tuple[str, Camera] | None, int]) -> None:
    """Draw an arrow beside the square for each camera, in the direction of its view, if the cameras are few."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    middle, reach = np.array([(left + right) / 2, (bottom + top) / 2]), max(right - left, top - bottom) / 2
    views = [camera[1] for camera in cameras if camera is not None]
    tails = [middle]
    for camera in views if len(views) <= 8 else []:
        step = np.array(camera.location[:2]) - np.array(camera.target[:2])
        if (length := np.linalg.norm(step)) < 1e-6:
            continue  # the camera looks straight down
        step /= length
        tip = middle + step * 1.05 * reach / np.abs(step).max()
        tails.append(tip + step * 0.5 * reach)
        arrow = {"arrowstyle": "-|>", "color": RED, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", tuple(tip), tuple(tails[-1]), arrowprops=arrow)
    corners = [*tails, middle - reach, middle + reach]
    (left, bottom), (right, top) = np.min(corners, 0) - 0.05 * reach, np.max(corners, 0) + 0.05 * reach
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    if views:
        ax.set_xlabel("x in m (red: camera's view)" if len(views) <= 8 else f"x in m ({len(views)} cameras)")


def _lamps(ax: Axes, statistics: Statistics) -> None:
    shown = list(statistics.lamps.items())[: len(SERIES)]
    for ink, (name, lamps) in zip(SERIES, shown, strict=False):
        spots = np.array(lamps.shown).reshape(-1, 3)
        ax.scatter(spots[:, 0], spots[:, 1], s=9, color=ink, alpha=_alpha(len(spots)), linewidths=0, label=word_label(name))
    ax.scatter([0], [0], marker="+", s=60, color=INK, linewidths=1)
    ax.set_aspect("equal", adjustable="datalim")
    legend = ax.legend(fontsize=7.5, frameon=False, loc="best", markerscale=1.8, handletextpad=0.1)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    label(ax, "lamps from above", "x in m (+: the origin)", "y in m")


def _alpha(points: int) -> float:
    return float(np.clip(30 / np.sqrt(max(points, 1)), 0.25, 0.9))


def _number(ax: Axes, histogram: Histogram, title: str, unit: str) -> None:
    bars(ax, histogram, merge=bins_a_bar(histogram.n))
    spread = f"mean {histogram.mean:.3g}, {histogram.least:.3g} to {histogram.most:.3g}"
    outside = f"\n{histogram.outside:,} outside the declared range" if histogram.outside else ""
    label(ax, title, f"{unit} ({spread}){outside}", "objects")
