"""Assets to look at before they are used: one sheet with all of them, and a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from datagen.assets.library import CLASSES, Asset, instance, instance_id
from datagen.assets.own import OwnAssets, own_assets
from datagen.assets.picture import picture
from datagen.domains.own_assets import keep_domain
from datagen.errors import UserError
from datagen.files import write_bytes, write_json
from datagen.inspect.page import png
from datagen.inspect.pictures import font
from datagen.inspect.statistics import spread

SHEET, LIST = "asset-sheet.png", "asset-list.json"
INSTANCES = 8  # of each class modelled here
COLUMNS = 8
MOST_SHOWN = 400
TILE, GAP, LINE = 168, 6, 16  # pixels


def inspect_assets(folder: Path | None, out: Path) -> dict[str, Any]:
    """Write ``asset-sheet.png`` and ``asset-list.json`` of a folder's assets, or of the classes modelled here, into `out`.

    Returns the list. `UserError` if there is nothing to show, or `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file is in the place of the folder to write; name another")
    ids = [instance_id(kind, seed) for kind in CLASSES for seed in range(INSTANCES)]
    own = OwnAssets(tuple(map(instance, ids)), {}, ()) if folder is None else own_assets(folder)
    found: dict[str, Any] = {
        "assets": [_row(asset, own.paths.get(asset.id)) for asset in own.assets],
        "refused": [{"path": refused.path, "reason": refused.reason} for refused in own.refused],
    }
    if folder is not None and own.assets:
        found["domain"] = keep_domain(own)
    write_json(out / LIST, found)
    if not own.assets:
        told = "\n".join(f"  {refused.path}: {refused.reason}" for refused in own.refused[:10])
        raise UserError(f"{folder}: none of its {len(own.refused)} model files can be used:\n{told}")
    write_bytes(out / SHEET, png(asset_sheet([own.assets[i] for i in spread(range(len(own.assets)), MOST_SHOWN)])))
    return found


def asset_sheet(assets: Sequence[Asset]) -> Image.Image:
    """Each asset in its own colours from the front right, with its id, class, triangles, extent and symmetry beneath."""
    columns = min(COLUMNS, len(assets))
    wide, high = TILE + GAP, TILE + 4 * LINE + GAP
    sheet = Image.new("RGB", (columns * wide + GAP, -(-len(assets) // columns) * high + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, asset in enumerate(assets):
        left, top = GAP + i % columns * wide, GAP + i // columns * high
        sheet.paste(Image.fromarray(picture(asset, TILE)), (left, top))
        lines = (
            asset.id,
            f"{asset.kind}, {len(asset.mesh):,} triangles",
            "extent " + " x ".join(f"{size:.2f}" for size in _extent(asset)),
            f"symmetry: {asset.symmetry.words()}",
        )
        for number, line in enumerate(lines):
            ink = "#1b1f27" if number == 0 else "#626b7a"
            pen.text((left + 4, top + TILE + number * LINE), _fitted(line), fill=ink, font=font(12))
    return sheet


def assets_text(found: dict[str, Any]) -> str:
    """The list as lines for people."""
    rows = found["assets"]
    triangles = [row["triangles"] for row in rows]
    classes = Counter(row["class"] for row in rows)
    lines = [f"assets: {len(rows)}; classes: {len(classes)}; triangles: {min(triangles):,} to {max(triangles):,}"]
    lines.append("  " + ", ".join(f"{kind} {count}" for kind, count in classes.most_common(40)))
    if "domain" in found:
        lines.append(f"domain: {found['domain']}")
    lines += [f"  left out: {refused['path']}: {refused['reason']}" for refused in found["refused"]]
    return "\n".join(lines)


def _row(asset: Asset, path: str | None) -> dict[str, Any]:
    return {
        "id": asset.id,
        "class": asset.kind,
        "path": path,
        "triangles": len(asset.mesh),
        "slots": len(asset.colors),
        "extent": [round(size, 4) for size in _extent(asset)],
        "symmetry": str(asset.symmetry),
    }


def _extent(asset: Asset) -> list[float]:
    low, high = asset.mesh.bounds()
    return (high - low).tolist()


def _fitted(line: str) -> str:
    """The line, cut to the tile's width."""
    while font(12).getlength(line) > TILE - 4:
        line = line.removesuffix("…")[:-1] + "…"
    return line
