"""One side of a comparison: shards, a folder of loose samples, or a prediction file, all with the same interface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datagen.code.grammar import parse_code
from datagen.code.predictions import Prediction, read_predictions
from datagen.domains.base import Domain
from datagen.errors import CodeError, UserError
from datagen.metrics.certainty import NOTHING_SAID, Certainty
from datagen.samples.sample import Sample
from datagen.scene import Scene, Shot
from datagen.shards.reader import Samples
from datagen.shards.store import Place

PAGE, PREDICTIONS, RENDERED = "index.html", "pred.jsonl", "rendered"  # the page of a report, and what a round trip keeps beside it


@dataclass(frozen=True)
class Answer:
    """A side's code for a key, and its image (height, width, 3) uint8 where the side has images, also as its ``file`` with its ``suffix``.

    Where the code does not parse, ``scene`` is None and ``error`` the reason. ``certainty`` has what is said of each object of the scene.
    """

    code: str
    scene: Scene | None
    error: CodeError | None = None
    certainty: Certainty = NOTHING_SAID
    image: np.ndarray | None = None
    file: bytes = b""
    suffix: str = ""


class Side:
    """A folder of shards or loose samples, opened samples, or a ``pred.jsonl``, which has no images.

    With `predictions`, only images come from the folder; keys and code come from that file, in the order and with the confidences that the
    model gave. `UserError` if something cannot be read.
    """

    def __init__(self, source: Path | Samples, predictions: Path | None = None) -> None:
        if isinstance(source, Path):
            self.path: Place = source
            named = source.suffix == ".jsonl" and not source.is_dir()  # may be a pipe, or missing
            self._samples = None if named or (source.is_file() and source.suffix != ".tar") else Samples(source)
            predictions = source if self._samples is None else predictions
        else:
            self.path, self._samples = source.path, source
        self._predictions = None if predictions is None else read_predictions(predictions)
        if self._predictions is not None and not self._predictions:
            raise UserError(f"{predictions}: there are no predictions in it")

    @staticmethod
    def of(candidate: Path, predictions: Path | None = None) -> Side:
        """The side of a candidate, which may also be the folder of a round trip: its predictions, with the pictures rendered from them."""
        if predictions is None and (candidate / PREDICTIONS).is_file() and (candidate / PAGE).is_file():
            rendered = candidate / RENDERED
            return Side(rendered, candidate / PREDICTIONS) if any(rendered.glob("*.json")) else Side(candidate / PREDICTIONS)
        return Side(candidate, predictions)

    @property
    def has_images(self) -> bool:
        """Whether this side has images, and not predictions alone."""
        return self._samples is not None

    @property
    def keys(self) -> list[str]:
        if self._predictions is not None:
            return list(self._predictions)
        return [] if self._samples is None else self._samples.keys

    def domain(self) -> Domain | None:
        """The domain in the first sample's record; None for a prediction file."""
        return None if self._samples is None else self._samples[self._samples.keys[0]].domain

    def shot(self, key: str) -> Shot | None:
        """The shot of a sample; None if this side has no such sample."""
        return self._samples.shot(key)[0] if self._samples is not None and key in self._samples else None

    def answer(self, key: str, domain: Domain) -> Answer | None:
        """This side's answer for a key; None if it has none. `UserError` if the sample is damaged or of another domain."""
        sample = self._samples[key] if self._samples is not None and key in self._samples else None
        if sample is not None and sample.domain.name != domain.name:
            raise UserError(f"{self.path}: sample {key} is of the domain {sample.domain.name}, the comparison of {domain.name}")
        if self._predictions is None:
            return None if sample is None else _answer(sample.code, domain, sample)
        prediction = self._predictions.get(key)
        return None if prediction is None else self._predicted(prediction, domain, sample)

    def _predicted(self, prediction: Prediction, domain: Domain, sample: Sample | None) -> Answer:
        answer = _answer(prediction.code, domain, sample, Certainty(prediction.confidence, prediction.words, prediction.intervals))
        if answer.scene is not None:
            _check(answer.certainty, answer.scene, domain, f"{self.path}: the prediction {prediction.key}")
        return answer


def _check(said: Certainty, scene: Scene, domain: Domain, where: str) -> None:
    """`UserError`, which begins with ``where``, unless there is one of each for each statement, and an interval for each component."""
    for what, of in (("confidences", said.confidence), ("words' confidences", said.words), ("intervals", said.intervals)):
        if of is not None and len(of) != len(scene):
            raise UserError(f"{where} has {len(of)} {what} for {len(scene)} statements; one for each is expected")
    for obj, intervals in zip(scene.objects, said.intervals or (), strict=False):
        for number in domain.statement(obj.statement).numbers:
            if len(intervals.get(number.name, ())) not in (0, number.components):
                raise UserError(f"{where} has {len(intervals[number.name])} intervals of {number.name}, which has {number.components}")


def _answer(code: str, domain: Domain, sample: Sample | None, certainty: Certainty = NOTHING_SAID) -> Answer:
    shown = () if sample is None else (sample.pixels(), sample.image, sample.suffix)
    try:
        return Answer(code, parse_code(code, domain), None, certainty, *shown)
    except CodeError as error:
        return Answer(code, None, error, NOTHING_SAID, *shown)
