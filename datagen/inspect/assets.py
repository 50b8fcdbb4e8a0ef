"""Pictures of all assets and textures, and a list of them, for people to check before they use them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datagen.assets.folder import Refused, remarks
from datagen.assets.library import CLASSES, instance, instance_id
from datagen.assets.own import OwnAsset, own_assets
from datagen.assets.own_textures import own_textures
from datagen.domains.own_assets import keep_domain
from datagen.errors import UserError
from datagen.inspect.page import png
from datagen.inspect.report import VERB
from datagen.inspect.sheets import asset_sheet, texture_sheet
from datagen.inspect.statistics import spread
from datagen.io.files import check_folder, json_bytes
from datagen.io.written import Written

SHEET, TEXTURE_SHEET, LIST = "asset-sheet.png", "texture-sheet.png", "asset-list.json"
INSTANCES = 8  # of each class modelled here
MOST_SHOWN = 400


def inspect_built_in(out: Path) -> dict[str, Any]:
    """Write ``asset-sheet.png`` and ``asset-list.json`` of the classes modelled here into `out`.

    Returns the list. `UserError` if `out` is a file, or has files of these names that no inspection wrote.
    """
    written = _record_of(out, [LIST, SHEET])
    assets = [instance(instance_id(kind, seed)) for kind in CLASSES for seed in range(INSTANCES)]
    found: dict[str, Any] = {"assets": [_row(OwnAsset.of(asset, None)) for asset in assets], "refused": []}
    written.write({LIST: json_bytes(found), SHEET: png(asset_sheet(assets))})
    return found


def inspect_own(out: Path, assets: Path | None, textures: Path | None) -> dict[str, Any]:
    """Write ``asset-list.json`` of a folder's assets, of a folder's textures, or of both, and a sheet of each, into `out`.

    Returns the list, with the name of the domain of these assets and textures. `UserError` if no file in a folder can be used, or `out` is
    a file, in the folder of textures, or has files of these names that no inspection wrote.
    """
    sheets = [*([SHEET] if assets is not None else []), *([TEXTURE_SHEET] if textures is not None else [])]
    written = _record_of(out, [LIST, *sheets])
    if textures is not None and out.resolve().is_relative_to(textures.resolve()):
        raise UserError(f"{out}: lies in the folder of textures, of which the sheet would be one more; name another")
    own = None if assets is None else own_assets(assets)
    images = None if textures is None else own_textures(textures)
    found: dict[str, Any] = {"refused": [asdict(refused) for part in (own, images) if part for refused in part.refused]}
    found["passed_over"] = {suffix: count for part in (own, images) if part for suffix, count in part.passed.items()}
    empty = []
    if own is not None:
        found["assets"] = [_row(asset) for asset in own.assets]
        empty += [] if own.assets else _refusals(assets, "model files", own.refused)
    if images is not None:
        found["textures"] = [{"id": name, "pattern": pattern, "path": images.paths[name]} for name, pattern in images.patterns.items()]
        empty += [] if images.patterns else _refusals(textures, "images", images.refused)
    if not empty:
        found["domain"] = keep_domain(own, images)
    written.write({LIST: json_bytes(found)})
    if empty:
        raise UserError(*empty)
    if own is not None:
        written.write({SHEET: png(asset_sheet([asset.whole() for asset in spread(own.assets, MOST_SHOWN)]))})
    if images is not None:
        written.write({TEXTURE_SHEET: png(texture_sheet(spread(list(images.patterns.items()), MOST_SHOWN)))})
    return found


def _record_of(out: Path, names: list[str]) -> Written:
    """The record of the files written into the folder `out`. `UserError` if `out` is a file, or has files of these names that no
    inspection wrote."""
    check_folder(out, "the folder to write")
    written = Written(out, VERB)
    written.adopt([LIST, SHEET, TEXTURE_SHEET], LIST, {"refused"})
    written.refuse_strangers(names)
    return written


def assets_text(found: dict[str, Any]) -> str:
    """The list as lines to print."""
    lines = []
    if "assets" in found:
        triangles = [row["triangles"] for row in found["assets"]]
        kinds = Counter(row["class"] for row in found["assets"])
        lines.append(f"assets: {len(triangles)}; classes: {len(kinds)}; triangles: {min(triangles):,} to {max(triangles):,}")
        lines.append(_counts(kinds))
    if "textures" in found:
        patterns = Counter(row["pattern"] for row in found["textures"])
        lines.append(f"textures: {patterns.total()}; patterns: {len(patterns)}")
        lines.append(_counts(patterns))
    if "domain" in found:
        lines.append(f"domain: {found['domain']}")
    notes = [(row["path"], note) for row in found.get("assets", ()) for note in row["notes"]]
    refused = [Refused(**one) for one in found["refused"]]
    lines += [f"  {line}" for line in remarks(notes, refused, found.get("passed_over", {}))]
    return "\n".join(lines)


def _row(asset: OwnAsset) -> dict[str, Any]:
    return {
        "id": asset.id,
        "class": asset.kind,
        "path": asset.path,
        "triangles": asset.triangles,
        "slots": len(asset.colors),
        "colors": [list(color) for color in asset.colors],
        "extent": [round(size, 4) for size in asset.extent],
        "symmetry": str(asset.symmetry),
        "notes": list(asset.notes),
    }


def _refusals(folder: Path | None, what: str, refused: Sequence[Refused]) -> list[str]:
    reasons = [f"  {one.path}: {one.reason}" for one in refused[:10]]
    return [f"{folder}: none of its {len(refused)} {what} can be used:", *reasons]


def _counts(counted: Counter[str]) -> str:
    return "  " + ", ".join(f"{name} {count}" for name, count in counted.most_common(40))
