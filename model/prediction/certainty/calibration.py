"""The calibration of a model: ``calibration.json`` in its folder, and what it makes of what decoding says."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import structs

from datagen.code.grammar import parse_code
from datagen.code.predictions import Bounds, Candidate, Prediction
from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.io.declared import read_declared
from datagen.io.files import file_sha256
from datagen.metrics.certainty import component_names, told_numbers
from datagen.scene import Object
from model.declared import MOST_CALIBRATION, StatedCalibration, StatedMap
from model.prediction.certainty.look import distances, doubt
from model.prediction.certainty.maps import mapped
from model.prediction.certainty.raw import Raw
from model.prediction.certainty.stretch import half_widths

CALIBRATION_FILE = "calibration.json"
FARTHEST = 1e9  # the largest distance, and the largest end of an interval, that a prediction states
FURTHER_DECIMALS = 2  # of an interval's ends, beyond those of the number


class Calibration:
    """What a calibration file states, for models of a domain; `UserError`, naming ``where``, if it is of another domain or does not hold
    together."""

    def __init__(self, stated: StatedCalibration, domain: Domain, where: Path | str) -> None:
        self.stated, self.domain = stated, domain
        self._check(where)

    def prediction(self, key: str, raw: Raw, candidates: tuple[Candidate, ...] | None) -> Prediction:
        """The calibrated prediction; words and intervals are stated where ``raw`` has spans."""
        confidence = _rounded(mapped(self.stated.objects, raw.objects))
        distance = self.distance(raw.look, confidence)
        return Prediction(
            key,
            raw.code,
            confidence=confidence,
            candidates=candidates,
            words=None if raw.spans is None else tuple(map(self._words, raw.words)),
            intervals=None if raw.spans is None else self._intervals(raw),
            looks_like_domain=distance <= 1,
            domain_distance=distance,
        )

    def distance(self, look: Sequence[float], confidence: Sequence[float]) -> float:
        """How far an image with these features is from those of the domain, in units of the farthest that still looks like them; or how
        much
        the model doubts its objects, by their confidences, in units of the largest doubt in such images, if that is more."""
        if len(look) != len(self.stated.look.mean):
            raise UserError(f"{CALIBRATION_FILE} is of a model with {len(self.stated.look.mean)} features, and this one has {len(look)}")
        stated = self.stated.look
        far = float(distances(stated, np.array([look]))[0]) / stated.farthest
        return round(min(FARTHEST, max(far, doubt(confidence) / stated.doubt)), 4)

    def _words(self, scores: dict[str, float]) -> dict[str, float]:
        maps = self.stated.words
        return {name: _rounded(mapped(maps.get(name, StatedMap()), [score]))[0] for name, score in scores.items()}

    def _intervals(self, raw: Raw) -> tuple[dict[str, tuple[Bounds, ...]], ...]:
        objects = parse_code(raw.code, self.domain).objects
        assert raw.spans is not None
        return tuple(self._of_object(*one) for one in zip(objects, raw.spans, raw.objects, strict=True))

    def _of_object(self, obj: Object, spans: dict[str, tuple[Bounds, ...]], sure: float) -> dict[str, tuple[Bounds, ...]]:
        found, told = {}, told_numbers(obj, self.domain)
        for number in self.domain.statement(obj.statement).numbers:
            if number not in told:
                found[number.name] = tuple((value, value) for value in number.as_tuple(obj[number.name]))
                continue
            ends = []
            for name, value, (low, high) in zip(
                component_names(number), number.as_tuple(obj[number.name]), spans[number.name], strict=True
            ):
                stretch = self.stated.numbers[name]
                below, above = half_widths(stretch, value - low, high - value, sure)
                most = number.period / 2 if number.period else FARTHEST - abs(value)
                below, above = min(below, most), min(above, most)
                decimals = number.decimals + FURTHER_DECIMALS
                ends.append((round(value - below, decimals), round(value + above, decimals)))
            found[number.name] = tuple(ends)
        return found

    def _check(self, where: Path | str) -> None:
        stated = self.stated
        components = {name for s in self.domain.statements for number in s.numbers for name in component_names(number)}
        words = {choice.name for s in self.domain.statements for choice in s.choices}
        if not components <= stated.numbers.keys():
            raise UserError(f"{where}: lacks the number {min(components - stated.numbers.keys())} of the {self.domain.name} domain")
        if not stated.words.keys() <= words:
            raise UserError(f"{where}: has words of {min(stated.words.keys() - words)}, which the {self.domain.name} domain does not have")
        for one in (stated.objects, *stated.words.values()):
            at, share = ([knot[place] for knot in one.knots] for place in (0, 1))
            if at != sorted(set(at)) or share != sorted(share):
                raise UserError(f"{where}: the knots of a map must rise")
        for name, stretch in stated.numbers.items():
            if len(stretch.factors) != len(stretch.edges) + 1 or stretch.edges != sorted(set(stretch.edges)):
                raise UserError(f"{where}: numbers.{name} must have rising edges, and a factor more than edges")
        look = stated.look
        rows = [look.scale, *look.axes]
        if any(len(row) != len(look.mean) for row in rows) or len(look.axes) != len(look.variances):
            raise UserError(f"{where}: look must have as many scales as means, axes of as many numbers, and a variance for each axis")


def read_calibration(folder: Path, model: str, domain: Domain) -> Calibration | None:
    """The calibration of the model in a folder, whose digest is ``model``; None if there is none. `UserError` if the file is damaged, or of
    another model."""
    path = folder / CALIBRATION_FILE
    if not path.is_file():
        return None
    stated = read_declared(path, StatedCalibration, MOST_CALIBRATION)
    if stated.model != model:
        raise UserError(f"{path}: is of another model than the one beside it: call igllm calibrate again, or remove the file")
    return Calibration(stated, domain, path)


def with_calibration(model: str, folder: Path) -> str:
    """One digest of a model, given its own, and of the calibration beside it; the model's own where there is none."""
    path = folder / CALIBRATION_FILE
    return hashlib.sha256(f"{model} {file_sha256(path)}".encode()).hexdigest() if path.is_file() else model


def of_model(stated: StatedCalibration, digest: str) -> StatedCalibration:
    """The calibration for a copy of the model with another digest, as one at half precision has."""
    return structs.replace(stated, model=digest)


def _rounded(shares: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(share), 6) if math.isfinite(share) else 0.0 for share in shares)
