"""A cache on disk of the features that a frozen tower computes from each image of a data set."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch

from datagen.errors import UserError
from datagen.io.cache import alone, cache_folder, drop
from datagen.io.declared import read_declared, to_plain
from datagen.io.files import MOST_BYTES, check_own, sync_folder, write_json
from datagen.io.progress import progress
from model.data.frames import Frame
from model.declared import FeaturesDone
from model.parts.tower import VisionTower

FEATURES, PARTIAL, DONE, LOCK = "features.npy", "partial.npy", "done.json", "lock"
SPARE_BYTES = 1 << 30  # must stay free on the disk
BATCHES_BETWEEN_SYNCS = 16


class Images(Protocol):
    """Images by number from 0, as input of the tower."""

    def __len__(self) -> int: ...

    def pixel_values(self, number: int) -> torch.Tensor | None:
        """(3, height, width); None for an image that cannot be read."""


class FeatureCache:
    """A file of features (images, tokens, width) float32, mapped into memory; the features of an image that cannot be read are NaN."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _rows(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def __getstate__(self) -> dict[str, Any]:
        """The state without the memory mapping, which every process makes itself."""
        return {"path": self.path}

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, numbers: Sequence[int]) -> np.ndarray:
        """A copy of the features of these images: (numbers, tokens, width) float32."""
        return self._rows[np.asarray(numbers, np.int64)]

    @classmethod
    def fill(
        cls, tower: VisionTower, frame: Frame, images: Images, data: str, batch_size: int, *, folder: Path | None = None
    ) -> FeatureCache:
        """The features of all images, from ``folder`` (by default the user's cache) if they are there, else computed on the tower's device.

        ``data`` is the digest of the data set; with the tower's digest, the frame and the number of images it determines the file's name.
        After a killed call, the next one goes on from the last sync. A damaged file is computed anew. Of several processes, one computes
        and the others wait. `UserError` if the disk has too little room or cannot be written to.
        """
        name = hashlib.sha256(f"{_tower_digest(tower)}\n{frame}\n{data}\n{len(images)}".encode()).hexdigest()[:32]
        place = (folder or cache_folder("features")) / name
        check_own(place, folder=True)
        try:
            _remove_other_than_file(place / LOCK)
            with alone(place / LOCK):
                shape = (len(images), tower.rows * tower.columns, tower.width)
                for file in (FEATURES, PARTIAL, DONE):
                    _remove_other_than_file(place / file)
                if (place / FEATURES).exists() and not _is_whole(place, shape):
                    print(f"{place / FEATURES}: damaged; its features are computed anew", file=sys.stderr, flush=True)
                    (place / FEATURES).unlink()
                if not (place / FEATURES).exists():
                    _compute(tower, images, batch_size, place, shape)
        except OSError as error:
            raise UserError(
                f"{error.filename or place}: {error.strerror or error} while features were written; with room and rights, call it again"
            ) from error
        return cls(place / FEATURES)


def _remove_other_than_file(path: Path) -> None:
    """Remove a link, pipe, device or folder at the place of a file: writing through a link or waiting at a pipe must not happen."""
    if path.is_symlink() or not path.is_file():
        drop(path)


def _synced(place: Path) -> FeaturesDone:
    """The content of ``done.json``, the record of the synced rows; empty if it cannot be read."""
    try:
        return read_declared(place / DONE, FeaturesDone, MOST_BYTES)
    except UserError:
        return FeaturesDone()


def _header(shape: tuple[int, ...]) -> bytes:
    """The header of a file of features of this shape."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})  # type: ignore[no-untyped-call]
    return stream.getvalue()


def _is_whole(place: Path, shape: tuple[int, ...]) -> bool:
    """Whether the finished file holds exactly what was computed. Reads the whole file, as training will."""
    header, row_bytes = _header(shape), 4 * shape[1] * shape[2]
    try:
        with (place / FEATURES).open("rb") as stream:
            sized = os.fstat(stream.fileno()).st_size == len(header) + shape[0] * row_bytes
            return sized and stream.read(len(header)) == header and _intact(stream, _synced(place), row_bytes).rows[-1:] == [shape[0]]
    except OSError:
        return False


def _intact(stream: IO[bytes], synced: FeaturesDone, row_bytes: int) -> FeaturesDone:
    """The leading syncs in ``synced`` whose rows ``stream``, positioned at the first row, still holds unchanged."""
    intact, done = FeaturesDone(), 0
    for rows, expected in zip(synced.rows, synced.crc32, strict=False):
        crc = 0
        for _ in range(done, rows):
            row = stream.read(row_bytes)
            if len(row) < row_bytes:
                return intact
            crc = zlib.crc32(row, crc)
        if rows <= done or crc != expected:
            return intact
        done = rows
        intact.rows.append(rows)
        intact.crc32.append(crc)
    return intact


def _compute(tower: VisionTower, images: Images, batch_size: int, place: Path, shape: tuple[int, ...]) -> None:
    tower.eval()
    header, row_bytes = _header(shape), 4 * shape[1] * shape[2]
    partial = place / PARTIAL
    with partial.open("r+b" if partial.exists() else "w+b") as stream:
        stream.write(header)
        synced = _intact(stream, _synced(place), row_bytes)
        done = synced.rows[-1] if synced.rows else 0
        _check_room(place, (len(images) - done) * row_bytes, shape)
        stream.truncate(len(header) + done * row_bytes)
        stream.seek(len(header) + done * row_bytes)
        batches = [range(first, min(first + batch_size, len(images))) for first in range(done, len(images), batch_size)]
        crc = 0
        for count, batch in enumerate(progress(batches, len(batches), "the frozen tower's features, batch by batch"), 1):
            rows = _features(tower, [images.pixel_values(number) for number in batch], shape[1:]).tobytes()
            stream.write(rows)
            crc = zlib.crc32(rows, crc)
            if count % BATCHES_BETWEEN_SYNCS == 0 or batch.stop == len(images):
                stream.flush()
                os.fsync(stream.fileno())
                synced.rows.append(batch.stop)
                synced.crc32.append(crc)
                write_json(place / DONE, to_plain(synced))
                crc = 0
    partial.rename(place / FEATURES)
    sync_folder(place)


def _features(tower: VisionTower, pixels: Sequence[torch.Tensor | None], shape: tuple[int, ...]) -> np.ndarray:
    """The tower's features (images, tokens, width) float32 of ``pixels``; NaN where an image is None. ``shape`` is (tokens, width)."""
    features = np.full((len(pixels), *shape), np.nan, np.float32)
    there = [i for i, values in enumerate(pixels) if values is not None]
    if there:
        at = next(tower.parameters())
        stacked = torch.stack([values for values in pixels if values is not None]).to(at.device, at.dtype)
        with torch.no_grad():
            features[there] = tower(stacked).float().cpu().numpy()
    return features


def _check_room(place: Path, needed: int, shape: tuple[int, ...]) -> None:
    free = shutil.disk_usage(place).free
    if needed + SPARE_BYTES > free:
        raise UserError(
            f"{place}: the features of {shape[0]:,} images, {shape[1]} x {shape[2]} numbers each, still need {needed:,} bytes, and "
            f"{max(0, free - SPARE_BYTES):,} are free; make room, name another folder, or train without cached features"
        )


_PROVENANCE = ("_name_or_path", "name_or_path", "transformers_version", "architectures")
"""Fields of a configuration that record a model's origin; features do not depend on them."""


def _tower_digest(tower: VisionTower) -> str:
    """The SHA-256 of what features depend on: the tower's configuration, weights and grid, the layer read, how patches are merged."""
    settings = {name: value for name, value in tower.encoder.config.to_dict().items() if name not in _PROVENANCE}
    digest = hashlib.sha256(f"{json.dumps(settings, sort_keys=True, default=str)} {tower.layer} {tower.merge}".encode())
    digest.update(f" {tower.rows} {tower.columns}".encode())
    for name, tensor in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
