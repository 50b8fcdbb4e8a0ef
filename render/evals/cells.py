"""Finished cells: one small JSON file each, named by the digest of all that determines it. What is there is not run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from datagen.errors import UserError
from datagen.io.declared import Count, as_declared, to_plain
from datagen.io.files import read_json, write_json
from datagen.metrics.intervals import intervals as bootstrap
from datagen.metrics.scores import score_scene
from datagen.metrics.summary import summarize
from datagen.scene import Scene
from render.evals.clock import Worked
from render.evals.declaration import Evaluation
from render.evals.plan import Request


class RunFacts(Struct):
    """What is known of a finished run: its steps, the images that it has seen, and how many seconds it took."""

    steps: Count
    images: Count
    seconds: Annotated[float, Meta(ge=0, le=1e12)]


class CellFile(Struct):
    """The content of a cell's file. Whether ``scores`` and ``intervals`` have all that its evaluation measures is checked beside it."""

    digest: str
    asked: dict[str, Any]
    training: RunFacts
    pretraining: RunFacts | None
    scores: dict[str, dict[str, Any]]
    intervals: dict[str, dict[str, Any]]
    versions: dict[str, str]


@dataclass(frozen=True)
class Cell:
    """A cell that was run.

    ``training`` and ``pretraining`` (None without) have the fields of `RunFacts`. ``scores`` and ``intervals``: by the
    condition's key what `summarize` and the evaluation's own measure give, and `datagen.metrics.intervals.intervals`. ``versions``: of what
    it was run with, and the device.
    """

    request: Request
    training: Mapping[str, Any]
    pretraining: Mapping[str, Any] | None
    scores: Mapping[str, Any]
    intervals: Mapping[str, Any]
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The content of the cell's file; the path to it is its digest."""
        file = CellFile(
            digest=self.request.digest,
            asked=self.request.asked,
            training=RunFacts(**self.training),
            pretraining=None if self.pretraining is None else RunFacts(**self.pretraining),
            scores=dict(self.scores),
            intervals=dict(self.intervals),
            versions=dict(self.versions),
        )
        plain: dict[str, Any] = to_plain(file)
        return plain


_FOUND = ("training", "pretraining", "scores", "intervals", "versions")
LATER_SCORES = {"too_near"}  # which cells that were kept before lack


def read_cell(folder: Path, request: Request) -> Cell | None:
    """The finished cell; None if there is none. `UserError` if its file is damaged."""
    path = _path(folder, request)
    if not path.exists():
        return None
    content = read_json(path)
    try:
        as_declared(content, CellFile, f"{path}: damaged")
    except UserError as error:
        raise UserError(f"{error}; delete it to have it run again") from None
    if content["asked"] != to_plain(request.asked):
        raise UserError(f"{path}: damaged (it does not state what its name stands for); delete it to have it run again")
    if not _whole(content, request.evaluation):
        raise UserError(f"{path}: damaged (something that was measured is missing); delete it to have it run again")
    return Cell(request, **{name: content[name] for name in _FOUND})


def _whole(content: Mapping[str, Any], evaluation: Evaluation) -> bool:
    """Whether all is there that this evaluation measures."""
    empty = Scene(evaluation.domain.name, ())
    nothing = [score_scene(empty, empty, evaluation.domain)]
    score_pattern, interval_pattern = summarize(nothing) | evaluation.measure([empty]), bootstrap(nothing, resamples=1)
    return all(
        _is_table(content["scores"].get(c.key), score_pattern, _is_number)
        and _is_table(content["intervals"].get(c.key), interval_pattern, _are_ends)
        for c in evaluation.conditions
    )


def _is_table(found: Any, pattern: Any, is_value: Callable[[Any], bool]) -> bool:
    """Whether a result has the entries that the pattern has, empty tables aside, and nothing but values in it."""
    if not isinstance(pattern, dict):
        return found is None or is_value(found)
    needed = {name for name, entry in pattern.items() if entry != {}} - LATER_SCORES
    if not isinstance(found, dict) or not needed <= found.keys():
        return False
    return all(_is_table(value, pattern.get(name), is_value) for name, value in found.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_ends(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def write_cell(folder: Path, cell: Cell) -> None:
    """Keep a finished cell: whole or not at all."""
    write_json(_path(folder, cell.request), cell.to_json())


def _path(folder: Path, request: Request) -> Path:
    return folder / f"{request.digest}.json"


KINDS: dict[str, Any] = {"an evaluation's cell": CellFile, "seconds.json of an evaluation's run": Worked}
"""The kinds of files, as `datagen.kinds` has the others."""
