"""The classes modelled here, and their instances: ``aeroplane-3`` is the aeroplane of seed 3, on every machine."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from datagen.assets import furniture, household, vehicles
from datagen.assets.mesh import Mesh, normalised
from datagen.assets.model import Levels, Model
from datagen.errors import UserError
from datagen.rotations import NO_SYMMETRY, Symmetry
from datagen.stream import Stream

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
MOST_SEED = 999_999
_ID = re.compile(rf"({'|'.join(CLASSES)})-(0|[1-9][0-9]{{0,5}})")


@dataclass(frozen=True, eq=False)
class Asset:
    """A model with a name. Two with the same id on one machine are the same model.

    ``mesh`` is normalised (`datagen.assets`); ``colors`` are those of its slots, of which 0 is what a scene repaints; ``symmetry`` says
    of the shape which turns leave it alone, whatever pattern is painted on it.
    """

    id: str
    kind: str
    mesh: Mesh
    colors: tuple[Levels, ...]
    symmetry: Symmetry = NO_SYMMETRY


def instance_id(kind: str, seed: int) -> str:
    """The id of a class's instance. `UserError` for a class that there is not, or a seed outside [0, `MOST_SEED`]."""
    if kind not in CLASSES:
        raise UserError(f"there is no class of assets {kind!r}; choose one of {', '.join(CLASSES)}")
    if not 0 <= seed <= MOST_SEED:
        raise UserError(f"the seed of an asset is {seed}, but must be between 0 and {MOST_SEED:,}")
    return f"{kind}-{seed}"


def is_instance(asset_id: str) -> bool:
    """Whether an id is that of a model made here."""
    return _ID.fullmatch(asset_id) is not None


@lru_cache(maxsize=256)
def instance(asset_id: str) -> Asset:
    """The asset of an id like ``aeroplane-3``, to the bit the same in every process. `UserError` if there is none."""
    found = _ID.fullmatch(asset_id)
    if found is None:
        raise UserError(f"there is no asset {asset_id!r}; ids are a class ({', '.join(CLASSES)}), a hyphen and a seed, as aeroplane-3")
    kind, seed = found[1], int(found[2])
    model = CLASSES[kind](Stream(zlib.crc32(kind.encode()), seed))
    return Asset(asset_id, kind, normalised(model.mesh), model.colors, model.symmetry)
