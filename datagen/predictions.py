"""What a model says of images: ``pred.jsonl``, a JSON object a line with ``key``, ``code`` and what else is known."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from datagen.errors import UserError
from datagen.files import read_jsonl, write_jsonl


@dataclass(frozen=True)
class Candidate:
    """One of several codes for an image, with its log-likelihood."""

    code: str
    logp: float


@dataclass(frozen=True)
class Prediction:
    """The code predicted for one image. ``confidence`` has a number in [0, 1] per statement of the code; ``candidates`` are best first."""

    key: str
    code: str
    image: str | None = None
    confidence: tuple[float, ...] | None = None
    candidates: tuple[Candidate, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The line of ``pred.jsonl``; what is not known is left out."""
        row: dict[str, Any] = {"key": self.key, "code": self.code}
        if self.image is not None:
            row["image"] = self.image
        if self.confidence is not None:
            row["confidence"] = list(self.confidence)
        if self.candidates is not None:
            row["candidates"] = [asdict(candidate) for candidate in self.candidates]
        return row

    @staticmethod
    def from_json(row: dict[str, Any], where: str) -> Prediction:
        """The inverse of `to_json`; `UserError` naming `where` for anything else."""
        key, code, image, confidence, candidates = (row.get(name) for name in ("key", "code", "image", "confidence", "candidates"))
        if not isinstance(key, str) or not is_key(key):
            raise UserError(f"{where}: 'key' must be a file's base name, not {key!r}")
        if not isinstance(code, str):
            raise UserError(f"{where}: 'code' must be graphics code, not {code!r}")
        if confidence is not None and not (isinstance(confidence, list) and all(_is_share(c) for c in confidence)):
            raise UserError(f"{where}: 'confidence' must be a list of numbers from 0 to 1, not {confidence!r}")
        return Prediction(
            key,
            code,
            str(image) if image is not None else None,
            None if confidence is None else tuple(confidence),
            None if candidates is None else _candidates(candidates, where),
        )


def is_key(key: str) -> bool:
    """Whether that can be the key of a prediction: the base name of files, on one line."""
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in key)  # macOS puts U+202F in names
    return key != "" and not key.startswith(".") and spaced.isprintable() and not set(key) & set("/\\")


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _candidates(rows: Any, where: str) -> tuple[Candidate, ...]:
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{where}: 'candidates' must be a list of codes with their log-likelihoods, not {rows!r:.80}")
    found = []
    for row in rows:
        code, logp = (row.get("code"), row.get("logp")) if isinstance(row, dict) else (None, None)
        if not isinstance(code, str) or not isinstance(logp, int | float) or isinstance(logp, bool) or not math.isfinite(logp):
            raise UserError(f"{where}: a candidate has a 'code' and a finite number 'logp', unlike {row!r:.80}")
        found.append(Candidate(code, logp))
    if any(one.logp < other.logp for one, other in pairwise(found)):
        raise UserError(f"{where}: 'candidates' must have the likeliest first")
    return tuple(found)


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write ``pred.jsonl`` atomically."""
    write_jsonl(path, (p.to_json() for p in predictions))


def read_predictions(path: Path) -> dict[str, Prediction]:
    """The predictions of a file by key, in its order; `UserError` if it is damaged or a key comes twice."""
    found: dict[str, Prediction] = {}
    for number, row in enumerate(read_jsonl(path), 1):
        prediction = Prediction.from_json(row, f"{path}, prediction {number}")
        if prediction.key in found:
            raise UserError(f"{path}: the key {prediction.key} comes twice")
        found[prediction.key] = prediction
    return found
