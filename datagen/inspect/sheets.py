"""Pictures of assets, drawn without Blender, and of textures: tiles with lines of text beneath."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from datagen.assets.library import Asset
from datagen.assets.own_textures import kept_image
from datagen.assets.picture import picture
from datagen.images.encoding import decode_image
from datagen.inspect.pictures import font

COLUMNS = 8
TILE, GAP, LINE = 168, 6, 16  # pixels


def asset_sheet(assets: Sequence[Asset]) -> Image.Image:
    """A tile for each asset: the asset in its own colours, seen from the front right, with id, class, triangles, extent and symmetry."""
    return _sheet([Image.fromarray(picture(asset, TILE)) for asset in assets], [_asset_lines(asset) for asset in assets])


def texture_sheet(textures: Sequence[tuple[str, str]]) -> Image.Image:
    """A tile for each texture (id, pattern): its image in this machine's cache."""
    kept = [kept_image(name) for name, _ in textures]
    return _sheet([Image.fromarray(decode_image(path.read_bytes(), str(path))).resize((TILE, TILE)) for path in kept], textures)


def _asset_lines(asset: Asset) -> tuple[str, ...]:
    return (
        asset.id,
        f"{asset.kind}, {len(asset.mesh):,} triangles",
        "extent " + " x ".join(f"{size:.2f}" for size in asset.extent()),
        f"symmetry: {asset.symmetry.words()}",
    )


def _sheet(tiles: Sequence[Image.Image], texts: Sequence[Sequence[str]]) -> Image.Image:
    """Tiles of `TILE` x `TILE` pixels, each above its lines of text, of which the first is its id."""
    columns = min(COLUMNS, len(tiles))
    wide, high = TILE + GAP, TILE + len(texts[0]) * LINE + GAP
    sheet = Image.new("RGB", (columns * wide + GAP, -(-len(tiles) // columns) * high + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (tile, lines) in enumerate(zip(tiles, texts, strict=True)):
        left, top = GAP + i % columns * wide, GAP + i // columns * high
        sheet.paste(tile, (left, top))
        for number, line in enumerate(lines):
            ink = "#1b1f27" if number == 0 else "#626b7a"
            pen.text((left + 4, top + TILE + number * LINE), _fitted(line), fill=ink, font=font(12))
    return sheet


def _fitted(line: str) -> str:
    """The line, shortened to the tile's width."""
    while font(12).getlength(line) > TILE - 4:
        line = line.removesuffix("…")[:-1] + "…"
    return line
