"""Cycles' own object-index and Z passes through the pixels' centres; benchmarks/masks.py runs this in a process of its own.

python benchmarks/passes.py FOLDER [sharp] < requests

A request is a line of JSON, {"scene", "shot"}; the passes of the n-th, from 0, are written to FOLDER/n.npz: owner (height, width) int16,
the object's index or -1, and depth (height, width) float32, metres along the camera's axis, inf where nothing is. With `sharp`, bevels are
negligibly small.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import bpy
import numpy as np

from blender_scenes import shapes
from blender_scenes.builders import Stages
from datagen.scene import Scene, Shot

FAR = 1e9  # metres: Cycles writes 1e10 where nothing is


def main() -> None:
    folder = Path(sys.argv[1])
    if sys.argv[2:] == ["sharp"]:
        shapes.CUBE_BEVEL = shapes.CYLINDER_BEVEL = 1e-4
    stages = Stages()
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        scene, shot = Scene.from_json(request["scene"]), Shot.from_json(request["shot"])
        with stages.showing(scene, shot) as stage:
            number_objects(stage, scene)
            layers = render_passes(stage, folder / "passes.exr")
        owner = np.rint(layer(layers, "Index")).astype(np.int16) - 1
        depth = layer(layers, "Depth")
        np.savez(folder / f"{number}.npz", owner=owner, depth=np.where(depth < FAR, depth, np.inf))


def number_objects(stage: bpy.types.Scene, scene: Scene) -> None:
    """Number the scene's objects from 1 on in ``pass_index``; all else keeps 0."""
    for index, obj in enumerate(scene.objects, 1):
        gap = {placed: np.abs(np.subtract(placed.location, obj["loc"])).max() for placed in stage.objects if placed.name != "ground"}
        nearest = min(gap, key=lambda placed: gap[placed])
        assert gap[nearest] < 1e-4 and nearest.pass_index == 0
        nearest.pass_index = index


def render_passes(stage: bpy.types.Scene, path: Path) -> dict[str, np.ndarray]:
    """Render one sample per pixel, practically at its centre, and return every channel of every pass, (height, width) float32."""
    stage.cycles.samples, stage.cycles.use_denoising, stage.cycles.max_bounces = 1, False, 0
    stage.cycles.pixel_filter_type, stage.cycles.filter_width = "BOX", 0.01
    stage.view_layers[0].use_pass_object_index = stage.view_layers[0].use_pass_z = True
    output = stage.render.image_settings
    output.media_type, output.use_exr_interleave = "MULTI_LAYER_IMAGE", True
    output.file_format, output.color_depth, output.exr_codec = "OPEN_EXR_MULTILAYER", "32", "NONE"
    stage.render.filepath = str(path)
    bpy.ops.render.render(write_still=True, scene=stage.name)
    return read_exr(path.read_bytes())


def layer(layers: dict[str, np.ndarray], word: str) -> np.ndarray:
    """The one channel whose pass has that word in its name."""
    [name] = [name for name in layers if word.lower() in name.lower()]
    return layers[name]


def read_exr(data: bytes) -> dict[str, np.ndarray]:
    """The float32 channels of an uncompressed OpenEXR file of scanlines, as Blender writes it."""
    at, header = 8, {}
    while data[at]:
        name, kind, rest = data[at:].split(b"\0", 2)
        size = struct.unpack("<i", rest[:4])[0]
        at += len(name) + len(kind) + 6
        header[name.decode()] = data[at : at + size]
        at += size
    left, top, right, bottom = struct.unpack("<4i", header["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    names = channel_names(header["channels"])
    starts = np.frombuffer(data, "<u8", height, at + 1)
    lines = np.stack([np.frombuffer(data, "<f4", width * len(names), int(start) + 8) for start in starts])
    return dict(zip(names, lines.reshape(height, len(names), width).transpose(1, 0, 2), strict=True))


def channel_names(data: bytes) -> list[str]:
    names = []
    while data[0]:
        name, data = data.split(b"\0", 1)
        kind = struct.unpack("<i", data[:4])[0]
        assert kind == 2, f"channel {name!r} is no float32"
        names.append(name.decode())
        data = data[16:]
    return names


if __name__ == "__main__":
    main()
