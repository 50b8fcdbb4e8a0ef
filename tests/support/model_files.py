"""Writes model files of all kinds, good and bad, with Blender in a separate process; test_importer.py runs this.

python tests/support/model_files.py FOLDER TRAP

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
    write_worn()


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


def write_worn() -> None:
    """Write boxes whose materials define their colour in various ways; some use images/worn.png, which is red, in whole or in part."""
    folder = FOLDER / "worn"
    (folder / "images").mkdir(parents=True)
    image = bpy.data.images.new("worn", 4, 4)
    image.generated_color, image.file_format, image.filepath_raw = (200 / 255, 0, 0, 1), "PNG", str(folder / "images" / "worn.png")
    image.save()
    for name, wear in WORN.items():
        start()
        bpy.ops.mesh.primitive_cube_add(size=2)
        material = bpy.data.materials.new("m")
        bpy.context.object.data.materials.append(material)
        tree = material.node_tree
        tree.nodes.clear()
        wear(tree, tree.nodes.new("ShaderNodeOutputMaterial"))
        bpy.context.object.name = name
        bpy.ops.wm.save_as_mainfile(filepath=str(folder / f"{name}.blend"))
        if name == "image":
            for suffix in ("usdc", "usda", "usdz"):
                bpy.ops.wm.usd_export(filepath=str(folder / f"image.{suffix}"), export_textures_mode="NEW")
    start()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "linked.blend"))
    with bpy.data.libraries.load(str(folder / "image.blend"), link=True, relative=True) as (_, wanted):
        wanted.objects = ["image"]
    bpy.context.scene.collection.objects.link(wanted.objects[0])
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "linked.blend"))


def principled(tree, output):
    node = tree.nodes.new("ShaderNodeBsdfPrincipled")
    tree.links.new(node.outputs[0], output.inputs[0])
    return node.inputs["Base Color"]


def image_node(tree):
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(str(FOLDER / "worn" / "images" / "worn.png"))
    return node


def wear_image(tree, output):
    tree.links.new(image_node(tree).outputs["Color"], principled(tree, output))


def wear_packed(tree, output):
    node = image_node(tree)
    node.image.pack()
    tree.links.new(node.outputs["Color"], principled(tree, output))


def wear_mixed(tree, output):
    """Half of the product of the image and (0.5, 1, 1), half of blue."""
    for_blend, blend = tree.nodes.new("ShaderNodeMix"), tree.nodes.new("ShaderNodeMix")
    for node, how, share, second in ((for_blend, "MULTIPLY", 1.0, (0.5, 1, 1, 1)), (blend, "MIX", 0.5, (0, 0, 1, 1))):
        node.data_type, node.blend_type = "RGBA", how
        node.inputs[0].default_value, node.inputs[7].default_value = share, second
    tree.links.new(image_node(tree).outputs["Color"], for_blend.inputs[6])
    tree.links.new(for_blend.outputs[2], blend.inputs[6])
    tree.links.new(blend.outputs[2], principled(tree, output))


def wear_group(tree, output):
    """A group that turns red into its opposite."""
    group = bpy.data.node_groups.new("opposite", "ShaderNodeTree")
    for name, way in (("in", "INPUT"), ("out", "OUTPUT")):
        group.interface.new_socket(name, in_out=way, socket_type="NodeSocketColor")
    begin, invert, end = (group.nodes.new(kind) for kind in ("NodeGroupInput", "ShaderNodeInvert", "NodeGroupOutput"))
    group.links.new(begin.outputs[0], invert.inputs["Color"])
    group.links.new(invert.outputs[0], end.inputs[0])
    node = tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    node.inputs[0].default_value = (1, 0, 0, 1)
    tree.links.new(node.outputs[0], principled(tree, output))


def wear_shaders(tree, output):
    """A quarter glossy red, the rest matt blue."""
    mix, matt, glossy = (tree.nodes.new(f"ShaderNode{kind}") for kind in ("MixShader", "BsdfDiffuse", "BsdfAnisotropic"))
    mix.inputs[0].default_value, matt.inputs[0].default_value, glossy.inputs[0].default_value = 0.25, (0, 0, 1, 1), (1, 0, 0, 1)
    tree.links.new(matt.outputs[0], mix.inputs[1])
    tree.links.new(glossy.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output.inputs[0])


def wear_light(tree, output):
    node = tree.nodes.new("ShaderNodeEmission")
    node.inputs["Color"].default_value, node.inputs["Strength"].default_value = (0, 1, 0.5, 1), 7.0
    tree.links.new(node.outputs[0], output.inputs[0])


def wear_noise(tree, output):
    tree.links.new(tree.nodes.new("ShaderNodeTexNoise").outputs["Color"], principled(tree, output))


WORN = {
    "image": wear_image,
    "packed": wear_packed,
    "mixed": wear_mixed,
    "group": wear_group,
    "shaders": wear_shaders,
    "light": wear_light,
    "noise": wear_noise,
    "nothing": lambda tree, output: None,
}


if __name__ == "__main__":
    main()
