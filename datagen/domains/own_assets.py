"""Scenes of people's own assets: the domain `datagen.domains.assets` with the models of a folder for its shapes, the images of a folder
for its textures, or both.

Such a domain is named after its content, as ``assets:3f2a9c01b4d2``: a digest of the ids of its models and images, which are digests of
their files, and of their classes, symmetries and patterns. Reading the folders keeps this list in the local cache under the name. Data
sets, checkpoints and predictions hold only the name, so they find the very same models and images or raise an error, and a name from
another source opens no file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from datagen.assets.library import Asset
from datagen.assets.limits import MOST_LIST_BYTES
from datagen.assets.own import OwnAssets, find_asset
from datagen.assets.own_textures import OwnTextures, own_paint
from datagen.assets.paint import Paint
from datagen.domains.assets import OWN, SHAPES, TEXTURES, Assets, NameWords
from datagen.errors import UserError
from datagen.geometry.rotations import NO_SYMMETRY, Symmetry
from datagen.io.cache import cache_folder
from datagen.io.declared import FileName, read_declared, to_plain
from datagen.io.files import write_json
from datagen.scene import Object

EVERY = 5
"""Of each class every fifth model, and of each pattern every fifth image, in the order of ids, is held out."""
_NAME = re.compile(r"assets:([0-9a-f]{12})")


class WordFacts(Struct, forbid_unknown_fields=True):
    """What the cache holds for a word: a shape's class and symmetry, or a texture's pattern."""

    kind: FileName | UnsetType = field(default=UNSET, name="class")
    symmetry: str | UnsetType = UNSET
    pattern: FileName | UnsetType = UNSET

    def __post_init__(self) -> None:
        if bool(self.pattern) == bool(self.kind and self.symmetry):
            raise ValueError("class and symmetry are expected, or pattern")
        Symmetry.parse(self.symmetry or str(NO_SYMMETRY))


WordsFacts = dict[str, WordFacts]
"""What the cache holds for a domain, by word."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OwnAssetsDomain(Assets):
    """The domain of people's own models and images, made by `own_domain`."""

    asset_facts: Mapping[str, tuple[str, Symmetry]]
    """The class and symmetry of each shape that comes from a file."""
    own_textures: frozenset[str]
    """The textures that come from files."""

    def asset(self, obj: Object) -> Asset:
        found, facts = find_asset(obj["shape"]), self.asset_facts.get(obj["shape"])
        return found if facts is None else replace(found, kind=facts[0], symmetry=facts[1])

    def texture(self, word: str) -> Paint:
        return own_paint(word) if word in self.own_textures else super().texture(word)

    def __reduce__(self) -> tuple[Any, ...]:
        return own_domain, (self.name,)


def keep_domain(own: OwnAssets | None, textures: OwnTextures | None = None) -> str:
    """Store the domain of these assets and textures in the local cache, and return its name. Without assets it has the built-in shapes,
    without textures the built-in textures. `UserError` if a folder has no usable file."""
    facts: WordsFacts = {}
    if own is not None:
        if not own.assets:
            raise UserError("none of the model files can be used; `igllm inspect --assets DIR` says why")
        facts |= {a.id: WordFacts(kind=a.kind, symmetry=str(a.symmetry)) for a in sorted(own.assets, key=lambda a: a.id)}
    if textures is not None:
        if not textures.patterns:
            raise UserError("none of the images can be used; `igllm inspect --textures DIR` says why")
        facts |= {texture: WordFacts(pattern=pattern) for texture, pattern in sorted(textures.patterns.items())}
    plain = to_plain(facts)
    digest = _digest(plain)
    write_json(_kept(digest), plain)
    return f"assets:{digest}"


def is_own_domain(name: str) -> bool:
    """Whether a domain's name is that of somebody's own assets."""
    return _NAME.fullmatch(name) is not None


@lru_cache(maxsize=16)
def own_domain(name: str) -> OwnAssetsDomain:
    """The domain of that name. `UserError` if the local cache lacks it (its folders were not read here) or is damaged."""
    found = _NAME.fullmatch(name)
    path = _kept(found[1]) if found else None
    if path is None or not path.is_file():
        raise UserError(
            f"the assets of the domain {name!r} are not on this machine; read the folders that they come from: igllm inspect --assets DIR, "
            "or --textures DIR, or both as they were given when it was made"
        )
    facts = read_declared(path, WordsFacts, MOST_LIST_BYTES)
    if f"assets:{_digest(to_plain(facts))}" != name:
        raise UserError(f"{path}: damaged: it is not what the domain {name!r} was made of; read the folders that it comes from again")
    shapes: dict[str, tuple[str, Symmetry]] = {}
    patterns: dict[str, str] = {}
    for word, fact in facts.items():
        if fact.pattern:
            patterns[word] = fact.pattern
        else:
            shapes[word] = fact.kind or "", Symmetry.parse(fact.symmetry or "")
    kinds = {shape: kind for shape, (kind, _) in shapes.items()}
    words = (
        NameWords(kinds, _held_out(kinds)) if shapes else SHAPES,
        NameWords({OWN: OWN} | patterns, _held_out(patterns)) if patterns else TEXTURES,
    )
    return OwnAssetsDomain.of(name, *words, asset_facts=shapes, own_textures=frozenset(patterns))


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _kept(digest: str) -> Path:
    return cache_folder("assets") / "domains" / f"{digest}.json"


def _held_out(grouped: Mapping[str, str]) -> tuple[str, ...]:
    """Every `EVERY`-th word of each group; `grouped` maps words to groups."""
    met: Counter[str] = Counter()
    held_out = []
    for word, group in grouped.items():
        met[group] += 1
        if met[group] % EVERY == 0:
            held_out.append(word)
    return tuple(held_out)
