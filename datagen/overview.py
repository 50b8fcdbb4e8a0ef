"""What is in a data set, to look at before training: a contact sheet and the statistics of its scenes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from datagen.files import atomic_file, write_json
from datagen.progress import progress
from datagen.sample import Sample
from datagen.shards import Samples

SHEET, STATISTICS = "contact-sheet.png", "statistics.json"
COLUMNS, ROWS, CAPTION, GAP = 6, 6, 14, 4
TILE_WIDTH = 240  # pixels


def inspect(data: Path, out: Path) -> dict[str, Any]:
    """Write ``contact-sheet.png`` and ``statistics.json`` of the data set `data` into `out`, and return the statistics."""
    samples = Samples(data)
    shown = [samples.keys[i] for i in np.linspace(0, len(samples) - 1, min(len(samples), COLUMNS * ROWS)).round().astype(int)]
    with atomic_file(out / SHEET) as stream:
        contact_sheet(samples[key] for key in shown).save(stream, "PNG")
    statistics = summarize(progress(samples, total=len(samples), desc="inspect"))
    statistics["bytes"] = sum(path.stat().st_size for path in data.iterdir() if path.is_file())
    write_json(out / STATISTICS, statistics)
    return statistics


def contact_sheet(samples: Iterable[Sample]) -> Image.Image:
    """Images in rows of six, their keys beneath."""
    tiles = []
    for sample in samples:
        image = Image.fromarray(sample.pixels())
        tiles.append((sample.key, image.resize((TILE_WIDTH, round(TILE_WIDTH * image.height / image.width)), Image.Resampling.LANCZOS)))
    height = max(tile.height for _, tile in tiles) + CAPTION + GAP
    columns = min(COLUMNS, len(tiles))
    sheet = Image.new("RGB", (columns * (TILE_WIDTH + GAP) + GAP, -(-len(tiles) // columns) * height + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (key, tile) in enumerate(tiles):
        left, top = GAP + i % columns * (TILE_WIDTH + GAP), GAP + i // columns * height
        sheet.paste(tile, (left, top))
        pen.text((left, top + tile.height), key, fill="black")
    return sheet


def summarize(samples: Iterable[Sample]) -> dict[str, Any]:
    """Counts of objects and words, the range and mean of numbers, visible pixels, and the images' mean and spread (8-bit)."""
    counts: Counter[int] = Counter()
    words: dict[str, Counter[str]] = {}
    numbers: dict[str, list[tuple[float, ...]]] = {}
    visible, means, spreads = [], [], []
    frames: Counter[str] = Counter()
    for sample in samples:
        counts[len(sample.scene)] += 1
        frames[f"{sample.shot.width}x{sample.shot.height} {sample.shot.quality}"] += 1
        for obj in sample.scene:
            statement = sample.domain.statement(obj.statement)
            for choice in statement.choices:
                words.setdefault(choice.name, Counter({word: 0 for word in choice.words}))[obj[choice.name]] += 1
            for number in statement.numbers:
                numbers.setdefault(number.name, []).append(number.as_tuple(obj[number.name]))
        visible += [label["visible_pixels"] for label in sample.record["labels"]]
        pixels = sample.pixels()
        means.append(float(pixels.mean()))
        spreads.append(float(pixels.std()))
    return {
        "samples": sum(counts.values()),
        "objects": sum(count * times for count, times in counts.items()),
        "frames": dict(frames),
        "objects_per_scene": {str(count): counts[count] for count in sorted(counts)},
        "words": {name: dict(counter) for name, counter in words.items()},
        "numbers": {name: _range(np.array(values)) for name, values in numbers.items()},
        "visible_pixels": _range(np.array(visible).reshape(-1, 1)) if visible else None,
        "image_mean": round(float(np.mean(means)), 3),
        "image_spread": round(float(np.mean(spreads)), 3),
    }


def _range(values: np.ndarray) -> dict[str, list[float]]:
    """Per component (columns of an (N, components) array)."""
    return {name: [round(float(x), 4) for x in getattr(values, name)(0)] for name in ("min", "mean", "max")}


def statistics_text(statistics: dict[str, Any]) -> str:
    """The statistics as lines for people."""
    lines = [f"{statistics['samples']} samples, {statistics['objects']} objects, {statistics['bytes'] / 1e6:.1f} MB"]
    lines += [f"  frames: {', '.join(f'{frame}: {n}' for frame, n in statistics['frames'].items())}"]
    lines += [f"  objects a scene: {', '.join(f'{n}: {times}' for n, times in statistics['objects_per_scene'].items())}"]
    lines += [f"  {name}: {', '.join(f'{word} {n}' for word, n in counter.items())}" for name, counter in statistics["words"].items()]
    ranges = {**statistics["numbers"], "visible pixels": statistics["visible_pixels"]}
    for name, r in ranges.items():
        if r is not None:
            parts = (f"{low:g} to {high:g}, mean {mean:.4g}" for low, mean, high in zip(r["min"], r["mean"], r["max"], strict=True))
            lines.append(f"  {name}: {'; '.join(parts)}")
    lines.append(f"  image mean {statistics['image_mean']}, spread {statistics['image_spread']} (8-bit)")
    return "\n".join(lines)
