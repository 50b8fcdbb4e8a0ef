"""A predictor without a model, for tests of what is done with predictions, and images of which reading one ends the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datagen.code.predictions import Prediction
from datagen.shards.pictures import ImageFiles
from model.prediction.decode import GREEDY
from model.prediction.decoding import Decoding
from model.prediction.predict import Predictor


class Stub(Predictor):
    """A model whose code states its own digest, the decoding's seed, the key and a pixel of the image."""

    def __init__(self, digest: str = "one") -> None:
        self.name, self.digest = "stub", digest

    def predict(self, images: Iterable[tuple[str, np.ndarray]], batch_size: int = 32, decoding: Decoding = GREEDY) -> Iterator[Prediction]:
        for key, pixels in images:
            yield Prediction(key, f"# {self.digest} {decoding.seed} {key} {pixels[0, 0]}\n")

    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        raise NotImplementedError


class Killed(BaseException):
    """Stands for a signal that cannot be caught: no `except Exception` catches it."""


class Until(ImageFiles):
    """Image files of which reading one ends the process."""

    def __init__(self, paths: list[Path], key: str) -> None:
        super().__init__(paths)
        self.last = key

    def encoded(self, key: str) -> bytes:
        if key == self.last:
            raise Killed
        return super().encoded(key)


def paint(path: Path, shade: int) -> None:
    """Write an image of one shade, or for shade 0 a file that is no image."""
    if shade:
        Image.new("L", (12, 12), shade).save(path)
    else:
        path.write_bytes(b"not a picture")
