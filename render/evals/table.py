"""The cells as Markdown tables: a row a cell, a table a condition, and what training took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from render.evals.cells import Cell
from render.evals.plan import Evaluation

Path = tuple[str, ...]
MATCHED, ALL = "accuracy_matched", "accuracy_all"


def table_text(evaluation: Evaluation, cells: Sequence[Cell]) -> str:
    """Every score that is told, with its interval in brackets."""
    lines = [f"# {evaluation.title}", ""]
    for condition in evaluation.conditions:
        lines += [f"## {condition.label[0].upper()}{condition.label[1:]}", ""]
        lines += ["Of matched objects, as the paper tells them, beside how many are matched:", ""]
        lines += _table(
            cells, condition.key, [("L2, m", ("location_l2",)), *_choices(cells, condition.key, MATCHED), ("recall", ("recall",))]
        )
        lines += ["", "Of all true objects, a missed one being wrong:", ""]
        lines += _table(cells, condition.key, [*_choices(cells, condition.key, ALL), *_WHOLE])
        lines += [""]
    lines += ["## Training", "", *_training(cells), ""]
    lines += [
        "Accuracies, recall, AP (average precision, by the distance in metres that a right object may be off) and relations in %. In",
        "brackets: 95 % intervals, from drawing the test scenes anew 1,000 times; they do not hold what another training would change.",
    ]
    return "\n".join(lines) + "\n"


_WHOLE: list[tuple[str, Path]] = [
    ("count", ("count_accuracy",)),
    ("AP ∞", ("ap", "inf")),
    ("AP 1", ("ap", "1")),
    ("AP 0.5", ("ap", "0.5")),
    ("AP 0.25", ("ap", "0.25")),
    ("AP 0.125", ("ap", "0.125")),
    ("relations", ("relations",)),
    ("missed", ("missed",)),
    ("extra", ("extra",)),
]
_HEAD = ("method", "images", "seed")


def _choices(cells: Sequence[Cell], condition: str, over: str) -> list[tuple[str, Path]]:
    """A column for each attribute that any cell has."""
    names = dict.fromkeys(name for cell in cells for name in cell.scores[condition][over])
    return [(name, (over, name)) for name in names]


def _table(cells: Sequence[Cell], condition: str, columns: Sequence[tuple[str, Path]]) -> list[str]:
    def row(cell: Cell) -> Iterable[str]:
        scores, ends = cell.scores[condition], cell.intervals[condition]
        return (_told(path, at(scores, path), at(ends, path)) for _, path in columns)

    return _rows(cells, [title for title, _ in columns], row)


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


def at(table: Mapping[str, Any], path: Path) -> Any:
    """The entry of a nested result; None if there is none."""
    found: Any = table
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _told(path: Path, value: float | None, ends: Sequence[float] | None) -> str:
    """A score for people: metres to the millimetre, numbers of objects as they are, all else in percent."""
    if value is None:
        return "–"
    if path in (("missed",), ("extra",)):
        return f"{value:,}"
    scale, digits = (1, 3) if path == ("location_l2",) else (100, 1)
    between = "" if ends is None else f" ({scale * ends[0]:.{digits}f}–{scale * ends[1]:.{digits}f})"
    return f"{scale * value:.{digits}f}{between}"
