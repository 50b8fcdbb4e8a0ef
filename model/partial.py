"""What an interrupted prediction has left: a header that says what it was made with, then a line an image, safe to cut anywhere."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import Struct

from datagen.declared import as_declared, to_plain
from datagen.errors import ImageError, UserError
from datagen.files import decode_row, is_there, naming, read_lines, read_whole, removed, write_bytes
from datagen.pictures import Pictures
from datagen.predictions import Prediction
from datagen.screen import print_line
from model.choosing import Decoding

_MADE_WITH = {"igllm": "another version of igllm", "model": "another model", "decoding": "other settings of decoding"}
"""The header's fields, each with the reason for which rows are begun anew where it differs."""


class Header(Struct):
    """The first line: what the others were made with."""

    igllm: str
    model: str
    decoding: dict[str, Any]


class Kept(Prediction, frozen=True):
    """A line, with the SHA-256 of the file of the image."""

    image_sha256: str = ""

    def prediction(self) -> Prediction:
        """The line as it will be in ``pred.jsonl``."""
        return Prediction(self.key, self.code, self.image, self.confidence, self.candidates)


class Partial:
    """``predictions`` are those that are done, by key."""

    def __init__(self, path: Path, model: str, decoding: Decoding) -> None:
        self.path = path
        self.predictions: dict[str, Prediction] = {}
        self._header = Header(version("igllm"), model, asdict(decoding))

    def take_up(self, images: Pictures) -> None:
        """Take what an earlier call left of these images, if it was made with the same and their files are the same still; tell of it."""
        header, rows = self._left()
        other = [reason for name, reason in _MADE_WITH.items() if getattr(header, name, None) != getattr(self._header, name)]
        if other:
            write_bytes(self.path, json.dumps(to_plain(self._header)).encode() + b"\n")
            if rows:
                _tell(f"the predictions of an interrupted call are begun anew: they were made with {' and '.join(other)}")
            return
        asked = [key for key in images.keys if key in rows]
        self.predictions |= {key: rows[key].prediction() for key in asked if rows[key].image_sha256 == _digest(images, key)}
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
        kept = Kept(prediction.key, prediction.code, prediction.image, prediction.confidence, prediction.candidates, image_digest)
        with naming(self.path):
            self._stream.write(json.dumps(kept.to_json()).encode() + b"\n")

    def _left(self) -> tuple[Header | None, dict[str, Kept]]:
        """The header of an earlier call, and its lines by key; nothing if there are none, or they are damaged."""
        if not self.path.exists():
            return None, {}
        lines = read_whole(self.path)
        if not lines.endswith(b"\n"):  # a kill has cut the last line short
            os.truncate(self.path, lines.rfind(b"\n") + 1)
        header: Header | None = None
        rows: dict[str, Kept] = {}
        try:
            for number, line in read_lines(self.path):
                where = f"{self.path}, line {number}"
                if header is None:
                    header = as_declared(decode_row(line, where), Header, where)
                else:
                    row = as_declared(decode_row(line, where), Kept, where)
                    rows[row.key] = row
        except UserError:
            _tell("what an interrupted call left is damaged, and begun anew")
            return None, {}
        return header, rows


def _digest(images: Pictures, key: str) -> str:
    """The SHA-256 of the file of an image; empty if that cannot be read."""
    try:
        return hashlib.sha256(images.encoded(key)).hexdigest()
    except ImageError:
        return ""


def _tell(text: str) -> None:
    print_line(f"predict: {text}")
