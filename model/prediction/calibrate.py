"""Calibration of a model on scenes that it was not trained on: ``calibration.json`` beside it, from which prediction takes shares that are
as often right as they say, intervals, and whether an image looks like the domain's."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct

from datagen.code.grammar import parse_code
from datagen.domains.base import Domain
from datagen.errors import ImageError, UserError
from datagen.io.declared import to_plain
from datagen.io.files import write_json
from datagen.io.locks import hold
from datagen.io.progress import progress
from datagen.io.sealed import SealedFile
from datagen.metrics.certainty import component_names, off_centre, right_objects, right_within, told_numbers
from datagen.metrics.matching import match
from datagen.scene import Scene
from datagen.screen import print_line
from datagen.shards.pictures import DatasetImages, Pictures
from model.declared import StatedCalibration
from model.load import load_model
from model.prediction.certainty.calibration import CALIBRATION_FILE, Calibration
from model.prediction.certainty.look import LEAST_IMAGES, doubt, fit_look
from model.prediction.certainty.maps import fit_map, mapped
from model.prediction.certainty.raw import Raw
from model.prediction.certainty.stretch import Cases, fit_stretch
from model.prediction.predict import CodePredictor

VERB = "calibrate"
SEED = 0  # of the order in which images serve for statistics and for the threshold


class ReadWith(Struct):
    """The first line of an unfinished calibration: the version of igllm, and the model's digest."""

    igllm: str
    model: str


class Row(Struct):
    """A line: what the model says of an image, with the SHA-256 of the image's file, and the seal."""

    image_sha256: str
    raw: Raw
    seal: str = ""


def calibrate(
    folder: Path,
    data: DatasetImages,
    alike: Sequence[DatasetImages] = (),
    others: Pictures | None = None,
    *,
    device: str = "auto",
    batch_size: int = 32,
) -> StatedCalibration:
    """Write ``calibration.json`` into the folder of a model, and return its content.

    Confidences and intervals are fitted on ``data``, scenes that the model was not trained on; which images look like the domain's on these
    and on those of ``alike`` (other sizes, qualities, cameras), and on ``others``, images that are none. What the model says of an image is
    kept in a file beside, from which an interrupted call goes on. `UserError` for a de-rendering model, data of another domain, or fewer
    than `LEAST_IMAGES` images.
    """
    loaded = load_model(folder, device)
    if loaded.codec is None:
        raise UserError(f"{folder}: a de-rendering model cannot be calibrated; models that write code token by token can")
    predictor = CodePredictor(loaded, calibrated=False)
    for images in (data, *alike):
        predictor.refuse_foreign(images.samples.at(0).domain)
    if len(data.keys) < LEAST_IMAGES:
        raise UserError(f"{data.samples.path}: has {len(data.keys)} samples; at least {LEAST_IMAGES} are needed to calibrate a model")
    domain, path = predictor.codec.domain, folder / CALIBRATION_FILE
    with hold(path):
        reader = _Reader(predictor, loaded.digest, path.with_name(f".{CALIBRATION_FILE}.partial"), batch_size)
        said = reader.read(data)
        true = [*said.values(), *(raw for images in alike for raw in reader.read(images).values())]
        strange = None if others is None else np.array([raw.look for raw in reader.read(others).values()])
        found = _collected(data, said, domain)
        objects = fit_map(*found.objects.columns())
        doubts = [doubt(mapped(objects, raw.objects).tolist()) for raw in true]
        looks = np.random.default_rng(SEED).permutation(np.array([raw.look for raw in true]))
        stated = StatedCalibration(
            model=loaded.digest,
            images=len(said),
            within=None if math.isinf(right_within(domain)) else right_within(domain),
            objects=objects,
            words={name: fit_map(*cases.columns()) for name, cases in found.words.items()},
            numbers={name: fit_stretch(*found.numbers[name].cases()) for name in found.numbers},
            look=fit_look(looks, doubts, strange),
        )
        Calibration(stated, domain, path)
        write_json(path, to_plain(stated))
        reader.done()
    return stated


class _Reader:
    """Reads images with a model, and keeps what it says in a file until all is done."""

    def __init__(self, predictor: CodePredictor, digest: str, partial: Path, batch_size: int) -> None:
        self._predictor, self._size = predictor, min(batch_size, predictor.most_images)
        self._file = SealedFile(partial, ReadWith(version("igllm"), digest), Row, VERB)
        header, lines = self._file.left()
        if header != self._file.header:
            self._file.begin()
            lines = []
        self._known = {line.image_sha256: line.raw for line in lines}
        if lines:
            self._file.tell(f"{len(lines)} readings taken up from an interrupted call")

    def read(self, images: Pictures) -> dict[str, Raw]:
        """What the model says of the images that can be read, by key; the others are named."""
        found: dict[str, Raw] = {}
        name = images.samples.path if isinstance(images, DatasetImages) else "others"
        with self._file.appending():
            for key, raw in progress(self._readings(images), len(images.keys), f"{VERB}: {name}"):
                if raw is not None:
                    found[key] = raw
        return found

    def _readings(self, images: Pictures) -> Iterator[tuple[str, Raw | None]]:
        keys = iter(images.keys)
        while batch := list(islice(keys, self._size)):
            digests: dict[str, str] = {}
            unread: list[tuple[str, torch.Tensor]] = []
            for key in batch:
                try:
                    digests[key] = hashlib.sha256(images.encoded(key)).hexdigest()
                    if digests[key] not in self._known:
                        unread.append((key, self._predictor.frame.tensor(self._predictor.frame.fit(images.pixels(key))[0])))
                except ImageError as error:
                    digests.pop(key, None)
                    print_line(f"{VERB}: skipped: {error}")
            if unread:
                pixels = torch.stack([tensor for _, tensor in unread])
                model = self._predictor.model
                for (key, _), raw in zip(unread, self._predictor.raw(pixels.to(model.device, model.dtype)), strict=True):
                    self._known[digests[key]] = raw
                    self._file.append(Row(digests[key], raw))
            yield from ((key, self._known[digests[key]] if key in digests else None) for key in batch)

    def done(self) -> None:
        """Remove the file."""
        self._file.path.unlink(missing_ok=True)


@dataclass
class _Said:
    """What was said with some log-probability: ``scores``, whether it is ``right``, and the number of its scene."""

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    scenes: list[int] = field(default_factory=list)

    def add(self, score: float, right: bool, scene: int) -> None:
        self.scores.append(score)
        self.right.append(right)
        self.scenes.append(scene)

    def columns(self) -> tuple[list[float], list[bool], list[int]]:
        return self.scores, self.right, self.scenes


@dataclass
class _Numbers:
    """Numbers of one component, whose declared range is so wide; the lists are as in `Cases`."""

    value_range: float
    offs: list[float] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    sure: list[float] = field(default_factory=list)
    scenes: list[int] = field(default_factory=list)

    def cases(self) -> tuple[Cases, float]:
        return Cases(self.offs, self.spans, self.sure, self.scenes), self.value_range


@dataclass
class _Found:
    """All that was said of a data set's scenes, held against the truth."""

    objects: _Said
    words: dict[str, _Said]
    numbers: dict[str, _Numbers]


def _collected(data: DatasetImages, said: dict[str, Raw], domain: Domain) -> _Found:
    numbers = {
        name: _Numbers(high - low)
        for statement in domain.statements
        for number in statement.numbers
        for name, low, high in zip(component_names(number), number.low, number.high, strict=True)
    }
    found = _Found(_Said(), {choice.name: _Said() for statement in domain.statements for choice in statement.choices}, numbers)
    for place, (key, raw) in enumerate(said.items()):
        _add(found, data.samples[key].scene, raw, place, domain)
    return found


def _add(found: _Found, truth: Scene, raw: Raw, place: int, domain: Domain) -> None:
    guess = parse_code(raw.code, domain)
    pairs = match(truth, guess, domain)
    for score, right in zip(raw.objects, right_objects(truth, guess, pairs, domain), strict=True):
        found.objects.add(score, right, place)
    for pair in pairs:
        true, guessed = truth.objects[pair.truth], guess.objects[pair.guess]
        for name, score in raw.words[pair.guess].items():
            if name in true.values:
                found.words[name].add(score, true[name] == guessed[name], place)
        if true.statement != guessed.statement or raw.spans is None:
            continue
        told = {number.name for number in told_numbers(true, domain)}
        for number in told_numbers(guessed, domain):
            if number.name not in told:
                continue
            values = (number.as_tuple(obj[number.name]) for obj in (guessed, true))
            for name, value, true_value, (low, high) in zip(
                component_names(number), *values, raw.spans[pair.guess][number.name], strict=True
            ):
                cases = found.numbers[name]
                cases.offs.append(off_centre(true_value, value, number.period))
                cases.spans.append((value - low, high - value))
                cases.sure.append(raw.objects[pair.guess])
                cases.scenes.append(place)
