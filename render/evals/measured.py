"""Checks of the scores in the file of a finished run: all measures of its evaluation are there, each within the range of its metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datagen.errors import UserError
from datagen.io.untrusted import refuse
from datagen.metrics.scores import score_scene
from datagen.metrics.summary import Count, MetricTable, Rate, metrics
from datagen.scene import Scene
from render.evals.declaration import Condition, Evaluation

Results = dict[str, Any]
LATER_SCORES = {"too_near", "ap_pooled"}  # missing in older files; too_near is null in domains that let objects be anywhere
SLACK = 1e-9  # relative: rounding may put a value this far outside of its interval, and both outside of their range


def measured(scores: Mapping[str, Any], intervals: Mapping[str, Any], evaluation: Evaluation, where: str) -> tuple[Results, Results]:
    """The scores and the intervals, by condition, of all measures of an evaluation; other entries are left out.

    `UserError`, which begins with ``where`` and names the entry, if an entry is missing or outside of the range of its metric.
    """
    empty = Scene(evaluation.domain.name, ())
    table = {**metrics([score_scene(empty, empty, evaluation.domain)]), **_counts(evaluation.measure([empty]))}
    reader = _Reader(where, evaluation.test_scenes)
    found = {c.key: reader.table(table, scores.get(c.key), intervals.get(c.key), c.key) for c in evaluation.conditions}
    for condition in evaluation.conditions:
        _check_objects(found[condition.key][0], condition, evaluation.test_scenes, f"{where}: scores.{condition.key}")
    return {key: values for key, (values, _) in found.items()}, {key: ends for key, (_, ends) in found.items()}


def _counts(pattern: Mapping[str, Any]) -> MetricTable:
    """The table of an evaluation's own measures, all of them counts, with the keys of ``pattern``."""
    return {name: _counts(entry) if isinstance(entry, Mapping) else Count(lambda _: None) for name, entry in pattern.items()}


def _check_objects(found: Mapping[str, int], condition: Condition, scenes: int, where: str) -> None:
    """`UserError` if there are more objects than the scenes can have, or if the numbers of objects do not add up."""
    most = scenes * condition.data.objects[1]
    if found["objects"] > most:
        refuse(where, "objects", found["objects"], f"at most {most:,}, as {scenes:,} scenes have")
    for rest, whole in (("missed", "objects"), ("extra", "guessed")):
        if found["matched"] + found[rest] != found[whole]:
            refuse(where, whole, found[whole], f"the sum of matched and {rest}")


@dataclass(frozen=True)
class _Reader:
    """Reads scores of ``scenes`` scenes. ``where`` is the beginning of its messages."""

    where: str
    scenes: int

    def table(self, table: MetricTable, scores: Any, ends: Any, path: str) -> tuple[Results, Results]:
        """The scores of a table and their intervals; counts have none."""
        found: Results = {}
        between: Results = {}
        for name, entry in table.items():
            at = f"{path}.{name}"
            if name in LATER_SCORES and _within(scores, name) is None:
                continue
            if isinstance(entry, Mapping):
                found[name], inner = self.table(entry, _within(scores, name), _within(ends, name), at)
                if inner or not entry:  # a table of counts alone has no intervals
                    between[name] = inner
            elif not isinstance(entry, Count):
                found[name] = self._rate(entry, self._of(scores, name, at), f"scores.{at}")
                between[name] = self._ends(entry, found[name], self._of(ends, name, at, "intervals"), f"intervals.{at}")
            else:
                found[name] = self._count(entry, self._of(scores, name, at), f"scores.{at}")
        return found, between

    def _of(self, results: Any, name: str, path: str, what: str = "scores") -> Any:
        if not isinstance(results, Mapping) or name not in results:
            raise UserError(f"{self.where}: something that was measured is missing, {what}.{path}")
        return results[name]

    def _count(self, count: Count, value: Any, field: str) -> int:
        most = count.most * self.scenes
        if type(value) is not int or not 0 <= value <= most:
            refuse(self.where, field, value, f"a whole number from 0 to {most:,}")
        return value

    def _rate(self, rate: Rate, value: Any, field: str) -> float | None:
        if value is not None and not _is_number(value, 0, rate.most):
            refuse(self.where, field, value, f"a number from 0 to {rate.most:g}")
        return value

    def _ends(self, rate: Rate, value: float | None, ends: Any, field: str) -> list[float] | None:
        if value is None or ends is None:
            if (value is None) != (ends is None):
                refuse(self.where, field, ends, "null where the score is, and nowhere else")
            return None
        within = isinstance(ends, list) and len(ends) == 2
        if not within or not _is_number(ends[0], 0, value) or not _is_number(ends[1], value, rate.most):
            refuse(self.where, field, ends, f"two numbers from 0 to {rate.most:g} with the score, {value:g}, between them")
        return ends


def _within(results: Any, name: str) -> Any:
    return results.get(name) if isinstance(results, Mapping) else None


def _is_number(value: Any, least: float, most: float) -> bool:
    return type(value) in (int, float) and least * (1 - SLACK) <= value <= most * (1 + SLACK)
