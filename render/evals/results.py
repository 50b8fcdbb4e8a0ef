"""What cells say together: ``table.md``, ``metrics.json``, ``plots.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.io.files import atomic_file, write_bytes, write_json
from render.evals.cells import Cell
from render.evals.declaration import Evaluation
from render.evals.table import table_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE, METRICS, PLOTS, PICTURES = "table.md", "metrics.json", "plots.png", "pictures.html"


def write_results(out: Path, evaluation: Evaluation, cells: Sequence[Cell]) -> None:
    """Write the three files of these cells into `out`, each whole."""
    from render.evals.plots import plot  # the plots' library takes its time

    write_json(out / METRICS, {"evaluation": evaluation.name, "cells": [cell.to_json() for cell in cells]})
    write_bytes(out / TABLE, table_text(evaluation, cells).encode())
    write_figure(out / PLOTS, plot(evaluation, cells))


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole."""
    with atomic_file(path) as stream:
        figure.savefig(stream, format="png", dpi=110)
