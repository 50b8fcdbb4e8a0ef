"""Scenes of people's own assets: the domain `datagen.domains.assets` with the models of a folder for its shapes.

Such a domain is named by what its models are, ``assets:3f2a9c01b4d2``: the name is a digest of their ids, which are digests of their files,
and of what the folder says of them. What belongs to a name is kept on this machine when its folder is read; so data sets, checkpoints
and predictions, which hold the name, find the same models again or say what is missing, and no name from outside opens a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from datagen.assets.find import find_asset
from datagen.assets.library import Asset
from datagen.assets.own import OwnAssets
from datagen.cache import cache_folder
from datagen.domains.assets import Assets, groups, splits, statement
from datagen.errors import UserError
from datagen.files import write_json
from datagen.rotations import Symmetry
from datagen.scene import Object
from datagen.untrusted import as_name, as_object, as_text, only_keys, read_object, refuse

EVERY = 5
"""Of each class every fifth model, in the order of ids, is held out."""
_NAME = re.compile(r"assets:([0-9a-f]{12})")


class OwnAssetsDomain(Assets):
    """The domain of certain models; one class is made for each name (`own_domain`)."""

    asset_facts: ClassVar[Mapping[str, tuple[str, Symmetry]]]
    """Of each shape its class and its symmetry."""

    def asset(self, obj: Object) -> Asset:
        kind, symmetry = self.asset_facts[obj["shape"]]
        return replace(find_asset(obj["shape"]), kind=kind, symmetry=symmetry)

    def __reduce__(self) -> tuple[Any, ...]:
        return own_domain, (self.name,)


def keep_domain(own: OwnAssets) -> str:
    """Keep on this machine what the domain of these assets needs; its name. `UserError` if there are none."""
    if not own.assets:
        raise UserError("none of the model files can be used; `igllm inspect --assets DIR` says why")
    facts = {asset.id: {"class": asset.kind, "symmetry": str(asset.symmetry)} for asset in sorted(own.assets, key=lambda asset: asset.id)}
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
    write_json(_kept(digest), facts)
    return f"assets:{digest}"


def is_own_domain(name: str) -> bool:
    """Whether a domain's name is that of somebody's own assets."""
    return _NAME.fullmatch(name) is not None


@lru_cache(maxsize=16)
def own_domain(name: str) -> Assets:
    """The domain of that name. `UserError` if the folder of its assets was not read on this machine."""
    found = _NAME.fullmatch(name)
    path = _kept(found[1]) if found else None
    if path is None or not path.is_file():
        raise UserError(f"the assets of the domain {name!r} are not on this machine; read their folder: igllm inspect --assets DIR")
    facts = {shape: _facts(entry, str(path), shape) for shape, entry in read_object(path).items()}
    kinds = {shape: kind for shape, (kind, _) in facts.items()}
    known: list[str] = []
    unseen: list[str] = []
    of_class: Counter[str] = Counter()
    for shape, kind in kinds.items():
        of_class[kind] += 1
        (known if of_class[kind] % EVERY else unseen).append(shape)
    declared = {
        "name": name,
        "statements": (statement(tuple(kinds)),),
        "groups": groups(kinds),
        "splits": splits(tuple(known), tuple(unseen)),
        "asset_facts": facts,
    }
    made: Assets = type("OwnAssetsDomain", (OwnAssetsDomain,), declared)()
    return made


def _kept(digest: str) -> Path:
    return cache_folder("assets") / "domains" / f"{digest}.json"


def _facts(entry: Any, where: str, shape: str) -> tuple[str, Symmetry]:
    fields = as_object(entry, where, shape)
    only_keys(fields, ("class", "symmetry"), where, shape)
    try:
        return as_name(fields.get("class"), where, f"{shape}: class"), Symmetry.parse(as_text(fields.get("symmetry"), where, shape))
    except ValueError:
        refuse(where, f"{shape}: symmetry", fields["symmetry"], "a symmetry")
