"""The plots of a data set's statistics, by section. Nothing here knows a domain's words: they come with the counts."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from datagen.geometry.view import min_visible_pixels
from datagen.inspect.folder import FolderFacts
from datagen.inspect.histograms import Histogram
from datagen.inspect.statistics import StatementTally, Statistics, attempts_text, component_name
from datagen.io.ranges import counted
from datagen.scene import Camera
from datagen.screen import printable

BLUE, PALE, RED, GRAY, INK = "#2f6fdb", "#bcd4f8", "#c4161c", "#626b7a", "#1b1f27"
SERIES = (BLUE, "#e8833a", "#2b9a54", "#8a56c9", "#c4a000", "#0f9aa8")
DENSITY = LinearSegmentedColormap.from_list("density", ["#f5f6f8", PALE, BLUE, "#12306b"])
WIDTH, HEIGHT, DPI = 18.0, 2.9, 110  # inches of a figure's width and a row's height, dots an inch
MOST_PANELS = 24
LONGEST_WORD = 22  # letters
MOST_WORDS = 30  # bars of one argument

Panel = Callable[[Axes], None]


@dataclass(frozen=True)
class Section:
    """One group of plots: its heading, what the plots rest on, and the figure as a picture."""

    title: str
    basis: str
    picture: Image.Image


def sections(statistics: Statistics, facts: FolderFacts) -> list[Section]:
    """All sections that the data set has something to show in."""
    records = f"Every record: {counted(statistics.samples, 'sample')}, {counted(statistics.objects, 'object')}."
    images = f"{counted(statistics.images.images, 'image')}, evenly spread over the {counted(statistics.samples, 'sample')}."
    where, places = "Where objects are", records
    if statistics.lamps:
        where = "Where objects and lamps are"
        places = f"Positions: every object, {statistics.objects:,}. Lamps: of {counted(statistics.images.images, 'evenly spread sample')}."
    seen = f"{records} Visible share: {counted(statistics.images.images, 'evenly spread sample')}."
    groups: list[tuple[str, str, list[Panel]]] = [
        ("What the scenes hold", records, _scene_panels(statistics)),
        ("Which words come together", f"{records} Red: never, where chance would give five or more.", _pair_panels(statistics)),
        (where, places, _place_panels(statistics)),
        ("What is seen", seen, _seen_panels(statistics)),
        ("Images", images, _image_panels(statistics)),
        ("How it was made and what it takes on disk", records, _origin_panels(statistics, facts)),
    ]
    return [_section(*group) for group in groups if group[2]]


def _section(title: str, basis: str, panels: Sequence[Panel]) -> Section:
    left_out = f" The first {MOST_PANELS} of {len(panels)} plots." if len(panels) > MOST_PANELS else ""
    return Section(title, basis + left_out, _figure(panels[:MOST_PANELS]))


def _figure(panels: Sequence[Panel]) -> Image.Image:
    """The panels in one row if they are six or fewer, else in rows that leave the least empty."""
    columns = max(4, len(panels)) if len(panels) <= 6 else min((6, 5, 4), key=lambda columns: -len(panels) % columns)
    rows = -(-len(panels) // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(WIDTH, HEIGHT * rows), layout=layout, facecolor="white")
    for place, panel in enumerate(panels):
        ax = figure.add_subplot(rows, columns, place + 1)
        _style(ax)
        panel(ax)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # words of any script; what the font lacks is drawn as a box
        figure.savefig(stream, format="png", dpi=DPI)
    with Image.open(stream) as picture:
        return picture.convert("RGB")


def _style(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GRAY)
    ax.tick_params(colors=GRAY, labelsize=8, labelcolor=INK)
    ax.set_axisbelow(True)


def _label(ax: Axes, title: str, x: str = "", y: str = "") -> None:
    ax.set_title(_plain(title), fontsize=10, color=INK, loc="left", fontweight="bold")
    ax.set_xlabel(_plain(x), fontsize=8.5, color=GRAY)
    ax.set_ylabel(_plain(y), fontsize=8.5, color=GRAY)


def _plain(text: str) -> str:
    """Text as it is, not as a formula."""
    return text.replace("$", r"\$")


def _word(text: str) -> str:
    text = printable(text)
    return _plain(text if len(text) <= LONGEST_WORD else text[: LONGEST_WORD - 1] + "…")


def _short(n: float) -> str:
    """A count in a few letters."""
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if n >= bound:
            scaled = n / (1e3 if unit == "k" else bound)
            return f"{scaled:.1f}".removesuffix(".0") + unit if scaled < 100 else f"{scaled:.0f}{unit}"
    return f"{n:.0f}"


def _count_axis(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda n, _: _short(n)))


def _crowd_axis(ax: Axes, counts: Sequence[int]) -> None:
    """Along x, numbers of objects in a scene."""
    if counts:
        ax.set_xlim(counts[0] - 0.9, counts[-1] + 0.9)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _log_axis(axis: Any) -> None:
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda n, _: _short(n)))
    axis.set_minor_formatter(NullFormatter())


# What the scenes hold


def _scene_panels(statistics: Statistics) -> list[Panel]:
    panels: list[Panel] = [lambda ax: _object_counts(ax, statistics)]
    for tally in statistics.statements.values():
        panels += [_panel(_words, tally, name) for name in tally.words]
    return panels


def _panel(draw: Callable[..., None], *arguments: Any) -> Panel:
    return lambda ax: draw(ax, *arguments)


def _object_counts(ax: Axes, statistics: Statistics) -> None:
    counts = sorted(statistics.objects_per_scene)
    ax.bar(counts, [statistics.objects_per_scene[count] for count in counts], width=0.8, color=BLUE)
    mean = statistics.objects / statistics.samples
    _label(ax, "objects a scene", f"objects (mean {mean:.2f})", "scenes")
    _crowd_axis(ax, counts)
    _count_axis(ax.yaxis)


def _words(ax: Axes, tally: StatementTally, name: str) -> None:
    (title, shown), strangers = _shown(tally, name), tally.strangers[name]
    counter = dict.fromkeys(shown.values(), 0)
    for word, n in tally.words[name].items():
        counter[shown[word]] += n
    rows = [(word, n, BLUE) for word, n in counter.items()] + [(word, n, RED) for word, n in strangers.items()]
    rows = rows[:MOST_WORDS]
    ax.barh(range(len(rows)), [n for _, n, _ in rows], color=[ink for _, _, ink in rows], height=0.72)
    ax.set_yticks(range(len(rows)), [_word(word) for word, _, _ in rows])
    ax.invert_yaxis()
    for place, (_, n, _) in enumerate(rows):
        ax.annotate(f" {_short(n)}", (n, place), va="center", fontsize=7.5, color=GRAY if n else RED)
    ax.set_xlim(0, max(1, *(n for _, n, _ in rows)) * 1.14)
    note = "red: undeclared" if strangers else ""
    _label(ax, f"{_statement(tally)}{title}", f"objects {note}".strip())
    _count_axis(ax.xaxis)


def _shown(tally: StatementTally, name: str) -> tuple[str, Mapping[str, str]]:
    """What to call an argument, and each of its words: where they are too many to read, their groups, if the domain has any."""
    words = tally.words[name]
    for title, groups in tally.domain.groups.items():
        if groups.argument == name and len(words) > MOST_WORDS:
            return title, groups.of
    return name, {word: word for word in words}


def _statement(tally: StatementTally) -> str:
    """The statement's name where the domain has several."""
    return f"{tally.statement.name}: " if len(tally.domain.statements) > 1 else ""


# Which words come together


def _pair_panels(statistics: Statistics) -> list[Panel]:
    """Of every pair of arguments, those with holes first."""
    pairs = [(tally, pair) for tally in statistics.statements.values() for pair in tally.pairs]
    pairs.sort(key=lambda entry: not entry[0].holes(*entry[1]))
    return [_panel(_pair, tally, *pair) for tally, pair in pairs]


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
    ax.set_xticks(range(len(columns)), [_word(word) for word in columns], rotation=45 if len(columns) > 5 else 0)
    ax.set_yticks(range(len(rows)), [_word(word) for word in rows])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if table.size <= 200:
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                ink = RED if (row, column) in odd else "white" if table[i, j] > 0.55 * most else INK
                weight = "bold" if (row, column) in odd else "normal"
                ax.text(j, i, _short(int(table[i, j])), ha="center", va="center", fontsize=7.5, color=ink, fontweight=weight)
    for row, column in odd:
        box = (columns.index(column) - 0.46, rows.index(row) - 0.44)
        ax.add_patch(_outline(box, 0.92, 0.88))
    note = f"{len(odd)} never together" if odd else f"{len(holes)} left out by the split" if holes else "objects with both words"
    _label(ax, f"{_statement(tally)}{row_title} × {column_title}", note)


def _outline(corner: tuple[float, float], width: float, height: float) -> Rectangle:
    return Rectangle(corner, width, height, fill=False, edgecolor=RED, linewidth=1.2)


# Where objects and lamps are


def _place_panels(statistics: Statistics) -> list[Panel]:
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
                    panels.append(_panel(_number, histogram, title, number.unit))
    return panels


def _from_above(ax: Axes, statistics: Statistics) -> None:
    cells = int(np.clip(np.sqrt(statistics.objects), 10, 48))
    density, extent = statistics.positions.occupied(cells)
    ax.imshow(density, cmap=DENSITY, vmin=0, origin="lower", extent=extent)
    _label(ax, "objects from above" if statistics.cameras else "objects", f"x in {statistics.unit}", f"y in {statistics.unit}")
    _view_directions(ax, statistics.cameras)


def _view_directions(ax: Axes, cameras: Mapping[tuple[str, Camera] | None, int]) -> None:
    """An arrow beside the square for each of the cameras, if they are few, pointing the way it looks."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    middle, reach = np.array([(left + right) / 2, (bottom + top) / 2]), max(right - left, top - bottom) / 2
    looks = [camera[1] for camera in cameras if camera is not None]
    tails = [middle]
    for camera in looks if len(looks) <= 8 else []:
        step = np.array(camera.location[:2]) - np.array(camera.target[:2])
        if (length := np.linalg.norm(step)) < 1e-6:
            continue  # straight down
        step /= length
        tip = middle + step * 1.05 * reach / np.abs(step).max()
        tails.append(tip + step * 0.5 * reach)
        arrow = {"arrowstyle": "-|>", "color": RED, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", tuple(tip), tuple(tails[-1]), arrowprops=arrow)
    corners = [*tails, middle - reach, middle + reach]
    (left, bottom), (right, top) = np.min(corners, 0) - 0.05 * reach, np.max(corners, 0) + 0.05 * reach
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    if looks:
        ax.set_xlabel("x in m (red: camera's view)" if len(looks) <= 8 else f"x in m ({len(looks)} cameras)")


def _lamps(ax: Axes, statistics: Statistics) -> None:
    shown = list(statistics.lamps.items())[: len(SERIES)]
    for ink, (name, lamps) in zip(SERIES, shown, strict=False):
        spots = np.array(lamps.shown).reshape(-1, 3)
        ax.scatter(spots[:, 0], spots[:, 1], s=9, color=ink, alpha=_alpha(len(spots)), linewidths=0, label=_word(name))
    ax.scatter([0], [0], marker="+", s=60, color=INK, linewidths=1)
    ax.set_aspect("equal", adjustable="datalim")
    legend = ax.legend(fontsize=7.5, frameon=False, loc="best", markerscale=1.8, handletextpad=0.1)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    _label(ax, "lamps from above", "x in m (+: the origin)", "y in m")


def _alpha(points: int) -> float:
    return float(np.clip(30 / np.sqrt(max(points, 1)), 0.25, 0.9))


def _number(ax: Axes, histogram: Histogram, title: str, unit: str) -> None:
    _bars(ax, histogram, merge=_wider(histogram.n))
    spread = f"mean {histogram.mean:.3g}, {histogram.least:.3g} to {histogram.most:.3g}"
    outside = f"\n{histogram.outside:,} outside the declared range" if histogram.outside else ""
    _label(ax, title, f"{unit} ({spread}){outside}", "objects")


def _bars(ax: Axes, histogram: Histogram, merge: int = 1) -> None:
    """A histogram over its whole range; `merge` neighbouring bins make one bar."""
    counts = np.array(histogram.counts).reshape(-1, merge).sum(1)
    ax.stairs(counts, histogram.edges[::merge], fill=True, color=BLUE)
    ax.set_ylim(0, max(1, counts.max()) * 1.08)
    if histogram.high > histogram.low:
        ax.set_xlim(histogram.low, histogram.high)
    _count_axis(ax.yaxis)


def _wider(n: int) -> int:
    """How many bins to draw as one, so that few values do not look ragged."""
    return 4 if n < 200 else 2 if n < 20_000 else 1


# What is seen


def _seen_panels(statistics: Statistics) -> list[Panel]:
    if not statistics.objects:
        return []
    return [
        lambda ax: _centres(ax, statistics),
        lambda ax: _visible_pixels(ax, statistics),
        lambda ax: _by_crowd(ax, statistics.visible, "visible pixels of an object", log=True),
        lambda ax: _by_crowd(ax, statistics.visible_share, "visible share of an object", log=False),
    ]


def _centres(ax: Axes, statistics: Statistics) -> None:
    """Centres on the most frequent frame; frames of other sizes are stretched to it."""
    [((width, height, _), _)] = statistics.frames.most_common(1)
    merge = _wider(statistics.objects)
    rows, columns = statistics.centres.shape
    counts = statistics.centres.reshape(rows // merge, merge, columns // merge, merge).sum((1, 3))
    ax.imshow(counts, cmap=DENSITY, vmin=0, extent=(0, width, height, 0))
    outside = f", {statistics.centres_outside:,} outside" if statistics.centres_outside else ""
    _label(ax, "centres on the frame", f"x in pixels{outside}", "y in pixels")


def _visible_pixels(ax: Axes, statistics: Statistics) -> None:
    histograms = list(statistics.visible.values())
    counts = np.sum([histogram.counts for histogram in histograms], 0)
    merge = _wider(statistics.objects)
    counts, edges = counts.reshape(-1, merge).sum(1), histograms[0].edges[::merge]
    ax.stairs(counts, edges, fill=True, color=BLUE)
    ax.set_xscale("log")
    _log_axis(ax.xaxis)
    for width, height in list(dict.fromkeys(frame[:2] for frame, _ in statistics.frames.most_common()))[:3]:
        least = min_visible_pixels(width, height)
        ax.axvline(least, color=RED, linewidth=1.2)
        ax.annotate(f" {least:.0f}", (least, 0.97), xycoords=("data", "axes fraction"), va="top", fontsize=7.5, color=RED)
    used = np.flatnonzero(counts)
    if len(used):
        ax.set_xlim(min(edges[used[0]], least) / 1.5, max(edges[used[-1] + 1], least) * 1.5)
    hidden = sum(histogram.below for histogram in histograms)
    _label(
        ax,
        "visible pixels of an object",
        f"pixels (red: least asked for; under it {statistics.too_little_seen:,}, hidden {hidden:,})",
        "objects",
    )
    _count_axis(ax.yaxis)


def _by_crowd(ax: Axes, histograms: Mapping[int, Histogram], title: str, log: bool) -> None:
    """Median and the middle 80 % by the number of objects in the scene."""
    counts = sorted(count for count, histogram in histograms.items() if histogram.n)
    low, middle, high = (np.array([histograms[count].quantile(share) for count in counts], float) for share in (0.1, 0.5, 0.9))
    ax.vlines(counts, low, high, color=PALE, linewidth=7)
    ax.plot(counts, middle, "o-", color=BLUE, markersize=4, linewidth=1.2)
    if log and high.max(initial=0) > 0:
        ax.set_yscale("log")
        _log_axis(ax.yaxis)
    elif not log:
        ax.set_ylim(0, 1.04)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))
    _crowd_axis(ax, counts)
    _label(ax, title, "objects in the scene\n(dot: median, bar: middle 80 %)", "pixels" if log else "of its pixels if alone")


# Images


def _image_panels(statistics: Statistics) -> list[Panel]:
    images = statistics.images
    return [
        lambda ax: _mean_image(ax, statistics),
        lambda ax: _channels(ax, statistics),
        lambda ax: _brightness(ax, images.means, "mean of an image"),
        lambda ax: _brightness(ax, images.stds, "standard deviation of an image"),
    ]


def _mean_image(ax: Axes, statistics: Statistics) -> None:
    pixels, images = statistics.images.mean_image()
    ax.imshow(pixels)
    _label(ax, "mean image", f"{pixels.shape[1]}×{pixels.shape[0]} pixels, of {counted(images, 'image')}")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _channels(ax: Axes, statistics: Statistics) -> None:
    images = statistics.images
    shares = images.values.reshape(3, 64, 4).sum(2) / images.values.sum(1, keepdims=True)
    for name, ink, row, mean, std in zip(
        ("red", "green", "blue"), ("#d33", "#2b9a54", BLUE), shares, images.channel_mean, images.channel_std, strict=True
    ):
        ax.stairs(100 * row, np.linspace(0, 256, 65), color=ink, linewidth=1.3, label=f"{name} {mean:.1f} ± {std:.1f}")
    ax.set_xlim(0, 256)
    ax.set_ylim(0)
    ax.legend(fontsize=7.5, frameon=False, loc="best")
    _label(ax, "pixel values by channel", "8-bit value (legend: mean ± deviation)", "% of pixels")


def _brightness(ax: Axes, histogram: Histogram, title: str) -> None:
    _bars(ax, histogram)
    used = np.flatnonzero(histogram.counts)
    ax.set_xlim(max(histogram.low, histogram.edges[max(used[0] - 2, 0)]), histogram.edges[min(used[-1] + 3, histogram.bins)])
    _label(ax, title, f"8-bit value (mean {histogram.mean:.1f}, {histogram.least:.1f} to {histogram.most:.1f})", "images")


# How it was made and what it takes on disk


def _origin_panels(statistics: Statistics, facts: FolderFacts) -> list[Panel]:
    panels: list[Panel] = []
    if statistics.attempts:
        panels += [lambda ax: _attempts(ax, statistics), lambda ax: _redraws(ax, statistics)]
    return [*panels, lambda ax: _disk(ax, facts), lambda ax: _image_sizes(ax, statistics.image_bytes)]


def _attempts(ax: Axes, statistics: Statistics) -> None:
    powers = range(max(statistics.attempts) + 1)
    ax.bar(powers, [statistics.attempts[power] for power in powers], color=BLUE, width=0.8)
    ax.set_xticks(powers, [attempts_text(power) for power in powers], rotation=30 if len(powers) > 6 else 0)
    _label(ax, "how often a scene was drawn anew", "refused tries", "scenes")
    _count_axis(ax.yaxis)


def _redraws(ax: Axes, statistics: Statistics) -> None:
    counts = sorted(statistics.attempts_by_count)
    ax.plot(counts, [statistics.attempts_by_count[count].mean or 0.0 for count in counts], "o-", color=BLUE, markersize=4, linewidth=1.2)
    ax.set_ylim(0)
    _crowd_axis(ax, counts)
    _label(ax, "the same by crowdedness", "objects in the scene", "refused tries, mean")


def _disk(ax: Axes, facts: FolderFacts) -> None:
    rows = facts.file_bytes.most_common()
    rest = facts.bytes - facts.file_bytes.total()
    rows += [("tar headers", rest)] if rest > 0 else []
    ax.barh(range(len(rows)), [size for _, size in rows], color=[BLUE] * len(facts.files) + [GRAY], height=0.72)
    ax.set_yticks(range(len(rows)), [_word(suffix) for suffix, _ in rows])
    ax.invert_yaxis()
    most = max(1, *(size for _, size in rows))
    for place, (suffix, size) in enumerate(rows):
        mean = f", {bytes_text(size / facts.files[suffix])} each" if suffix in facts.files else ""
        inside = size > 0.5 * most
        ax.annotate(
            f" {bytes_text(size)}{mean} ", (size, place), va="center", ha="right" if inside else "left",
            fontsize=7.5, color="white" if inside else GRAY,
        )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(EngFormatter("B"))
    _label(ax, "disk", f"{bytes_text(facts.bytes)} in all")


def _image_sizes(ax: Axes, histogram: Histogram) -> None:
    used = np.flatnonzero(histogram.counts)
    ax.stairs(histogram.counts, histogram.edges / 1e3, fill=True, color=BLUE)
    ax.set_xlim(histogram.edges[max(used[0] - 2, 0)] / 1e3, histogram.edges[min(used[-1] + 3, histogram.bins)] / 1e3)
    _label(ax, "size of an image's file", f"kB (mean {(histogram.mean or 0) / 1e3:.1f})", "images")
    _count_axis(ax.yaxis)


def bytes_text(size: float) -> str:
    """A size for people, in powers of 1000."""
    for bound, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= bound:
            return f"{size / bound:.1f} {unit}"
    return f"{size:.0f} B"
