"""Scenes as CLEVR publishes them, and scenes of ours under cameras that are moved as CLEVR moves its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datagen.domains.clevr import CAMERA
from datagen.domains.registry import get_domain
from datagen.samples.draw import draw
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings

CLEVR = get_domain("clevr")
JITTER = 0.5  # metres along each axis, as CLEVR's camera


def published_val_0() -> dict[str, Any]:
    """The first validation scene of CLEVR v1.0 (Johnson et al. 2017, CC BY 4.0), numbers shortened to six decimals."""
    rows = [
        ("brown large cylinder rubber", 178.923873, [-1.493721, -1.993603, 0.7], [119, 131, 10.801969]),
        ("gray large cube rubber", 243.405459, [1.555709, -2.104737, 0.7], [198, 190, 8.60104]),
        ("green small cylinder rubber", 230.452350, [-2.342185, -0.520501, 0.35], [161, 118, 12.372727]),
        ("purple large sphere metal", 31.654352, [-0.807311, 1.914124, 0.7], [282, 100, 12.495002]),
        ("gray small cube metal", 42.183288, [2.676381, 0.034539, 0.35], [337, 195, 9.161212]),
    ]
    objects = []
    for words, rotation, place, pixel in rows:
        named = dict(zip(("color", "size", "shape", "material"), words.split(), strict=True))
        objects.append({**named, "rotation": rotation, "3d_coords": place, "pixel_coords": pixel})
    relations = {
        "right": [[1, 2, 3, 4], [3, 4], [1, 3, 4], [4], []],
        "behind": [[2, 3], [0, 2, 3, 4], [3], [], [0, 2, 3]],
        "front": [[1, 4], [], [0, 1, 4], [0, 1, 2, 4], [1]],
        "left": [[], [0, 2], [0], [0, 1, 2], [0, 1, 2, 3]],
    }
    return {"image_index": 0, "image_filename": "CLEVR_val_000000.png", "split": "val", "objects": objects, "relationships": relations}


def jittered(index: int, least: int = 3, most: int = 10, width: int = 320, height: int = 240) -> Sample:
    """A drawn scene under a camera moved as CLEVR moves it, with noise for pixels."""
    settings = DatasetSettings(seed=5, width=width, height=height, quality="draft", min_objects=least, max_objects=most)
    drawn = draw(settings, index)
    rng = np.random.default_rng(index)
    x, y, z = (float(v) for v in np.add(CAMERA.location, rng.uniform(-JITTER, JITTER, 3)))
    shot = replace(drawn.shot, camera=replace(CAMERA, location=(x, y, z)))
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return make_sample(f"{index:09d}", drawn.scene, shot, pixels, index=index, seed=5, attempt=0, split="default")


def scenes_file(folder: Path, *scenes: Any) -> Path:
    """A file of scenes in the folder."""
    path = folder / "scenes.json"
    path.write_text(json.dumps({"info": {}, "scenes": list(scenes)}))
    return path
