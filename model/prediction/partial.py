"""The file of an unfinished prediction, from which the next call goes on: a header with model and settings, then a line for each image.

A kill may cut the file off anywhere.
"""

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

import msgspec
from msgspec import Struct, structs

from datagen.code.predictions import Prediction
from datagen.errors import ImageError, UserError
from datagen.io.declared import as_declared, to_plain
from datagen.io.files import MOST_OF_LINE, check_own, is_there, naming, open_plain, removed, write_bytes
from datagen.io.json_text import decode_row
from datagen.screen import print_line
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

    @classmethod
    def of(cls, prediction: Prediction, image_sha256: str, header: Header) -> Kept:
        """The line of a prediction."""
        return cls(**structs.asdict(prediction), image_sha256=image_sha256).sealed(header)

    def sealed(self, header: Header) -> Kept:
        """The line with the correct seal, equal to the line itself if that is unchanged."""
        text = msgspec.json.encode([header, structs.replace(self, seal="")])
        return structs.replace(self, seal=hashlib.sha256(text).hexdigest())

    def prediction(self) -> Prediction:
        """The prediction alone, as ``pred.jsonl`` will hold it."""
        return Prediction(self.key, self.code, self.image, self.confidence, self.candidates)


class Partial:
    """The file at ``path``, and the finished ``predictions`` by key. ``model`` is the model's digest."""

    def __init__(self, path: Path, model: str, decoding: Decoding) -> None:
        self.path = path
        self.predictions: dict[str, Prediction] = {}
        self._header = Header(version("igllm"), model, asdict(decoding))

    def take_up(self, images: Pictures) -> None:
        """Load the predictions that an earlier call with the same model and settings made of unchanged images, and print how many."""
        check_own(self.path)
        header, rows = self._left()
        other = [reason for name, reason in _MADE_WITH.items() if getattr(header, name, None) != getattr(self._header, name)]
        if other:
            write_bytes(self.path, json.dumps(to_plain(self._header)).encode() + b"\n")
            if rows:
                _print(f"the predictions of an interrupted call are begun anew: they were made with {' and '.join(other)}")
            return
        asked = [key for key in images.keys if key in rows]
        self.predictions |= {key: rows[key].prediction() for key in asked if rows[key].image_sha256 == _digest(images, key)}
        if asked:
            changed = len(asked) - len(self.predictions)
            anew = f"; {changed} begun anew, as their images have changed" if changed else ""
            _print(f"{len(self.predictions)} of {len(images.keys)} predictions taken up from an interrupted call{anew}")

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Open the file; `add` may be called within the block."""
        with self.path.open("ab", buffering=0) as self._stream:
            yield

    def add(self, prediction: Prediction, image_digest: str) -> None:
        """Append a prediction, with the SHA-256 of its image's file. `UserError` if somebody has removed the file at ``path``."""
        if not is_there(self.path, self._stream.fileno()):
            raise removed(self.path.parent)
        self.predictions[prediction.key] = prediction
        kept = Kept.of(prediction, image_digest, self._header)
        with naming(self.path):
            self._stream.write(json.dumps(kept.to_json()).encode() + b"\n")

    def _left(self) -> tuple[Header | None, dict[str, Kept]]:
        """The header and, by key, the lines of an earlier call, up to the first line that is damaged; truncate the file there."""
        if not self.path.exists():
            return None, {}
        header: Header | None = None
        rows: dict[str, Kept] = {}
        end = 0
        with open_plain(self.path) as stream:
            while (line := stream.readline(MOST_OF_LINE)).endswith(b"\n"):  # a last line without its end was cut off by a kill
                try:
                    row = decode_row(line.decode(errors="replace"), str(self.path))
                    if header is None:
                        header = as_declared(row, Header, str(self.path))
                    else:
                        kept = as_declared(row, Kept, str(self.path))
                        if kept != kept.sealed(header):
                            raise UserError(f"{self.path}: not as it was written")
                        rows[kept.key] = kept
                except UserError:
                    _print("of what an interrupted call left, a line is damaged: it and those behind it are begun anew")
                    break
                end += len(line)
        os.truncate(self.path, end)
        return header, rows


def _digest(images: Pictures, key: str) -> str:
    """The SHA-256 of an image's file; empty if the file cannot be read."""
    try:
        return hashlib.sha256(images.encoded(key)).hexdigest()
    except ImageError:
        return ""


def _print(text: str) -> None:
    print_line(f"predict: {text}")
