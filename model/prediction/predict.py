"""Prediction of the code of images by a trained model, into ``pred.jsonl``."""

from __future__ import annotations

import hashlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from datagen.code.predictions import Prediction, write_predictions
from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import ImageError, UserError
from datagen.images.encoding import decode_image
from datagen.io.files import check_file
from datagen.io.locks import hold
from datagen.io.progress import progress
from datagen.io.ranges import counted
from datagen.shards.pictures import Pictures
from model.data.frames import Frame
from model.derender.decode import write_perceived
from model.derender.derenderer import Derenderer
from model.load import Loaded, is_shipped, load_model
from model.prediction.decode import GREEDY, decode
from model.prediction.decoding import Decoding
from model.prediction.partial import Partial
from model.tables import reason
from model.tokens.prompts import prompt_tokens


class Predictor(ABC):
    """A trained model that predicts the code of images. Make one by `of` from a folder, or by `around` from a loaded model."""

    def __init__(self, loaded: Loaded) -> None:
        self.name, self.digest, self.model = loaded.name, loaded.digest, loaded.model
        self.most_images = loaded.most_images
        self.frame = Frame.of(self.model.config)

    @staticmethod
    def of(folder: Path, device: str = "auto") -> Predictor:
        """The predictor of the model in a folder; `UserError` if the folder has no model or a damaged one."""
        return Predictor.around(load_model(folder, device))

    @staticmethod
    def around(loaded: Loaded) -> Predictor:
        """The predictor of a loaded model, of the subclass for its kind."""
        return DerenderPredictor(loaded) if isinstance(loaded.model, Derenderer) else CodePredictor(loaded)

    def check(self, decoding: Decoding) -> None:  # noqa: B027
        """`UserError` if this model does not support these settings."""

    def foreign(self, domain: Domain) -> str | None:
        """The reason why this model's code is not of a domain, None if it is: the names of statements and arguments must be the same."""
        own = get_domain(self.model.config.domain)
        if _arguments(own) == _arguments(domain):
            return None
        return f"the model {self.name} writes code of the domain {own.name}, and the data are of {domain.name}"

    def predict(self, images: Iterable[tuple[str, np.ndarray]], batch_size: int = 32, decoding: Decoding = GREEDY) -> Iterator[Prediction]:
        """The predictions of images, each a key and (height, width, 3) uint8 pixels, in order; several samples become its candidates.

        A batch has ``batch_size`` images, or `Loaded.most_images` if that is fewer.
        """
        self.check(decoding)
        source = iter(images)
        while batch := list(islice(source, min(batch_size, self.most_images))):
            tensors = torch.stack([self.frame.tensor(self.frame.fit(pixels)[0]) for _, pixels in batch])
            with self._blamed(len(batch)):
                found = list(self._read([key for key, _ in batch], tensors.to(self.model.device, self.model.dtype), decoding))
            yield from found

    @contextmanager
    def _blamed(self, images: int) -> Iterator[None]:
        """Turn a lack of memory and, for a model that is not shipped, any error of torch into a `UserError`. A model that could be loaded
        may fail to compute, as no weight shows some of its settings, such as attention windows or layers that leave nothing of an image."""
        try:
            yield
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error):
                message = f"there is not enough memory for {counted(images, 'image')} at a time; give a smaller --batch-size"
                raise UserError(message) from None
            if isinstance(error, UserError | OSError) or is_shipped(Path(self.name)):
                raise
            why = f"its configuration and weights do not go together ({reason(error)})"
            raise UserError(f"{self.name}: this model cannot be run: {why}") from error

    @abstractmethod
    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        """The predictions of a batch (batch, 3, height, width)."""


def _arguments(domain: Domain) -> dict[str, list[str]]:
    """The names of a domain's statements, each with the sorted names of its arguments."""
    return {statement.name: sorted(argument.name for argument in statement.arguments) for statement in domain.statements}


class CodePredictor(Predictor):
    """Predicts with an `IGLLM`, token by token."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        assert loaded.codec is not None
        self.codec = loaded.codec
        self.prompt = prompt_tokens(self.codec.tokenizer, [self.model.config.prompt]).asked[0]

    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        decoded = decode(self.model, self.codec, pixel_values, self.prompt, decoding=decoding, keys=keys)
        for key, one in zip(keys, decoded, strict=True):
            yield Prediction(key, one.code, confidence=one.confidence, candidates=one.candidates if decoding.samples > 1 else None)


class DerenderPredictor(Predictor):
    """Predicts with a `Derenderer`, which gives one code for an image."""

    def check(self, decoding: Decoding) -> None:
        """`UserError` if settings ask for several samples, a beam search or random draws."""
        if decoding.samples > 1 or decoding.beams > 1 or decoding.temperature is not None:
            raise UserError("a de-rendering model has one answer to an image: leave out --samples, --temperature and --beams")

    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        for key, (code, confidence) in zip(keys, write_perceived(self.model, pixel_values), strict=True):
            yield Prediction(key, code, confidence=confidence)


def predict_images(
    predictor: Predictor, images: Pictures, batch_size: int = 32, decoding: Decoding = GREEDY
) -> tuple[list[Prediction], dict[str, str]]:
    """The predictions of all images that can be read, and by key the reasons why the others cannot, which are also printed on stderr."""
    predictor.check(decoding)
    source = _Unpredicted(images, ())
    predictions = list(progress(predictor.predict(source, batch_size, decoding), len(source.keys), "predict"))
    return predictions, source.skipped


def predict_file(
    predictor: Predictor,
    images: Pictures,
    out: Path,
    batch_size: int = 32,
    decoding: Decoding = GREEDY,
    *,
    write: Callable[[Path, Iterable[Prediction]], None] = write_predictions,
) -> dict[str, str]:
    """Write ``pred.jsonl`` for all images that can be read. The reasons why others cannot are printed on stderr, and returned by key.

    Predictions of an interrupted call with the same model and settings are kept where the image is still the same. `UserError` while
    another call writes the same file, or if a folder is in its place. ``write`` writes the finished predictions.
    """
    predictor.check(decoding)
    check_file(out)
    with hold(out):
        partial = Partial(out.with_name(f".{out.name}.partial"), predictor.digest, decoding)
        partial.take_up(images)
        source = _Unpredicted(images, partial.predictions.keys())
        with partial.appending():
            for prediction in progress(predictor.predict(source, batch_size, decoding), len(source.keys), "predict"):
                partial.add(prediction, source.digests[prediction.key])
        write(out, (partial.predictions[key] for key in images.keys if key not in source.skipped))
        partial.path.unlink()
        return source.skipped


class _Unpredicted:
    """The images still to be predicted. Iteration fills ``digests``, their files' SHA-256, and ``skipped``, the reasons why others cannot
    be read, both by key."""

    def __init__(self, images: Pictures, done: Collection[str]) -> None:
        self._images = images
        self.keys = [key for key in images.keys if key not in done]
        self.digests: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        for key in self.keys:
            try:
                encoded = self._images.encoded(key)
                pixels = decode_image(encoded, self._images.name(key))
            except ImageError as error:
                tqdm.write(f"predict: skipped: {error}", file=sys.stderr)
                self.skipped[key] = str(error)
                continue
            self.digests[key] = hashlib.sha256(encoded).hexdigest()
            yield key, pixels
