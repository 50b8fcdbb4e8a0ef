"""An asset by its id, whether modelled here or read from a file: all that a worker needs to know of it is the id."""

from __future__ import annotations

from functools import lru_cache

from datagen.assets.library import Asset, instance, is_instance
from datagen.assets.own import kept_asset


@lru_cache(maxsize=64)
def find_asset(asset_id: str) -> Asset:
    """The asset of that id. One from a file has neither class nor symmetry: its folder states them. `UserError` if there is none."""
    return instance(asset_id) if is_instance(asset_id) else kept_asset(asset_id)
