"""Plots of the objects' visibility, the images, the attempts to draw scenes, and the files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from datagen.geometry.view import min_visible_pixels
from datagen.inspect.drawing import (
    BLUE,
    DENSITY,
    GRAY,
    PALE,
    RED,
    Panel,
    bars,
    bins_a_bar,
    bytes_text,
    count_axis,
    label,
    log_axis,
    objects_axis,
    word_label,
)
from datagen.inspect.folder import FolderFacts
from datagen.inspect.histograms import Histogram
from datagen.inspect.statistics import Statistics, attempts_text
from datagen.io.ranges import counted

# What is seen


def seen_panels(statistics: Statistics) -> list[Panel]:
    if not statistics.objects:
        return []
    return [
        lambda ax: _centres(ax, statistics),
        lambda ax: _visible_pixels(ax, statistics),
        lambda ax: _by_crowd(ax, statistics.visible, "visible pixels of an object", log=True),
        lambda ax: _by_crowd(ax, statistics.visible_share, "visible share of an object", log=False),
    ]


def _centres(ax: Axes, statistics: Statistics) -> None:
    """Draw objects' centres on the most frequent frame; centres on frames of other sizes are scaled to it."""
    [((width, height, _), _)] = statistics.frames.most_common(1)
    merge = bins_a_bar(statistics.objects)
    rows, columns = statistics.centres.shape
    counts = statistics.centres.reshape(rows // merge, merge, columns // merge, merge).sum((1, 3))
    ax.imshow(counts, cmap=DENSITY, vmin=0, extent=(0, width, height, 0))
    outside = f", {statistics.centres_outside:,} outside" if statistics.centres_outside else ""
    label(ax, "centres on the frame", f"x in pixels{outside}", "y in pixels")


def _visible_pixels(ax: Axes, statistics: Statistics) -> None:
    histograms = list(statistics.visible.values())
    counts = np.sum([histogram.counts for histogram in histograms], 0)
    merge = bins_a_bar(statistics.objects)
    counts, edges = counts.reshape(-1, merge).sum(1), histograms[0].edges[::merge]
    ax.stairs(counts, edges, fill=True, color=BLUE)
    ax.set_xscale("log")
    log_axis(ax.xaxis)
    for width, height in list(dict.fromkeys(frame[:2] for frame, _ in statistics.frames.most_common()))[:3]:
        least = min_visible_pixels(width, height)
        ax.axvline(least, color=RED, linewidth=1.2)
        ax.annotate(f" {least:.0f}", (least, 0.97), xycoords=("data", "axes fraction"), va="top", fontsize=7.5, color=RED)
    used = np.flatnonzero(counts)
    if len(used):
        ax.set_xlim(min(edges[used[0]], least) / 1.5, max(edges[used[-1] + 1], least) * 1.5)
    hidden = sum(histogram.below for histogram in histograms)
    label(
        ax,
        "visible pixels of an object",
        f"pixels (red: least asked for; under it {statistics.too_little_seen:,}, hidden {hidden:,})",
        "objects",
    )
    count_axis(ax.yaxis)


def _by_crowd(ax: Axes, histograms: Mapping[int, Histogram], title: str, log: bool) -> None:
    """Draw the median and the middle 80 % of values, by the number of objects in the scene."""
    counts = sorted(count for count, histogram in histograms.items() if histogram.n)
    low, middle, high = (np.array([histograms[count].quantile(share) for count in counts], float) for share in (0.1, 0.5, 0.9))
    ax.vlines(counts, low, high, color=PALE, linewidth=7)
    ax.plot(counts, middle, "o-", color=BLUE, markersize=4, linewidth=1.2)
    if log and high.max(initial=0) > 0:
        ax.set_yscale("log")
        log_axis(ax.yaxis)
    elif not log:
        ax.set_ylim(0, 1.04)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))
    objects_axis(ax, counts)
    label(ax, title, "objects in the scene\n(dot: median, bar: middle 80 %)", "pixels" if log else "of its pixels if alone")


# Images


def image_panels(statistics: Statistics) -> list[Panel]:
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
    label(ax, "mean image", f"{pixels.shape[1]}×{pixels.shape[0]} pixels, of {counted(images, 'image')}")
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
    label(ax, "pixel values by channel", "8-bit value (legend: mean ± deviation)", "% of pixels")


def _brightness(ax: Axes, histogram: Histogram, title: str) -> None:
    bars(ax, histogram)
    used = np.flatnonzero(histogram.counts)
    ax.set_xlim(max(histogram.low, histogram.edges[max(used[0] - 2, 0)]), histogram.edges[min(used[-1] + 3, histogram.bins)])
    label(ax, title, f"8-bit value (mean {histogram.mean:.1f}, {histogram.least:.1f} to {histogram.most:.1f})", "images")


# How it was made and what it takes on disk


def origin_panels(statistics: Statistics, facts: FolderFacts) -> list[Panel]:
    panels: list[Panel] = []
    if statistics.attempts:
        panels += [lambda ax: _attempts(ax, statistics), lambda ax: _redraws(ax, statistics)]
    return [*panels, lambda ax: _disk(ax, facts), lambda ax: _image_sizes(ax, statistics.image_bytes)]


def _attempts(ax: Axes, statistics: Statistics) -> None:
    powers = range(max(statistics.attempts) + 1)
    ax.bar(powers, [statistics.attempts[power] for power in powers], color=BLUE, width=0.8)
    ax.set_xticks(powers, [attempts_text(power) for power in powers], rotation=30 if len(powers) > 6 else 0)
    label(ax, "how often a scene was drawn anew", "refused tries", "scenes")
    count_axis(ax.yaxis)


def _redraws(ax: Axes, statistics: Statistics) -> None:
    counts = sorted(statistics.attempts_by_count)
    ax.plot(counts, [statistics.attempts_by_count[count].mean or 0.0 for count in counts], "o-", color=BLUE, markersize=4, linewidth=1.2)
    ax.set_ylim(0)
    objects_axis(ax, counts)
    label(ax, "the same by crowdedness", "objects in the scene", "refused tries, mean")


def _disk(ax: Axes, facts: FolderFacts) -> None:
    rows = facts.file_bytes.most_common()
    rest = facts.bytes - facts.file_bytes.total()
    rows += [("tar headers", rest)] if rest > 0 else []
    ax.barh(range(len(rows)), [size for _, size in rows], color=[BLUE] * len(facts.files) + [GRAY], height=0.72)
    ax.set_yticks(range(len(rows)), [word_label(suffix) for suffix, _ in rows])
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
    label(ax, "disk", f"{bytes_text(facts.bytes)} in all")


def _image_sizes(ax: Axes, histogram: Histogram) -> None:
    used = np.flatnonzero(histogram.counts)
    ax.stairs(histogram.counts, histogram.edges / 1e3, fill=True, color=BLUE)
    ax.set_xlim(histogram.edges[max(used[0] - 2, 0)] / 1e3, histogram.edges[min(used[-1] + 3, histogram.bins)] / 1e3)
    label(ax, "size of an image's file", f"kB (mean {(histogram.mean or 0) / 1e3:.1f})", "images")
    count_axis(ax.yaxis)
