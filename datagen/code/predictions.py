"""The file of predicted code, ``pred.jsonl``: one JSON object per line with ``key``, ``code`` and optional fields."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from datagen.errors import UserError
from datagen.io.declared import as_declared, read_rows, to_plain
from datagen.io.files import write_jsonl
from datagen.io.json_text import decode_row

Share = Annotated[float, Meta(ge=0, le=1)]
End = Annotated[float, Meta(ge=-1e9, le=1e9)]
Bounds = tuple[End, End]


class Candidate(Struct, frozen=True):
    """One of several codes for an image, with its log-probability."""

    code: str
    logp: Annotated[float, Meta(ge=-1e300, le=1e300)]


class Prediction(Struct, frozen=True, omit_defaults=True):
    """The code predicted for one image: a line of ``pred.jsonl``, which omits fields that are None.

    ``key`` is the base name of the image's file or sample, ``confidence`` has a number per statement of the code, and ``candidates`` start
    with ``code`` and are sorted by decreasing log-probability. ``words`` has, per statement, the confidence of each word by argument;
    ``intervals``, by argument, a lower and an upper end for each component of each number. ``looks_like_domain`` is whether the image
    looks like the scenes that the model knows: where ``domain_distance`` is at most 1.
    """

    key: str
    code: str
    image: str | None = None
    confidence: tuple[Share, ...] | None = None
    candidates: Annotated[tuple[Candidate, ...], Meta(min_length=1)] | None = None
    words: tuple[dict[str, Share], ...] | None = None
    intervals: tuple[dict[str, tuple[Bounds, ...]], ...] | None = None
    looks_like_domain: bool | None = None
    domain_distance: Annotated[float, Meta(ge=0, le=1e9)] | None = None

    def __post_init__(self) -> None:
        if not is_key(self.key):
            raise ValueError(f"'key' must be a file's base name, not {self.key!r:.80}")
        if any(one.logp < other.logp for one, other in pairwise(self.candidates or ())):
            raise ValueError("'candidates' must have the likeliest first")
        if self.candidates is not None and self.candidates[0].code != self.code:
            raise ValueError("'code' must be that of the first of 'candidates'")
        if any(low > high for of in self.intervals or () for number in of.values() for low, high in number):
            raise ValueError("an interval's lower end must not be above its upper end")

    def to_json(self) -> dict[str, Any]:
        """The line of ``pred.jsonl`` as plain data."""
        row: dict[str, Any] = to_plain(self)
        return row


Line = TypeVar("Line", bound=Prediction)


def is_key(key: str) -> bool:
    """Whether a text can be the key of a prediction: printable, without slashes, and not starting with a dot."""
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in key)  # macOS puts U+202F in names
    return key != "" and not key.startswith(".") and spaced.isprintable() and not set(key) & set("/\\")


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write ``pred.jsonl`` atomically; a symbolic link at ``path`` is followed."""
    write_jsonl(path.resolve(), (p.to_json() for p in predictions))


def read_predictions(path: Path) -> dict[str, Prediction]:
    """The predictions in a file by key, in the file's order; `UserError` if the file is damaged or repeats a key."""
    return read_predictions_of(Prediction, path)


def read_predictions_of(kind: type[Line], path: Path) -> dict[str, Line]:
    """As `read_predictions`, of a file whose lines may have the further fields of a kind of prediction."""
    return _by_key(read_rows(path, kind))


def predictions_in(text: str, kind: type[Line], where: str) -> dict[str, Line]:
    """As `read_predictions_of`, of a text; errors begin with `where`."""
    lines = ((f"{where}, line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    return _by_key((place, as_declared(decode_row(line, place), kind, place)) for place, line in lines)


def _by_key(rows: Iterable[tuple[str, Line]]) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for where, prediction in rows:
        if prediction.key in found:
            raise UserError(f"{where}: the key {prediction.key} comes twice")
        found[prediction.key] = prediction
    return found
