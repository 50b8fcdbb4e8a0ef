"""Whether a stored sample is what its data set promises: used where a tar's bytes are not vouched for, and by `igllm verify`."""

from __future__ import annotations

from datagen.code import parse_code
from datagen.errors import UserError
from datagen.settings import DatasetSettings, sample_key
from datagen.shards import sample_of_blocks


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
