"""Data sets without Blender, for tests of how they are kept: real scenes and labels, images of one grey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from datagen.samples.draw import draw
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings, sample_key
from datagen.shards.manifest import Failure
from datagen.shards.store import Place
from datagen.shards.writer import open_dataset

SETTINGS = DatasetSettings(seed=5, width=32, height=24, quality="draft", min_objects=1, max_objects=1, shard_size=4)
IN_FOUR_SHARDS, IN_SIX_SHARDS = 14, 22
"""How many samples `conftest.four_shards` and `conftest.six_shards` hold."""


def constant_sample(settings: DatasetSettings, index: int) -> Sample:
    """The sample that rendering would give, but for its image."""
    drawn = draw(settings, index)
    pixels = np.full((settings.height, settings.width, 3), index % 251, np.uint8)
    return make_sample(
        sample_key(index), drawn.scene, drawn.shot, pixels, index=index, seed=settings.seed, attempt=drawn.attempt, split=settings.split
    )


def constant_samples(settings: DatasetSettings, indices: Iterable[int], _pool: Any = None) -> Iterator[Sample | Failure]:
    """What `datagen.generate.generate_samples` is replaced by."""
    return (constant_sample(settings, index) for index in indices)


def fill(
    out: Place, num: int, settings: DatasetSettings = SETTINGS, shards: list[int] | None = None, failing: Iterable[int] = ()
) -> list[int]:
    """Bring a data set to `num` samples, some of which fail; the indices that were rendered."""
    broken = set(failing)
    with open_dataset(out, settings, num, shards) as writer:
        missing = writer.missing()
        for index in missing:
            failure = Failure(index, settings.seed, sample_key(index), "it crashed twice")
            writer.put(failure if index in broken else constant_sample(settings, index))
        writer.close()
    return missing


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, but for its lock."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file() and path.name != ".lock"}
