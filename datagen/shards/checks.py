"""Checks of stored samples against their data set, for tars that no manifest lists, for merging, and for `igllm verify`."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from typing import IO

from datagen.code.grammar import parse_code
from datagen.errors import ImageError, UserError
from datagen.images.encoding import is_encoded_as
from datagen.samples.draw import draw
from datagen.samples.sample import Sample
from datagen.samples.settings import DatasetSettings
from datagen.shards.layouts import MAX_SAMPLE_BYTES
from datagen.shards.manifest import STATEMENT
from datagen.shards.reader import Samples, block_extents, label_bytes, sample_of_blocks
from datagen.shards.store import Store


def check_sample(settings: DatasetSettings, index: int, blocks: bytes, where: str) -> None:
    """Check that a sample's files exist, can be read, and agree; otherwise raise a `UserError` naming `where` and the sample."""
    check_agreement(check_identity(settings, index, blocks, where), where)


def check_identity(settings: DatasetSettings, index: int, blocks: bytes, where: str) -> Sample:
    """The sample of this index, without decoding its image; `UserError` naming `where` and the sample if it is damaged or another one."""
    key = settings.key(index)
    sample = sample_of_blocks(key, blocks, where)
    found = {name: sample.record.get(name) for name in ("domain", "index", "seed")}
    if found != {"domain": settings.domain, "index": index, "seed": settings.seed}:
        raise UserError(f"{where}: sample {key} is another one: {found}")
    shot = sample.shot
    if (shot.width, shot.height) != (settings.width, settings.height):
        raise UserError(f"{where}: sample {key} has {shot.width}x{shot.height} pixels, not {settings.width}x{settings.height}")
    if not _states_its_shot(sample) if settings.shot_in_code else sample.scene.header:
        raise UserError(f"{where}: sample {key}: its code states another camera or other lamps than its record")
    return sample


def _states_its_shot(sample: Sample) -> bool:
    """Whether a sample's camera, lamps and noise are those that its scene's header states."""
    try:
        sample.domain.check(sample.scene)
    except UserError:
        return False
    return bool(sample.scene.header) and sample.domain.shot_of(sample.scene, sample.shot) == sample.shot


def check_drawn(samples: Samples, settings: DatasetSettings) -> None:
    """Check that a data set was drawn with these settings: `UserError` unless the first sample of each shard is the one they draw."""
    for index in range(0, len(samples), settings.shard_size):
        key = settings.key(index)
        drawn = draw(settings, index)
        if key not in samples or (samples[key].scene, samples[key].shot) != (settings.resolved_domain.canonical(drawn.scene), drawn.shot):
            raise UserError(
                f"{samples.path}: the sample {key} is not the one that the settings in its {STATEMENT} draw; remove this data set to have "
                "it generated anew, or choose another folder"
            )


def check_agreement(sample: Sample, where: str) -> None:
    """Check that a sample's code and image agree with its record; otherwise raise a `UserError` naming `where` and the sample.

    The record's own consistency was checked when it was read.
    """
    try:
        scene = parse_code(sample.code, sample.domain)
    except UserError as error:
        raise UserError(f"{where}: sample {sample.key}: its code cannot be read: {error}") from None
    if scene != sample.scene:
        raise UserError(f"{where}: sample {sample.key}: code and record tell different scenes")
    try:
        sample.pixels()
    except ImageError as error:
        raise UserError(f"{where}: sample {error}") from None
    if not is_encoded_as(sample.suffix, sample.image):
        raise UserError(f"{where}: sample {sample.key}: its image is no {sample.suffix} file, though it is named as one")


def check_shard(store: Store, settings: DatasetSettings, name: str) -> tuple[list[int], str]:
    """Check every sample of a tar; return their indices in the tar's order, and the SHA-256 of their labels.

    `UserError` for a wrong or damaged sample; `tarfile.TarError` or ValueError if the tar is damaged or its keys are not indices.
    """
    labels, indices = hashlib.sha256(), []
    with store.open(name) as stream:
        for key, blocks in samples_in(stream):
            index = settings.index(key)
            check_sample(settings, index, blocks, store.at(name))
            labels.update(label_bytes(blocks))
            indices.append(index)
    return indices, labels.hexdigest()


def count_samples(store: Store, name: str) -> tuple[int, str]:
    """How many samples a tar holds, unchecked, and the SHA-256 of their labels. `tarfile.TarError` if the tar is damaged."""
    labels, count = hashlib.sha256(), 0
    with store.open(name) as stream:
        for _, blocks in samples_in(stream):
            labels.update(label_bytes(blocks))
            count += 1
    return count, labels.hexdigest()


def samples_in(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """The key and the blocks of every sample of a tar, in order. `tarfile.TarError` if the tar is damaged or a sample too large."""
    for key, (start, length) in block_extents(stream).items():
        if length > MAX_SAMPLE_BYTES:
            raise tarfile.ReadError(f"a sample of {length:,} bytes; at most {MAX_SAMPLE_BYTES:,} are read")
        stream.seek(start)
        yield key, stream.read(length)
