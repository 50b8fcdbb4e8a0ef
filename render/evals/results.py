"""What cells say together: ``table.md``, ``metrics.json``, ``plots.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datagen.files import atomic_file, write_bytes, write_json
from render.evals.cells import Cell
from render.evals.plan import Evaluation
from render.evals.table import table_text

TABLE, METRICS, PLOTS, FAILURES = "table.md", "metrics.json", "plots.png", "failures.html"


def write_results(out: Path, evaluation: Evaluation, cells: Sequence[Cell]) -> None:
    """Write the three files of these cells into `out`, each whole."""
    from render.evals.plots import plot  # the plots' library takes its time

    write_json(out / METRICS, {"evaluation": evaluation.name, "cells": [cell.to_json() for cell in cells]})
    write_bytes(out / TABLE, table_text(evaluation, cells).encode())
    with atomic_file(out / PLOTS) as stream:
        plot(evaluation, cells).savefig(stream, format="png", dpi=110)
