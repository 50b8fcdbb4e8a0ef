"""Data sets without Blender, for tests of their storage: real scenes and labels, images of one grey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from datagen.samples.generate import generate_sample
from datagen.samples.sample import Sample
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import Failure
from datagen.shards.store import Place
from datagen.shards.writer import open_dataset

SETTINGS = DatasetSettings(seed=5, width=32, height=24, quality="draft", min_objects=1, max_objects=1, shard_size=4)
IN_FOUR_SHARDS, IN_SIX_SHARDS = 14, 22
"""How many samples `conftest.four_shards` and `conftest.six_shards` hold."""


def constant_sample(settings: DatasetSettings, index: int) -> Sample:
    """The sample that rendering would give, except for its image."""
    grey = np.full((settings.height, settings.width, 3), index % 251, np.uint8)
    return generate_sample(settings, index, lambda scene, shot: grey)


def constant_samples(settings: DatasetSettings, indices: Iterable[int], _pool: Any = None) -> Iterator[Sample | Failure]:
    """A replacement of `datagen.generate.generate_samples`."""
    return (constant_sample(settings, index) for index in indices)


def fill(
    out: Place, num: int, settings: DatasetSettings = SETTINGS, shards: list[int] | None = None, failing: Iterable[int] = ()
) -> list[int]:
    """Bring a data set to `num` samples, of which those in `failing` fail. The indices that were missing."""
    broken = set(failing)
    with open_dataset(out, settings, num, shards) as writer:
        missing = writer.missing()
        for index in missing:
            failure = Failure(index, settings.seed, settings.key(index), "it crashed twice")
            writer.put(failure if index in broken else constant_sample(settings, index))
        writer.close()
    return missing


def contents(folder: Path) -> dict[str, bytes]:
    """The content of a folder's files, except its lock."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file() and path.name != ".lock"}
