"""Finished runs (a method, trained on so many images with a seed, and its scores): a small JSON file each, named by the digest of all that
determines its scores. A run whose file is there is not run again."""

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


class TrainingFacts(Struct):
    """What a finished training took: its steps, the images that the model saw, and the seconds."""

    steps: Count
    images: Count
    seconds: Annotated[float, Meta(ge=0, le=1e12)]


class RunFile(Struct):
    """The file of a finished run. That ``scores`` and ``intervals`` have all that its evaluation measures is checked separately."""

    digest: str
    asked: dict[str, Any]
    training: TrainingFacts
    pretraining: TrainingFacts | None
    scores: dict[str, dict[str, Any]]
    intervals: dict[str, dict[str, Any]]
    versions: dict[str, str]


@dataclass(frozen=True)
class Run:
    """A finished run.

    ``training`` and ``pretraining`` (None without one) have the fields of `TrainingFacts`. ``scores`` has, by the condition's key, what
    `summarize` and the evaluation's own measure give, ``intervals`` what `datagen.metrics.intervals.intervals` gives. ``versions`` has
    those of igllm and torch, and the device.
    """

    request: Request
    training: Mapping[str, Any]
    pretraining: Mapping[str, Any] | None
    scores: Mapping[str, Any]
    intervals: Mapping[str, Any]
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The content of the run's file, which is named by the digest."""
        file = RunFile(
            digest=self.request.digest,
            asked=self.request.asked,
            training=TrainingFacts(**self.training),
            pretraining=None if self.pretraining is None else TrainingFacts(**self.pretraining),
            scores=dict(self.scores),
            intervals=dict(self.intervals),
            versions=dict(self.versions),
        )
        plain: dict[str, Any] = to_plain(file)
        return plain


_FOUND = ("training", "pretraining", "scores", "intervals", "versions")
LATER_SCORES = {"too_near"}  # older files lack them


def read_run(folder: Path, request: Request) -> Run | None:
    """The finished run that was asked for; None if the folder has none. `UserError` if its file is damaged."""
    path = _path(folder, request)
    if not path.exists():
        return None
    content = read_json(path)
    try:
        as_declared(content, RunFile, f"{path}: damaged")
    except UserError as error:
        raise UserError(f"{error}; delete it to have it run again") from None
    if content["asked"] != to_plain(request.asked):
        raise UserError(f"{path}: damaged (it does not state what its name stands for); delete it to have it run again")
    if not _whole(content, request.evaluation):
        raise UserError(f"{path}: damaged (something that was measured is missing); delete it to have it run again")
    return Run(request, **{name: content[name] for name in _FOUND})


def _whole(content: Mapping[str, Any], evaluation: Evaluation) -> bool:
    """Whether a file has all that this evaluation measures."""
    empty = Scene(evaluation.domain.name, ())
    nothing = [score_scene(empty, empty, evaluation.domain)]
    score_pattern, interval_pattern = summarize(nothing) | evaluation.measure([empty]), bootstrap(nothing, resamples=1)
    return all(
        _is_table(content["scores"].get(c.key), score_pattern, _is_number)
        and _is_table(content["intervals"].get(c.key), interval_pattern, _are_ends)
        for c in evaluation.conditions
    )


def _is_table(found: Any, pattern: Any, is_value: Callable[[Any], bool]) -> bool:
    """Whether a result has the entries of the pattern (those of empty tables are not needed) and, at its leaves, nothing but values."""
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


def write_run(folder: Path, run: Run) -> None:
    """Write the file of a finished run, whole."""
    write_json(_path(folder, run.request), run.to_json())


def _path(folder: Path, request: Request) -> Path:
    return folder / f"{request.digest}.json"


KINDS: dict[str, Any] = {"a run of an evaluation": RunFile, "seconds.json of an evaluation's training": Worked}
"""The kinds of files that evaluations write; those of data sets are in `datagen.kinds`."""
