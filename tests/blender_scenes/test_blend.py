"""A .blend file that `igllm render --blend` saves, opened in another Blender process: its content and its render."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.domains.registry import get_domain
from datagen.samples.draw import draw
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Shot
from datagen.workers.jobs import RenderJob
from datagen.workers.pool import RenderPool
from render.images import same_image

OPEN = """
import bpy, json, sys
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
scene = bpy.context.scene
collections = (getattr(bpy.data, name) for name in dir(bpy.data))
blocks = [block for kind in collections if isinstance(kind, bpy.types.bpy_prop_collection) for block in kind if hasattr(block, "users")]
found = {
    "objects": {shown.name: [shown.type, shown.location.z] for shown in bpy.data.objects},
    "numbered": [block.name for block in blocks if block.name[-4:-3] == "."],
    "unused": [block.name for block in blocks if not block.users or block.use_fake_user],
    "scenes": len(bpy.data.scenes),
    "properties": [name for shown in bpy.data.objects for name in shown.keys()],
    "path": scene.render.filepath,
    "format": scene.render.image_settings.file_format,
}
bpy.ops.render.render(write_still=True)
print("FOUND" + json.dumps(found))
"""


def opened(path: Path) -> dict[str, Any]:
    """The content of a .blend file, whose picture is rendered as well."""
    done = subprocess.run([sys.executable, "-P", "-c", OPEN, path], capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    found: dict[str, Any] = json.loads(line.removeprefix("FOUND"))
    return found


def small(shot: Shot) -> Shot:
    return replace(shot, width=48, height=36, quality="draft")


@pytest.mark.parametrize("domain", ["clevr", "assets", "so3"])
def test_it_holds_the_scene_by_name_and_renders_to_its_picture(domain: str, tmp_path: Path) -> None:
    """The worker keeps the blocks of another domain's scene. For clevr, the camera is not the domain's."""
    kind = get_domain(domain)
    drawn = draw(DatasetSettings(domain=domain, width=48, height=36), 1)
    shot = small(replace(drawn.shot, camera=Camera((0.0, -11.0, 3.0))) if domain == "clevr" else drawn.shot)
    other = draw(DatasetSettings(domain="assets" if domain == "clevr" else "clevr", width=48, height=36), 0)
    path = tmp_path / "two words.blend"
    with RenderPool(1) as pool:
        list(pool.render([RenderJob("other", other.scene, small(other.shot))]))
        [(_, sample)] = pool.render([RenderJob("two words", drawn.scene, shot, path)])
    assert isinstance(sample, EncodedSample)
    sample = sample.decoded()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]

    found = opened(path)
    things = [obj["shape"] for obj in kind.canonical(drawn.scene)] if domain != "so3" else ["aeroplane-39"]
    stage = {"ground", "sun"} if kind.ground else set()
    expected = (
        {f"object_{number}_{shape}" for number, shape in enumerate(things, 1)} | {"camera", *(lamp.name for lamp in shot.lamps)} | stage
    )
    assert set(found["objects"]) == expected
    assert all(height > -100 for _, height in found["objects"].values())
    assert found["numbered"] == found["unused"] == found["properties"] == []
    assert found["scenes"] == 1
    assert (found["path"], found["format"]) == ("//two words.png", "PNG")
    with Image.open(tmp_path / "two words.png", formats=["PNG"]) as image:
        assert same_image(np.asarray(image.convert("RGB")), sample.pixels())
