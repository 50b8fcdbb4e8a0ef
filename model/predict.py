"""Prediction: a trained model reads images and writes their code. Opens only safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from datagen.domains import get_domain
from datagen.encoding import decode_image
from datagen.errors import ImageError, UserError
from datagen.files import read_jsonl
from datagen.locks import hold
from datagen.predictions import Prediction, is_key, write_predictions
from datagen.progress import progress
from datagen.shards import Samples
from model.choosing import Decoding
from model.codec import CodeCodec
from model.decode import GREEDY, decode
from model.derender.decode import write_perceived
from model.derender.derenderer import Derenderer
from model.images import Frame
from model.load import Loaded, load_model
from model.prompts import prompt_tokens


class Predictor(ABC):
    """A trained model, ready to read images; `of` a folder, or `around` a model."""

    def __init__(self, loaded: Loaded) -> None:
        self.name, self.digest, self.model = loaded.name, loaded.digest, loaded.model
        self.frame = Frame.of(self.model.config)

    @staticmethod
    def of(folder: Path, device: str = "auto") -> Predictor:
        """The model in a folder; `UserError` if it is not one or damaged."""
        return Predictor.around(load_model(folder, device))

    @staticmethod
    def around(loaded: Loaded) -> Predictor:
        """The predictor of a model, by its kind."""
        return DerenderPredictor(loaded) if isinstance(loaded.model, Derenderer) else CodePredictor(loaded)

    def check(self, decoding: Decoding) -> None:  # noqa: B027
        """`UserError` if this model has no such ways to choose."""

    def predict(self, images: Iterable[tuple[str, np.ndarray]], batch_size: int = 32, decoding: Decoding = GREEDY) -> Iterator[Prediction]:
        """The code of images, each a key and (height, width, 3) uint8 pixels, in order; with several samples, all of them as candidates."""
        self.check(decoding)
        source = iter(images)
        while batch := list(islice(source, batch_size)):
            tensors = torch.stack([self.frame.tensor(self.frame.fit(pixels)[0]) for _, pixels in batch])
            yield from self._read([key for key, _ in batch], tensors.to(self.model.device, self.model.dtype), decoding)

    @abstractmethod
    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        """The code of a batch (batch, 3, height, width)."""


class CodePredictor(Predictor):
    """An IG-LLM, which writes the code token by token."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        config = self.model.config
        self.codec = CodeCodec(get_domain(config.domain), loaded.tokenizer, config.numbers, config.rotations)
        self.prompt = prompt_tokens(loaded.tokenizer, [config.prompt]).asked[0]

    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        said = decode(self.model, self.codec, pixel_values, self.prompt, decoding=decoding, keys=keys)
        for key, one in zip(keys, said, strict=True):
            yield Prediction(key, one.code, confidence=one.confidence, candidates=one.candidates if decoding.samples > 1 else None)


class DerenderPredictor(Predictor):
    """A de-rendering model, which has one answer."""

    def check(self, decoding: Decoding) -> None:
        """`UserError` if this model has no such ways to choose."""
        if decoding.samples > 1 or decoding.beams > 1 or decoding.temperature is not None:
            raise UserError("a de-rendering model has one answer to an image: leave out --samples, --temperature and --beams")

    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        for key, (code, confidence) in zip(keys, write_perceived(self.model, pixel_values), strict=True):
            yield Prediction(key, code, confidence=confidence)


class ImageFiles:
    """Loose image files as a source of images, keyed by their stems."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = {path.stem: path for path in paths}
        if len(self._paths) < len(paths):
            raise UserError("--images: two files have the same stem, which is a prediction's key; rename one")
        bad = [str(path) for path in paths if not is_key(path.stem)]
        if bad:
            raise UserError(f"--images: {bad[0]!r}: its stem cannot be a prediction's key; rename it to one of letters and digits")

    @property
    def keys(self) -> list[str]:
        return list(self._paths)

    def pixels(self, key: str) -> np.ndarray:
        """(height, width, 3) uint8, upright; `ImageError` for a file that cannot be read."""
        path = self._paths[key]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImageError(f"{path}: not a readable image ({error.strerror or error})") from None
        return decode_image(data, str(path))


class DatasetImages:
    """The images of a data set, or of its first ``num`` samples."""

    def __init__(self, data: Path, num: int | None = None) -> None:
        self._samples = Samples(data)
        if num is not None and not 1 <= num <= len(self._samples):
            raise UserError(f"--num {num}: {data} holds {len(self._samples)} samples")
        self.keys = self._samples.keys[:num]

    def pixels(self, key: str) -> np.ndarray:
        """(height, width, 3) uint8; `ImageError` for an image that cannot be read."""
        return self._samples[key].pixels()


def predict_file(
    predictor: Predictor, images: ImageFiles | DatasetImages, out: Path, batch_size: int = 32, decoding: Decoding = GREEDY
) -> dict[str, str]:
    """Write ``pred.jsonl`` for all images but those that cannot be read; these are told on stderr, and returned: why, by key.

    What an interrupted call with the same weights and settings has predicted, or found unreadable, is kept. `UserError` while another call
    writes the same file.
    """
    predictor.check(decoding)
    with hold(out):
        return _predict_rest(predictor, images, out, batch_size, decoding)


def _predict_rest(
    predictor: Predictor, images: ImageFiles | DatasetImages, out: Path, batch_size: int, decoding: Decoding
) -> dict[str, str]:
    keys = hashlib.sha256("\n".join(images.keys).encode()).hexdigest()
    partial = _Partial(out.with_name(f".{out.name}.partial"), {"model": predictor.digest, "keys": keys, "decoding": asdict(decoding)})
    for reason in partial.skipped.values():
        _tell(reason)
    todo = [key for key in images.keys if key not in partial.predictions and key not in partial.skipped]
    with partial.appending():
        for prediction in progress(predictor.predict(_readable(images, todo, partial), batch_size, decoding), len(todo), "predict"):
            partial.add(prediction)
    write_predictions(out, (partial.predictions[key] for key in images.keys if key not in partial.skipped))
    partial.path.unlink()
    return partial.skipped


def _readable(images: ImageFiles | DatasetImages, keys: list[str], partial: _Partial) -> Iterator[tuple[str, np.ndarray]]:
    for key in keys:
        try:
            yield key, images.pixels(key)
        except ImageError as error:
            _tell(str(error))
            partial.skip(key, str(error))


def _tell(reason: str) -> None:
    tqdm.write(f"igllm predict: skipped: {reason}", file=sys.stderr)


class _Partial:
    """What there is of a ``pred.jsonl`` that is being written: a header that says of what, then a line an image, safe to cut anywhere."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.predictions: dict[str, Prediction] = {}
        self.skipped: dict[str, str] = {}
        if not self._read(header):
            path.write_text(json.dumps(header) + "\n")

    def _read(self, header: dict[str, Any]) -> bool:
        """Take up what an earlier call left; False if there is nothing of this header, or it is damaged."""
        if not self.path.exists():
            return False
        lines = self.path.read_bytes()
        self.path.write_bytes(lines[: lines.rfind(b"\n") + 1])  # a kill may have cut the last line short
        with suppress(UserError):
            rows = read_jsonl(self.path)
            if rows and rows[0] == header:
                self._take_up(rows[1:])
                return True
        return False

    def _take_up(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if "skipped" in row:
                self.skipped[row["key"]] = row["skipped"]
            else:
                self.predictions[row["key"]] = Prediction.from_json(row, str(self.path))

    @contextmanager
    def appending(self) -> Iterator[None]:
        """While it lasts, `add` and `skip` may be called."""
        with self.path.open("a") as self._stream:
            yield

    def add(self, prediction: Prediction) -> None:
        self.predictions[prediction.key] = prediction
        self._write(prediction.to_json())

    def skip(self, key: str, reason: str) -> None:
        self.skipped[key] = reason
        self._write({"key": key, "skipped": reason})

    def _write(self, row: dict[str, Any]) -> None:
        self._stream.write(json.dumps(row) + "\n")
        self._stream.flush()
