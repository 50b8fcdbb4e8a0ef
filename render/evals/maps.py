"""Error maps of dots: each test dot at its true and at its predicted position, coloured by the distance between the two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from datagen.domains.base import Domain
from datagen.domains.splits import Split
from render.evals.declaration import Evaluation, Shown

MAPS = "maps.png"
LEAST, MOST = 1e-3, 0.3  # errors in sides of the square: the ends of the colour scale


def error_maps(evaluation: Evaluation, shown: Sequence[Shown]) -> Figure:
    """A column for each method and size, with the training squares outlined: above, the true dots, coloured by the distance to the
    predicted dot; below, the predicted dots in the same colours. Scenes without exactly one predicted dot are left out."""
    columns = list(dict.fromkeys((one.method, one.size) for one in shown))
    figure = Figure(figsize=(3.1 * max(2, len(columns)) + 1, 6.6), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08))
    if not columns:
        figure.text(0.1, 0.5, "There are no predictions in this folder to draw maps from.")
        return figure
    grid = figure.subplots(2, len(columns), squeeze=False)
    for (above, below), (method, size) in zip(grid.T, columns, strict=True):
        spots = np.array(
            [pair for one in shown if (one.method, one.size) == (method, size) for pair in _spots(one, evaluation.domain)]
        ).reshape(-1, 2, 2)
        errors = np.linalg.norm(spots[:, 0] - spots[:, 1], axis=1).clip(LEAST, MOST)
        for axes, places in ((above, spots[:, 0]), (below, spots[:, 1])):
            dots = axes.scatter(*places.T, c=errors, s=5, cmap="viridis_r", norm=LogNorm(LEAST, MOST), linewidths=0)
            _square(axes, evaluation.train.allowed)
        above.set_title(f"{method.label}\n{size:,} training images", fontsize=10)
    grid[0, 0].set_ylabel("true dots")
    grid[1, 0].set_ylabel("dots read")
    figure.colorbar(dots, ax=grid, label="error, sides of the square", shrink=0.7)
    return figure


def _spots(one: Shown, domain: Domain) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The true and the predicted position (x, y), for each scene of one dot with one predicted dot."""
    for key in one.keys:
        truth, guess = one.truth.answer(key, domain), one.guess.answer(key, domain)
        if truth is None or guess is None or truth.scene is None or guess.scene is None:
            continue
        if len(truth.scene) == len(guess.scene) == 1:
            yield truth.scene.objects[0]["loc"], guess.scene.objects[0]["loc"]


def _square(axes: Axes, trained: Split) -> None:
    """Draw the unit square, with the regions that the training split allows outlined."""
    for region in trained.regions:
        intervals = dict(region)
        for left, right in intervals["loc.x"]:
            for bottom, top in intervals["loc.y"]:
                axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, linewidth=0.7, edgecolor="#20242c"))
    axes.set_aspect("equal")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks([0, 1])
    axes.set_yticks([0, 1])
