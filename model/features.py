"""What a frozen tower makes of every image of a data set, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from datagen.cache import alone, cache_folder
from datagen.declared import read_declared
from datagen.errors import UserError
from datagen.files import sync_folder, write_json
from datagen.progress import progress
from model.declared import FeaturesDone
from model.images import Frame
from model.tower import VisionTower

FEATURES, PARTIAL, DONE = "features.npy", "partial.npy", "done.json"
SPARE_BYTES = 1 << 30  # that a full cache leaves on the disk
BATCHES_BETWEEN_SYNCS = 16


class Images(Protocol):
    """Images by number from 0, as the tower takes them."""

    def __len__(self) -> int: ...

    def pixel_values(self, number: int) -> torch.Tensor | None:
        """(3, height, width); None for an image that cannot be read."""


class FeatureCache:
    """A file of (samples, tokens, width) float32, mapped into memory: what the tower gives for each image, NaN where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _rows(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without the mapping, which each process makes for itself."""
        return {"path": self.path}

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, numbers: Sequence[int]) -> np.ndarray:
        """The features of these samples: (len(numbers), tokens, width) float32, a copy."""
        return self._rows[np.asarray(numbers, np.int64)]

    @classmethod
    def fill(
        cls, tower: VisionTower, frame: Frame, images: Images, data: str, batch_size: int, *, folder: Path | None = None
    ) -> FeatureCache:
        """The features of all images, from `folder` (the user's cache) if they are there, else computed on the tower's device.

        ``data`` is the digest of the data set: with the tower's weights and the frame it names the file. A call that was killed is taken
        up where it last synced. Of several processes one computes and the others wait. `UserError` if the disk has not the room.
        """
        name = hashlib.sha256(f"{_tower_digest(tower)}\n{frame}\n{data}\n{len(images)}".encode()).hexdigest()[:32]
        place = (folder or cache_folder("features")) / name
        try:
            with alone(place / "lock"):
                if not (place / FEATURES).exists():
                    _compute(tower, images, batch_size, place)
        except OSError as error:
            raise UserError(
                f"{place}: {error.strerror or error} while features were written; with room and rights, call it again"
            ) from error
        return cls(place / FEATURES)


def _compute(tower: VisionTower, images: Images, batch_size: int, place: Path) -> None:
    tower.eval()
    shape = (len(images), tower.rows * tower.columns, tower.width)
    row_bytes = 4 * shape[1] * shape[2]
    partial = place / PARTIAL
    with partial.open("r+b" if partial.exists() else "w+b") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})  # type: ignore[no-untyped-call]
        stream.flush()
        begin = stream.tell()
        done = min(_done(place), (os.fstat(stream.fileno()).st_size - begin) // row_bytes)
        _see_room(place, (len(images) - done) * row_bytes, shape)
        stream.truncate(begin + done * row_bytes)
        stream.seek(begin + done * row_bytes)
        batches = [range(first, min(first + batch_size, len(images))) for first in range(done, len(images), batch_size)]
        for count, batch in enumerate(progress(batches, len(batches), "the frozen tower's features, batch by batch"), 1):
            stream.write(_features(tower, [images.pixel_values(number) for number in batch], shape[1:]).tobytes())
            if count % BATCHES_BETWEEN_SYNCS == 0 or batch.stop == len(images):
                stream.flush()
                os.fsync(stream.fileno())
                write_json(place / DONE, {"done": batch.stop})
    partial.rename(place / FEATURES)
    sync_folder(place)


def _done(place: Path) -> int:
    """Of how many images the features are on the disk; none where that is not stated, or the statement is damaged."""
    try:
        return read_declared(place / DONE, FeaturesDone).done
    except UserError:
        return 0


def _features(tower: VisionTower, pixels: Sequence[torch.Tensor | None], shape: tuple[int, ...]) -> np.ndarray:
    """What the tower gives, (images, tokens, width) float32; NaN for images that are None."""
    features = np.full((len(pixels), *shape), np.nan, np.float32)
    there = [i for i, values in enumerate(pixels) if values is not None]
    if there:
        at = next(tower.parameters())
        stacked = torch.stack([values for values in pixels if values is not None]).to(at.device, at.dtype)
        with torch.no_grad():
            features[there] = tower(stacked).float().cpu().numpy()
    return features


def _see_room(place: Path, needed: int, shape: tuple[int, ...]) -> None:
    free = shutil.disk_usage(place).free
    if needed + SPARE_BYTES > free:
        raise UserError(
            f"{place}: the features of {shape[0]:,} images, {shape[1]} x {shape[2]} numbers each, still need {needed:,} bytes, and "
            f"{max(0, free - SPARE_BYTES):,} are free; make room, name another folder, or train without cached features"
        )


_TOLD = ("_name_or_path", "name_or_path", "transformers_version", "architectures")
"""What a configuration tells of where a model is from, on which nothing depends."""


def _tower_digest(tower: VisionTower) -> str:
    """The SHA-256 of all that a tower's features depend on: its configuration, which layer is read, how cells are merged, its weights."""
    settings = {name: value for name, value in tower.encoder.config.to_dict().items() if name not in _TOLD}
    digest = hashlib.sha256(f"{json.dumps(settings, sort_keys=True, default=str)} {tower.layer} {tower.merge}".encode())
    digest.update(f" {tower.rows} {tower.columns}".encode())
    for name, tensor in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
