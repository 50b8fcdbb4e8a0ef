"""What a data set is asked to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from datagen.domain import SceneLimits
from datagen.domains import get_domain
from datagen.errors import UserError
from datagen.sample import IMAGE_SUFFIXES
from datagen.sampling import MAX_SEED
from datagen.scene import QUALITIES, Quality


@dataclass(frozen=True)
class DatasetSettings:
    """What a data set is asked to be. With an index it determines a sample; ``shard_size`` only says where that is kept."""

    domain: str = "clevr"
    split: str = "default"
    seed: int = 0
    width: int = 320
    height: int = 240
    quality: Quality = "standard"
    min_objects: int = 3
    max_objects: int = 10
    image_format: str = "png"
    captions: bool = False
    depth: bool = False
    shard_size: int = 1000

    def __post_init__(self) -> None:
        get_domain(self.domain).check_limits(self.limits)
        if self.quality not in QUALITIES:
            raise UserError(f"quality {self.quality!r} is none of {', '.join(QUALITIES)}")
        if not 0 <= self.seed < MAX_SEED:
            raise UserError(f"the seed {self.seed} is not in [0, {MAX_SEED})")
        if not (16 <= self.width <= 8192 and 16 <= self.height <= 8192):
            raise UserError(f"a frame of {self.width}x{self.height} pixels: from 16 to 8192 each way are possible")
        if self.image_format not in IMAGE_SUFFIXES:
            raise UserError(f"image format {self.image_format!r} is none of {', '.join(IMAGE_SUFFIXES)}")
        if self.shard_size < 1:
            raise UserError(f"a shard size of {self.shard_size}: at least 1 is needed")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> DatasetSettings:
        """The inverse of `to_json`."""
        return DatasetSettings(**data)

    @property
    def limits(self) -> SceneLimits:
        return SceneLimits(self.split, self.min_objects, self.max_objects)


def sample_key(index: int) -> str:
    """The base name of a sample's files."""
    return f"{index:09d}"
