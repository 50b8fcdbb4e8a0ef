"""Images to read, by key: loose image files, or the images of a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path

import numpy as np

from datagen.code.predictions import is_key
from datagen.errors import ImageError, UserError
from datagen.images.encoding import decode_image
from datagen.images.limits import max_image_bytes
from datagen.io.files import open_plain
from datagen.shards.reader import Samples
from datagen.shards.store import Place

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".j2k", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff"),
    ".webp",
)
"""Files with these suffixes in a folder are taken for images."""


class Pictures(ABC):
    """Encoded images by ``keys``. Each key becomes the key of a prediction; `UserError` for a name that cannot be one."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = list(keys)
        for key in keys:
            if not is_key(key):
                raise UserError(f"{self.name(key)}: {key!r} cannot be a prediction's key; rename it to one of letters and digits")

    @abstractmethod
    def name(self, key: str) -> str:
        """The name of an image in messages."""

    @abstractmethod
    def encoded(self, key: str) -> bytes:
        """The content of the image file; `ImageError` if it cannot be read."""

    def pixels(self, key: str) -> np.ndarray:
        """(height, width, 3) uint8, upright; `ImageError` for an image that cannot be read."""
        return decode_image(self.encoded(key), self.name(key))


class ImageFiles(Pictures):
    """Loose image files, keyed by their names without suffix."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths: dict[str, Path] = {}
        for path in paths:
            other = self._paths.setdefault(path.stem, path)
            if other is not path:
                raise UserError(f"{other} and {path}: both would have the key {path.stem!r}, the name without its suffix; rename one")
        super().__init__(list(self._paths))

    def name(self, key: str) -> str:
        return str(self._paths[key])

    def encoded(self, key: str) -> bytes:
        try:
            with open_plain(self._paths[key]) as stream:
                return stream.read(max_image_bytes() + 1)  # with one byte too many, `decode_image` refuses the file
        except UserError as error:
            raise ImageError(str(error)) from None


class DatasetImages(Pictures):
    """The images of a data set (a place or opened samples), or of its first ``num`` samples; `UserError` if it has fewer."""

    def __init__(self, data: Place | Samples, num: int | None = None) -> None:
        self.samples = data if isinstance(data, Samples) else Samples(data)
        if num is not None and not 1 <= num <= len(self.samples):
            raise UserError(f"--num {num}: {self.samples.path} holds {len(self.samples)} samples")
        super().__init__(self.samples.keys[:num])

    def name(self, key: str) -> str:
        return f"{self.samples.path}: {key}"

    def encoded(self, key: str) -> bytes:
        return self.samples[key].image


def find_images(named: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The image files that paths name, and the other files in their folders, which are left out.

    A path is a file, a folder (its images are sorted), or a pattern such as ``*.png`` that no shell has expanded. `UserError` for a path
    that does not exist, or a folder without images.
    """
    images: list[Path] = []
    others: list[Path] = []
    for path in named:
        for found in [path] if path.exists() else _matching(path):
            if not found.is_dir():
                images.append(found)
                continue
            files = sorted(file for file in found.iterdir() if file.is_file() and not file.name.startswith("."))
            inside = [file for file in files if file.suffix.lower() in SUFFIXES]
            if not inside:
                raise UserError(f"{found}: no image file is in this folder (known are {' '.join(SUFFIXES)}); a data set goes with --data")
            images += inside
            others += [file for file in files if file.suffix.lower() not in SUFFIXES]
    return images, others


def _matching(pattern: Path) -> list[Path]:
    found = sorted(map(Path, glob(str(pattern))))
    if not found:
        raise UserError(f"{pattern}: there is no such file")
    return found
