"""Finished runs as Markdown tables: for each condition tables with a row for each run, and a table of the trainings' cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from render.evals.declaration import Condition, Evaluation, Measure
from render.evals.runs import Run


def table_text(evaluation: Evaluation, runs: Sequence[Run]) -> str:
    """The content of ``table.md``: scores with their intervals in brackets."""
    lines = [f"# {evaluation.title}", ""]
    for condition in evaluation.conditions:
        lines += [f"## {condition.label[0].upper()}{condition.label[1:]}", ""]
        for table in evaluation.tables:
            lines += [table.intro, "", *_scores(runs, condition, table.columns), ""]
    lines += ["## Training", "", *_training(runs), ""]
    lines += [
        evaluation.note,
        "In brackets: 95 % intervals, from drawing the test scenes anew 1,000 times; they do not hold what another training would change.",
    ]
    return "\n".join(lines) + "\n"


_HEAD = ("method", "images", "seed")


def _scores(runs: Sequence[Run], condition: Condition, columns: Sequence[Measure]) -> list[str]:
    def row(run: Run) -> Iterable[str]:
        scores, ends = run.scores[condition.key], run.intervals[condition.key]
        return (_text(column, at(scores, column.path), at(ends, column.path)) for column in columns)

    return _rows(runs, [column.title for column in columns], row)


def _training(runs: Sequence[Run]) -> list[str]:
    def row(run: Run) -> Iterable[str]:
        first, then = run.pretraining, run.training
        images = f"{first['images']:,} + {then['images']:,}" if first else f"{then['images']:,}"
        seconds = f"{first['seconds']:,.0f} + {then['seconds']:,.0f}" if first else f"{then['seconds']:,.0f}"
        return images, seconds, run.request.preset_name, run.versions.get("device", ""), f"`{run.request.digest}`"

    return _rows(runs, ["images seen", "seconds", "preset", "device", "cell"], row)


def _rows(runs: Sequence[Run], titles: Sequence[str], row: Callable[[Run], Iterable[str]]) -> list[str]:
    lines = [f"| {' | '.join((*_HEAD, *titles))} |", f"|{'---|' * (len(_HEAD) + len(titles))}"]
    methods = list(dict.fromkeys(run.request.method.name for run in runs))
    for run in sorted(runs, key=lambda run: methods.index(run.request.method.name)):
        head = (run.request.method.label, f"{run.request.size:,}", str(run.request.seed))
        lines.append(f"| {' | '.join((*head, *row(run)))} |")
    return lines


def at(table: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The entry of a nested result at a path of keys; None if there is none."""
    found: Any = table
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _text(column: Measure, value: float | None, ends: Sequence[float] | None) -> str:
    """The text of a score in a table, with its interval if it has one."""
    if value is None:
        return "–"
    if column.form == "count":
        return f"{value:,}"
    scale, digits = 100 if column.form == "share" else 1, column.decimals
    between = "" if ends is None else f" ({scale * ends[0]:.{digits}f}–{scale * ends[1]:.{digits}f})"
    return f"{scale * value:.{digits}f}{between}"
