"""Finished runs (a method, trained on so many images with a seed, and its scores): a small JSON file each, named by the digest of all that
determines its scores. A run whose file is there is not made again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from datagen.errors import UserError
from datagen.io.declared import MAX_BYTES, Count, ShortText, as_declared, to_plain
from datagen.io.files import read_json, write_json
from datagen.io.untrusted import refuse, shortened
from render.evals.clock import Worked
from render.evals.measured import measured
from render.evals.plan import RunRequest, digest


class TrainingFacts(Struct):
    """The steps of a finished training, the images that the model saw, and the duration in seconds."""

    steps: Count
    images: Count
    seconds: Annotated[float, Meta(ge=0, le=1e12)]


class RunFile(Struct):
    """The file of a finished run. `render.evals.measured` checks the content of ``scores`` and ``intervals``."""

    digest: str
    asked: dict[str, Any]
    training: TrainingFacts
    pretraining: TrainingFacts | None
    scores: dict[str, dict[str, Any]]
    intervals: dict[str, dict[str, Any]]
    versions: dict[ShortText, ShortText]


@dataclass(frozen=True)
class Run:
    """A finished run.

    ``training`` and ``pretraining`` (None without one) have the fields of `TrainingFacts`. By the condition's key, ``scores`` has the
    values of `summarize` and of the evaluation's own measure, ``intervals`` those of `datagen.metrics.intervals.intervals`. ``versions``
    has the versions of igllm and torch, and the device.
    """

    request: RunRequest
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


def read_run(folder: Path, request: RunRequest) -> Run | None:
    """The finished run of a request; None if the folder has no file of it. `UserError` if the file is damaged or has impossible values."""
    path = _path(folder, request)
    if not os.path.lexists(path):
        return None
    try:
        content = read_json(path, MAX_BYTES)
        file = as_declared(content, RunFile, f"{path}: damaged")
        if (file.digest, digest(file.asked)) != (request.digest, request.digest):
            raise UserError(f"{path}: damaged (it does not state what its name stands for)")
        _check_work(file, request, f"{path}: damaged")
        scores, ends = measured(file.scores, file.intervals, request.evaluation, f"{path}: damaged")
    except UserError as error:
        raise UserError(f"{error}; delete it to have it run again") from None
    plain = to_plain(RunFile(file.digest, request.asked, file.training, file.pretraining, scores, ends, file.versions))
    return Run(request, **{name: plain[name] for name in ("training", "pretraining", "scores", "intervals", "versions")})


def _check_work(file: RunFile, request: RunRequest, where: str) -> None:
    """`UserError` unless the steps and images of the trainings are those of the request."""
    for name, facts in (("training", file.training), ("pretraining", file.pretraining)):
        found = None if facts is None else {"steps": facts.steps, "images": facts.images}
        if found != request.work[name]:
            refuse(where, name, found, f"as was asked: {shortened(request.work[name])}")


def write_run(folder: Path, run: Run) -> None:
    """Write the file of a finished run atomically."""
    write_json(_path(folder, run.request), run.to_json())


def _path(folder: Path, request: RunRequest) -> Path:
    return folder / f"{request.digest}.json"


KINDS: dict[str, Any] = {"a run of an evaluation": RunFile, "seconds.json of an evaluation's training": Worked}
"""The kinds of files that evaluations write; those of data sets are in `datagen.kinds`."""
