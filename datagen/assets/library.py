"""The classes modelled here, and their instances: ``aeroplane-3`` is the aeroplane of seed 3, on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from datagen.assets import furniture, household, vehicles
from datagen.assets.ids import SeededIds
from datagen.assets.mesh import Mesh, normalised
from datagen.assets.model import Levels, Model
from datagen.geometry.rotations import NO_SYMMETRY, Symmetry
from datagen.rng import Stream
from datagen.scene import Vec3

CLASSES: dict[str, Callable[[Stream], Model]] = {
    "aeroplane": vehicles.aeroplane,
    "boat": vehicles.boat,
    "bottle": household.bottle,
    "car": vehicles.car,
    "chair": furniture.chair,
    "lamp": household.lamp,
    "mug": household.mug,
    "sofa": furniture.sofa,
    "table": furniture.table,
    "teapot": household.teapot,
}
_IDS = SeededIds("asset", "class of assets", tuple(CLASSES), "aeroplane-3")


@dataclass(frozen=True, eq=False)
class Asset:
    """A model with an id. Two assets with the same id on one machine have the same mesh and colours.

    ``mesh`` is normalised (`datagen.assets`); ``colors`` are those of its slots, of which a scene repaints slot 0; ``symmetry`` is that of
    the shape alone, whatever pattern is painted on it.
    """

    id: str
    kind: str
    mesh: Mesh
    colors: tuple[Levels, ...]
    symmetry: Symmetry = NO_SYMMETRY

    def extent(self) -> Vec3:
        """Its sizes along X, Y and Z, at scale 1."""
        low, high = self.mesh.bounds()
        x, y, z = (high - low).tolist()
        return (x, y, z)


def instance_id(kind: str, seed: int) -> str:
    """The id of a class's instance with a seed. `UserError` for an unknown class, or a seed outside [0, `datagen.assets.ids.MOST_SEED`]."""
    return _IDS.join(kind, seed)


def is_instance(asset_id: str) -> bool:
    """Whether an id is that of an asset modelled here."""
    return asset_id in _IDS


@lru_cache(maxsize=256)
def instance(asset_id: str) -> Asset:
    """The asset of an id like ``aeroplane-3``, to the bit the same in every process. `UserError` if there is none."""
    kind, seed = _IDS.split(asset_id)
    model = CLASSES[kind](Stream(zlib.crc32(kind.encode()), seed))
    return Asset(asset_id, kind, normalised(model.mesh), model.colors, model.symmetry)
