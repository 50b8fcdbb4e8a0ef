"""The results of finished runs: ``table.md``, ``metrics.json``, ``plots.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.io.files import atomic_file, write_bytes, write_json
from render.evals.declaration import Evaluation
from render.evals.runs import Run
from render.evals.table import table_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE, METRICS, PLOTS, PICTURES = "table.md", "metrics.json", "plots.png", "pictures.html"


def write_results(out: Path, evaluation: Evaluation, runs: Sequence[Run]) -> None:
    """Write the three files of these runs into `out`, each whole."""
    from render.evals.plots import plot  # matplotlib takes a second to load

    write_json(out / METRICS, {"evaluation": evaluation.name, "cells": [run.to_json() for run in runs]})
    write_bytes(out / TABLE, table_text(evaluation, runs).encode())
    write_figure(out / PLOTS, plot(evaluation, runs))


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole."""
    with atomic_file(path) as stream:
        figure.savefig(stream, format="png", dpi=110)
