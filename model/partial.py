"""What an interrupted prediction has left: a header that says what it was made with, then a line an image, safe to cut anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datagen.errors import ImageError, UserError
from datagen.files import is_there, naming, read_jsonl, removed, write_bytes
from datagen.pictures import Pictures
from datagen.predictions import Prediction
from model.choosing import Decoding

IMAGE = "image_sha256"
_MADE_WITH = {"igllm": "another version of igllm", "model": "another model", "decoding": "other settings of decoding"}
"""The header's fields, each with the reason for which rows are begun anew where it differs."""


class Partial:
    """``predictions`` are those that are done, by key."""

    def __init__(self, path: Path, model: str, decoding: Decoding) -> None:
        self.path = path
        self.predictions: dict[str, Prediction] = {}
        self._header = {"igllm": version("igllm"), "model": model, "decoding": asdict(decoding)}

    def take_up(self, images: Pictures) -> None:
        """Take what an earlier call left of these images, if it was made with the same and their files are the same still; tell of it."""
        rows = self._left()
        header, rows = (rows[0], rows[1:]) if rows else ({}, [])
        other = [reason for name, reason in _MADE_WITH.items() if header.get(name) != self._header[name]]
        if other:
            write_bytes(self.path, json.dumps(self._header).encode() + b"\n")
            if rows:
                _tell(f"the predictions of an interrupted call are begun anew: they were made with {' and '.join(other)}")
            return
        found = {row["key"]: row for row in rows}
        asked = [key for key in images.keys if key in found]
        for key in asked:
            if found[key].get(IMAGE) == _digest(images, key):
                self.predictions[key] = Prediction.from_json(found[key], str(self.path))
        if asked:
            changed = len(asked) - len(self.predictions)
            anew = f"; {changed} begun anew, as their images have changed" if changed else ""
            _tell(f"{len(self.predictions)} of {len(images.keys)} predictions taken up from an interrupted call{anew}")

    @contextmanager
    def appending(self) -> Iterator[None]:
        """While it lasts, `add` may be called."""
        with self.path.open("ab", buffering=0) as self._stream:
            yield

    def add(self, prediction: Prediction, image_digest: str) -> None:
        """Keep a prediction, with the SHA-256 of the file of its image. `UserError` if somebody has removed what is kept."""
        if not is_there(self.path, self._stream.fileno()):
            raise removed(self.path.parent)
        self.predictions[prediction.key] = prediction
        with naming(self.path):
            self._stream.write(json.dumps({**prediction.to_json(), IMAGE: image_digest}).encode() + b"\n")

    def _left(self) -> list[dict[str, Any]]:
        """The lines of an earlier call, the header first; none if there are none, or they are damaged."""
        if not self.path.exists():
            return []
        lines = self.path.read_bytes()
        if not lines.endswith(b"\n"):  # a kill has cut the last line short
            os.truncate(self.path, lines.rfind(b"\n") + 1)
        try:
            rows = read_jsonl(self.path)
            for row in rows[1:]:
                Prediction.from_json(row, str(self.path))
        except UserError:
            _tell("what an interrupted call left is damaged, and begun anew")
            return []
        return rows


def _digest(images: Pictures, key: str) -> str:
    """The SHA-256 of the file of an image; empty if that cannot be read."""
    try:
        return hashlib.sha256(images.encoded(key)).hexdigest()
    except ImageError:
        return ""


def _tell(text: str) -> None:
    print(f"predict: {text}", file=sys.stderr)
