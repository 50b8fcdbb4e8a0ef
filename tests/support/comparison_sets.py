"""Small data sets and predictions for the tests of comparison and report, with images made by numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from datagen.code.predictions import Prediction, write_predictions
from datagen.domains.registry import get_domain
from datagen.rng import Stream
from datagen.samples.sample import Sample, make_sample
from datagen.scene import Object, Scene
from datagen.shards.reader import write_shard

DOMAIN = get_domain("clevr")


def make_scene(seed: int, count: int = 4) -> Scene:
    rng = Stream(seed)
    while (scene := DOMAIN.sample_scene(rng, count, DOMAIN.split("default"))) is None:
        pass
    return scene


def make_samples(count: int = 3, width: int = 32, height: int = 24, first: int = 0) -> list[Sample]:
    """Samples with the keys 0, 1, …; their pixels are noise that depends on the key."""
    samples = []
    for index in range(first, first + count):
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        samples.append(make_sample(f"{index:09d}", make_scene(index), DOMAIN.canonical_shot(width, height, "draft"), pixels))
    return samples


def moved(sample: Sample, step: float = 0.3) -> Sample:
    """The sample with its first object elsewhere and other pixels."""
    first, *rest = sample.scene.objects
    x, y, z = first["loc"]
    scene = Scene(sample.scene.domain, (first.replaced(loc=(x, y + (step if y < 0 else -step), z)), *rest))
    return make_sample(sample.key, scene, sample.shot, 255 - sample.pixels())


def with_objects(sample: Sample, objects: Sequence[Object]) -> Sample:
    return make_sample(sample.key, Scene(sample.scene.domain, tuple(objects)), sample.shot, sample.pixels())


def save_shards(folder: Path, samples: Sequence[Sample]) -> Path:
    write_shard(folder / "shard-000000.tar", samples)
    return folder


def save_loose(folder: Path, samples: Iterable[Sample]) -> Path:
    """Samples as files of a folder, which no manifest vouches for."""
    folder.mkdir(parents=True)
    for sample in samples:
        for suffix, data in sample.files().items():
            (folder / f"{sample.key}{suffix}").write_bytes(data)
    return folder


def save_predictions(path: Path, samples: Sequence[Sample], *others: Prediction) -> Path:
    write_predictions(path, [*(Prediction(s.key, s.code) for s in samples), *others])
    return path
