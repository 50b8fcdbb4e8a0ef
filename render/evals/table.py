"""The cells as Markdown tables: a row a cell, a table a condition, and what training took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from render.evals.cells import Cell
from render.evals.declaration import Condition, Evaluation, Measure


def table_text(evaluation: Evaluation, cells: Sequence[Cell]) -> str:
    """Every score that is told, with its interval in brackets."""
    lines = [f"# {evaluation.title}", ""]
    for condition in evaluation.conditions:
        lines += [f"## {condition.label[0].upper()}{condition.label[1:]}", ""]
        for table in evaluation.tables:
            lines += [table.intro, "", *_scores(cells, condition, table.columns), ""]
    lines += ["## Training", "", *_training(cells), ""]
    lines += [
        evaluation.note,
        "In brackets: 95 % intervals, from drawing the test scenes anew 1,000 times; they do not hold what another training would change.",
    ]
    return "\n".join(lines) + "\n"


_HEAD = ("method", "images", "seed")


def _scores(cells: Sequence[Cell], condition: Condition, columns: Sequence[Measure]) -> list[str]:
    def row(cell: Cell) -> Iterable[str]:
        scores, ends = cell.scores[condition.key], cell.intervals[condition.key]
        return (_told(column, at(scores, column.path), at(ends, column.path)) for column in columns)

    return _rows(cells, [column.title for column in columns], row)


def _training(cells: Sequence[Cell]) -> list[str]:
    def row(cell: Cell) -> Iterable[str]:
        first, then = cell.pretraining, cell.training
        images = f"{first['images']:,} + {then['images']:,}" if first else f"{then['images']:,}"
        seconds = f"{first['seconds']:,.0f} + {then['seconds']:,.0f}" if first else f"{then['seconds']:,.0f}"
        return images, seconds, cell.request.preset_name, cell.versions.get("device", ""), f"`{cell.request.digest}`"

    return _rows(cells, ["images seen", "seconds", "preset", "device", "cell"], row)


def _rows(cells: Sequence[Cell], titles: Sequence[str], row: Callable[[Cell], Iterable[str]]) -> list[str]:
    lines = [f"| {' | '.join((*_HEAD, *titles))} |", f"|{'---|' * (len(_HEAD) + len(titles))}"]
    ordered = sorted(cells, key=lambda cell: list(dict.fromkeys(c.request.method.name for c in cells)).index(cell.request.method.name))
    for cell in ordered:
        head = (cell.request.method.label, f"{cell.request.size:,}", str(cell.request.seed))
        lines.append(f"| {' | '.join((*head, *row(cell)))} |")
    return lines


def at(table: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The entry of a nested result; None if there is none."""
    found: Any = table
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _told(column: Measure, value: float | None, ends: Sequence[float] | None) -> str:
    """A score for people, and its interval if it has one."""
    if value is None:
        return "–"
    if column.form == "count":
        return f"{value:,}"
    scale, digits = 100 if column.form == "share" else 1, column.decimals
    between = "" if ends is None else f" ({scale * ends[0]:.{digits}f}–{scale * ends[1]:.{digits}f})"
    return f"{scale * value:.{digits}f}{between}"
