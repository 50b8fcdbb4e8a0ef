"""The results of finished runs: ``table.md``, ``metrics.json``, ``plots.png``, the page of pictures and an evaluation's own figures.

Several calls may write into one folder, one after the other; files that are not igllm's are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.io.files import json_bytes
from datagen.io.locks import turn
from datagen.io.written import Written
from datagen.screen import print_line
from render.evals.declaration import Evaluation
from render.evals.runs import Run
from render.evals.table import table_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE, METRICS, PLOTS, PICTURES = "table.md", "metrics.json", "plots.png", "pictures.html"
VERB = "eval"  # the list of written files is named after it
_STATED = {"evaluation", "cells"}  # in every metrics.json


def check_results(out: Path, evaluation: Evaluation) -> None:
    """`UserError` if a file that igllm has not written is in the place of a result. Called before work begins."""
    if out.exists():
        with _writing(out, evaluation):
            pass


def write_results(out: Path, evaluation: Evaluation, runs: Sequence[Run]) -> None:
    """Write table, plots and numbers of these runs into `out`, each atomically. `UserError` as from `check_results`."""
    from render.evals.plots import plot  # matplotlib takes a second to load

    metrics = {"evaluation": evaluation.name, "cells": [run.to_json() for run in runs]}
    files = {METRICS: json_bytes(metrics), TABLE: table_text(evaluation, runs).encode(), PLOTS: figure_bytes(plot(evaluation, runs))}
    write_files(out, evaluation, files)


def write_files(out: Path, evaluation: Evaluation, files: Mapping[str, bytes]) -> None:
    """Write some of the results, given by file name. `UserError` as from `check_results`."""
    with _writing(out, evaluation) as written:
        written.write(files)


@contextmanager
def _writing(out: Path, evaluation: Evaluation) -> Iterator[Written]:
    """The list of written files, held for this call alone. Earlier versions wrote no list: their results are recognised by content."""
    names = (METRICS, TABLE, PLOTS, PICTURES, *evaluation.figures)
    with turn(out / METRICS, lambda text: print_line(f"eval: {text}")):
        written = Written(out, VERB)
        written.adopt(names, METRICS, _STATED)
        written.refuse_strangers(names)
        yield written


def figure_bytes(figure: Figure) -> bytes:
    """A figure as PNG."""
    from datagen.inspect.drawing import picture_of  # matplotlib takes a second to load
    from datagen.inspect.page import png

    return png(picture_of(figure))
