"""The file of an unfinished prediction, from which the next call goes on: a header with model and settings, then a line for each image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from datagen.code.predictions import Prediction
from datagen.errors import ImageError
from datagen.io.sealed import SealedFile
from datagen.shards.pictures import Pictures
from model.prediction.decoding import Decoding

_MADE_WITH = {"igllm": "another version of igllm", "model": "another model", "decoding": "other settings of decoding"}
"""The header's fields, each with the reason that is printed when predictions are begun anew because the field differs."""


class Header(Struct):
    """The first line: version, model's digest and settings of the predictions."""

    igllm: str
    model: str
    decoding: dict[str, Any]


class Kept(Prediction, frozen=True):
    """A line: a prediction, the SHA-256 of its image's file, and ``seal``, the SHA-256 of the header and the rest of the line."""

    image_sha256: str = ""
    seal: str = ""

    def prediction(self) -> Prediction:
        """The prediction alone, as ``pred.jsonl`` will hold it."""
        return Prediction(**{name: getattr(self, name) for name in Prediction.__struct_fields__})


class Partial:
    """The file at ``path``, and the finished ``predictions`` by key. ``model`` is the model's digest."""

    def __init__(self, path: Path, model: str, decoding: Decoding) -> None:
        self.path = path
        self.predictions: dict[str, Prediction] = {}
        self._file = SealedFile(path, Header(version("igllm"), model, asdict(decoding)), Kept, "predict")

    def take_up(self, images: Pictures) -> None:
        """Load the predictions that an earlier call with the same model and settings made of unchanged images, and print how many."""
        header, lines = self._file.left()
        rows = {line.key: line for line in lines}
        other = [reason for name, reason in _MADE_WITH.items() if getattr(header, name, None) != getattr(self._file.header, name)]
        if other:
            self._file.begin()
            if rows:
                self._file.tell(f"the predictions of an interrupted call are begun anew: they were made with {' and '.join(other)}")
            return
        asked = [key for key in images.keys if key in rows]
        self.predictions |= {key: rows[key].prediction() for key in asked if rows[key].image_sha256 == _digest(images, key)}
        if asked:
            changed = len(asked) - len(self.predictions)
            anew = f"; {changed} begun anew, as their images have changed" if changed else ""
            self._file.tell(f"{len(self.predictions)} of {len(images.keys)} predictions taken up from an interrupted call{anew}")

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Open the file; `add` may be called within the block."""
        with self._file.appending():
            yield

    def add(self, prediction: Prediction, image_digest: str) -> None:
        """Append a prediction, with the SHA-256 of its image's file. `UserError` if somebody has removed the file at ``path``."""
        self._file.append(Kept(**structs.asdict(prediction), image_sha256=image_digest))
        self.predictions[prediction.key] = prediction


def _digest(images: Pictures, key: str) -> str:
    """The SHA-256 of an image's file; empty if the file cannot be read."""
    try:
        return hashlib.sha256(images.encoded(key)).hexdigest()
    except ImageError:
        return ""
