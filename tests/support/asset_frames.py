"""Renders assets on CLEVR's stage in a separate Blender process: Cycles' passes, and pictures. test_assets.py runs this.

python tests/support/asset_frames.py FOLDER < requests

A request is a line of JSON: {"name", "objects": [{"asset", "texture" (an id, a file, or null), "location", "scale", "euler"}], "width",
"height", "samples" (null: the passes owner and depth to FOLDER/NAME.npz; else a picture of so many samples to FOLDER/NAME.png)}. Pictures
must come first, because passes change the stage's settings. At the end, the numbers of meshes and materials on the shelf and in Blender are
printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import bpy
import numpy as np
from passes import FAR, layer, render_passes
from PIL import Image

from blender_scenes.assets import AssetShelf
from blender_scenes.frame import FrameGrabber
from blender_scenes.quality import Settings, set_up_cycles, set_up_shot
from blender_scenes.stage import add_lamp, add_sun, aim_camera, build_stage
from datagen.assets.library import instance
from datagen.assets.paint import image_paint, paints, texture
from datagen.assets.solid import MeshSolid
from datagen.domains.clevr import CAMERA, CLEVR
from datagen.geometry.rotations import from_euler


def main() -> None:
    folder = Path(sys.argv[1])
    bpy.ops.wm.read_factory_settings(use_empty=True)
    stage = bpy.data.scenes.new("assets")
    set_up_cycles(stage, "CPU")
    build_stage(stage, CAMERA)
    shelf, standing, grabber = AssetShelf(), set(stage.objects), FrameGrabber()
    for line in sys.stdin:
        request = json.loads(line)
        shot = CLEVR.canonical_shot(request["width"], request["height"], "draft")
        set_up_shot(stage, shot, Settings(request["samples"] or 1, "FAST", light_tree=False))
        aim_camera(stage, shot.camera)
        add_sun(stage)
        for lamp in shot.lamps:
            add_lamp(stage, lamp)
        for index, thing in enumerate(request["objects"], 1):
            place(shelf, stage, thing).pass_index = index
        if request["samples"] is None:
            layers = render_passes(stage, folder / "passes.exr")
            depth = layer(layers, "Depth")
            owner = np.rint(layer(layers, "Index")).astype(int) - 1
            np.savez(folder / f"{request['name']}.npz", owner=owner, depth=np.where(depth < FAR, depth, np.inf))
        else:
            Image.fromarray(grabber.grab(stage)).save(folder / f"{request['name']}.png")
        bpy.data.batch_remove([o for o in stage.objects if o not in standing])
    print("kept", *shelf.counts(), len(bpy.data.meshes), len(bpy.data.materials))


def place(shelf: AssetShelf, stage: bpy.types.Scene, thing: dict[str, Any]) -> bpy.types.Object:
    asset = instance(thing["asset"])
    solid = MeshSolid(asset.mesh, tuple(thing["location"]), thing["scale"], from_euler(np.array(thing["euler"])))
    name = thing["texture"]
    over = None if name is None else image_paint(Path(name)) if Path(name).suffix else texture(name)
    return shelf.place(stage, asset, solid, paints(asset, over))


if __name__ == "__main__":
    main()
