"""Whether a stored sample is what its data set promises: used where a tar's bytes are not vouched for, and by `igllm verify`."""

from __future__ import annotations

import hashlib

from datagen.code import parse_code
from datagen.errors import UserError
from datagen.settings import DatasetSettings, sample_key
from datagen.shards import block_extents, label_bytes, sample_of_blocks
from datagen.store import Store


def check_sample(settings: DatasetSettings, index: int, blocks: bytes, where: str) -> None:
    """See that a sample's files are there, can be read, and agree; `UserError` naming `where` and the sample if not."""
    key = sample_key(index)
    sample = sample_of_blocks(key, blocks, where)
    found = {name: sample.record.get(name) for name in ("domain", "index", "seed")}
    if found != {"domain": settings.domain, "index": index, "seed": settings.seed}:
        raise UserError(f"{where}: sample {key} is another one: {found}")
    if parse_code(sample.code, sample.domain) != sample.scene:
        raise UserError(f"{where}: sample {key}: code and record tell different scenes")
    height, width = sample.pixels().shape[:2]
    if (width, height) != (settings.width, settings.height):
        raise UserError(f"{where}: sample {key} has {width}x{height} pixels, not {settings.width}x{settings.height}")


def check_shard(store: Store, settings: DatasetSettings, name: str) -> tuple[list[int], str]:
    """Check every sample of a tar: their indices in its order, and the SHA-256 of their labels.

    `UserError` for a sample that is not as it should be, `tarfile.TarError` or ValueError where the tar is none of samples.
    """
    labels = hashlib.sha256()
    with store.open(name) as stream:
        extents = {int(key): extent for key, extent in block_extents(stream).items()}
        for index, (start, length) in extents.items():
            stream.seek(start)
            blocks = stream.read(length)
            check_sample(settings, index, blocks, store.at(name))
            labels.update(label_bytes(blocks))
    return list(extents), labels.hexdigest()
