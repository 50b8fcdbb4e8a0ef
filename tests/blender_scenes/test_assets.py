"""Assets in Cycles' passes, compared with their labels. Blender runs in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from places import SUPPORT

from datagen.assets.library import CLASSES, instance
from datagen.assets.paint import PATTERNS
from datagen.assets.solid import MeshSolid
from datagen.domains.clevr import CAMERA
from datagen.geometry.camera import rays
from datagen.geometry.rotations import from_euler

FRAMES = SUPPORT / "asset_frames.py"
WIDTH, HEIGHT = 160, 120


def thing(asset: str, texture: str | None = None, *, turned: float = 0.0) -> dict[str, Any]:
    """An asset in the middle of the stage, turned about all axes, its lowest point above the ground."""
    return {"asset": asset, "texture": texture, "location": [0.4, -0.3, 1.7], "scale": 1.6, "euler": [25.0, -35.0, 70.0 + turned]}


def solid(request: dict[str, Any]) -> MeshSolid:
    rotation = from_euler(np.array(request["euler"]))
    return MeshSolid(instance(request["asset"]).mesh, tuple(request["location"]), request["scale"], rotation)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all rendered frames."""
    folder = tmp_path_factory.mktemp("frames")
    Image.new("RGB", (8, 8), (200, 10, 10)).save(folder / "red.png")
    textures = {
        **{pattern: f"{pattern}-1" for pattern in PATTERNS},
        "other": "checks-2",
        "file": str(folder / "red.png"),
        "again": "checks-1",
    }
    requests = [{"name": f"mug {name}", "objects": [thing("mug-1", texture)], "samples": 2} for name, texture in textures.items()]
    aside = {**thing("mug-1", "plain-4"), "location": [2.6, 1.5, 1.7]}
    requests.append({"name": "pair", "objects": [thing("mug-1", "plain-1"), aside], "samples": 2})
    requests += [{"name": kind, "objects": [thing(f"{kind}-1")], "samples": None} for kind in CLASSES]
    lines = "".join(json.dumps({**request, "width": WIDTH, "height": HEIGHT}) + "\n" for request in requests)
    done = subprocess.run([sys.executable, "-P", FRAMES, folder], input=lines, text=True, stdout=subprocess.PIPE, check=True)
    (folder / "out.txt").write_text(done.stdout)
    return folder


@pytest.mark.parametrize("kind", CLASSES)
def test_cycles_sees_an_asset_where_its_labels_are(frames: Path, kind: str) -> None:
    with np.load(frames / f"{kind}.npz") as passes:
        seen, far = passes["owner"] == 0, passes["depth"]
    depth = solid(thing(f"{kind}-1")).depth(rays(CAMERA, WIDTH, HEIGHT))
    ours = np.isfinite(depth)
    assert ours.sum() > 200
    assert (seen & ours).sum() / (seen | ours).sum() > 0.985
    gap = np.abs(depth - far)[seen & ours]
    assert np.median(gap) < 1e-4 and np.mean(gap > 0.01) < 0.02


def picture(frames: Path, name: str) -> np.ndarray:
    with Image.open(frames / f"{name}.png") as image:
        return np.asarray(image).astype(int)


def test_textures_look_different_and_the_same_again(frames: Path) -> None:
    mask = np.isfinite(solid(thing("mug-1")).depth(rays(CAMERA, WIDTH, HEIGHT)))
    shown = {name: picture(frames, f"mug {name}")[mask] for name in (*PATTERNS, "other", "file")}
    names = list(shown)
    for i, one in enumerate(names):
        for two in names[i + 1 :]:
            assert (np.abs(shown[one] - shown[two]).max(1) > 12).mean() > 0.3, (one, two)
    assert np.abs(picture(frames, "mug again") - picture(frames, "mug checks")).max() <= 1


def test_an_image_file_is_laid_on(frames: Path) -> None:
    mask = np.isfinite(solid(thing("mug-1")).depth(rays(CAMERA, WIDTH, HEIGHT)))
    red, green, _ = picture(frames, "mug file")[mask].mean(0)
    assert red > 1.5 * green


def test_one_mesh_serves_objects_in_different_paints(frames: Path) -> None:
    """After all frames, one mesh per class is kept, besides the ground's."""
    word, meshes, _, all_meshes, _ = (frames / "out.txt").read_text().splitlines()[-1].split()
    assert (word, int(meshes), int(all_meshes)) == ("kept", len(CLASSES), len(CLASSES) + 1)
    pair = picture(frames, "pair")
    left = np.isfinite(solid(thing("mug-1")).depth(rays(CAMERA, WIDTH, HEIGHT)))
    right = np.isfinite(solid({**thing("mug-1"), "location": [2.6, 1.5, 1.7]}).depth(rays(CAMERA, WIDTH, HEIGHT))) & ~left
    hues = [pair[area].mean(0) / pair[area].mean() for area in (left, right)]
    assert np.abs(hues[0] - hues[1]).max() > 0.2
