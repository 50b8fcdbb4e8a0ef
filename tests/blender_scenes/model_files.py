"""Model files of all kinds, good and bad, written by Blender in a process of its own; test_importer.py runs this.

python tests/blender_scenes/model_files.py FOLDER TRAP

The model is a post with a long arm to Blender's front, which is -Y, and a knob on its top: the post red, the arm blue, the knob without a
material. Two .blend files carry scripts, which would write TRAP.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

FOLDER, TRAP = Path(sys.argv[1]), sys.argv[2]


def main() -> None:
    for name in ("post", "many", "none", "broken", "trap"):
        (FOLDER / name).mkdir(parents=True)
    start()
    build()
    good = str(FOLDER / "post" / "post")
    bpy.ops.export_scene.gltf(filepath=f"{good}.glb")
    bpy.ops.export_scene.gltf(filepath=f"{good}_apart.gltf", export_format="GLTF_SEPARATE")
    bpy.ops.wm.obj_export(filepath=f"{good}.obj")
    bpy.ops.wm.ply_export(filepath=f"{good}.ply")
    for suffix in ("usdc", "usda", "usdz"):
        bpy.ops.wm.usd_export(filepath=f"{good}.{suffix}")
    bpy.ops.wm.save_as_mainfile(filepath=f"{good}.blend", copy=True)

    bpy.context.scene.objects["post"].modifiers.new("copies", "ARRAY").count = 20_000
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "many" / "many.blend"), copy=True)

    start()
    bpy.ops.object.camera_add()
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "none" / "camera.blend"), copy=True)
    (FOLDER / "none" / "empty.obj").write_text("# nothing\n")
    (FOLDER / "none" / "point.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    for suffix in ("glb", "gltf", "ply", "usdc", "usdz", "blend", "obj"):
        (FOLDER / "broken" / f"text.{suffix}").write_text("this is not a model\n" * 40)
    for suffix in ("glb", "ply", "usdc", "blend"):
        whole = Path(f"{good}.{suffix}").read_bytes()
        (FOLDER / "broken" / f"half.{suffix}").write_bytes(whole[: len(whole) // 2])
    (FOLDER / "broken" / "zero.glb").write_bytes(b"")

    write_traps()


def start() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)


def build() -> None:
    for name, size, place, color in (
        ("post", (0.4, 0.4, 3.0), (10.0, 0.0, 1.5), (0.8, 0.05, 0.05, 1)),
        ("arm", (0.2, 1.4, 0.2), (10.0, -0.9, 2.6), (0.05, 0.05, 0.8, 1)),
        ("knob", (0.1, 0.1, 0.2), (10.0, 0.0, 3.1), None),
    ):
        bpy.ops.mesh.primitive_cube_add(size=1, location=place)
        made = bpy.context.object
        made.name, made.scale = name, size
        if color is not None:
            material = bpy.data.materials.new(name)
            material.use_nodes = True
            next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED").inputs["Base Color"].default_value = color
            made.data.materials.append(material)


def write_traps() -> None:
    code = f"open({TRAP!r}, 'a').write('sprung')"
    start()
    build()
    text = bpy.data.texts.new("trap.py")
    text.write(f"import bpy\n{code}\ndef register():\n    pass\n")
    text.use_module = True
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "trap" / "text.blend"), copy=True)
    start()
    build()
    driver = bpy.data.objects["arm"].driver_add("location", 0).driver
    driver.expression = f"(__import__('builtins').{code}, 10.0)[1]"
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "trap" / "driver.blend"), copy=True)


if __name__ == "__main__":
    main()
