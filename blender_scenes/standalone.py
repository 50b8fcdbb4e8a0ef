"""The second half of every standalone script: the functions that make Blender's scene out of the values above them.

`blender_scenes.script` copies this file from the first import on. So it may use bpy and the standard library alone, and the names that
the script's values have: NAME, SETTINGS, WORLD, CAMERAS, LIGHTS, MATERIALS, MESHES, IMAGES, STAGE, LAMPS, OBJECTS and PACKED.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined,no-untyped-def,no-untyped-call,var-annotated"
from __future__ import annotations

import array
import base64
import math
import os
import sys
import zlib

import bpy


def main():
    """Build the scene; without a window, render it as well."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = build()
    if bpy.app.background:
        scene.render.filepath = os.path.abspath(asked_path())
        bpy.ops.render.render(write_still=True)
        print(scene.render.filepath)


def asked_path():
    """The path that the command names, after ``--`` where Blender's own program is called; else one beside this file."""
    words = sys.argv[1:] if getattr(bpy.app, "module", False) else []
    if "--" in sys.argv:
        words = sys.argv[sys.argv.index("--") + 1 :]
    return words[0] if words else os.path.splitext(os.path.abspath(__file__))[0] + ".png"


def build():
    """Blender's scene, out of the values above."""
    scene = bpy.context.scene
    scene.name = NAME
    scene.render.engine = "CYCLES"
    for path, value in SETTINGS.items():
        put(scene, path, value)
    image = scene.render.image_settings
    image.file_format, image.color_mode, image.color_depth = "PNG", "RGB", "8"
    scene.world = bpy.data.worlds.new(WORLD["name"])
    put_all(scene.world, WORLD["set"])
    fill_tree(scene.world.node_tree, WORLD)
    data = {"MESH": {}, "LIGHT": {}, "CAMERA": {}}
    for name, facts in CAMERAS.items():
        data["CAMERA"][name] = bpy.data.cameras.new(name)
        put_all(data["CAMERA"][name], facts)
    for name, facts in LIGHTS.items():
        data["LIGHT"][name] = bpy.data.lights.new(name, facts["type"])
        put_all(data["LIGHT"][name], facts["set"])
    materials = {name: new_material(name, facts) for name, facts in MATERIALS.items()}
    for name, facts in MESHES.items():
        data["MESH"][name] = new_mesh(name, facts, materials)
    for name, things in (("stage", STAGE), ("lamps", LAMPS), ("objects", OBJECTS)):
        collection = bpy.data.collections.new(name)
        scene.collection.children.link(collection)
        for thing in things:
            placed = new_object(thing, data, materials)
            collection.objects.link(placed)
            if placed.type == "CAMERA":
                scene.camera = placed
    return scene


def new_object(thing, data, materials):
    """An object: what it shows, where it stands (metres), how it is turned (degrees) and scaled, its colour (linear light)."""
    made = bpy.data.objects.new(thing["name"], data[thing["type"]][thing["shows"]])
    made.location = thing["location"]
    made.rotation_euler = [math.radians(angle) for angle in thing["rotation"]]
    made.scale = thing.get("scale", (1.0, 1.0, 1.0))
    made.color = thing.get("color", (1.0, 1.0, 1.0, 1.0))
    made.hide_viewport = thing.get("hide_viewport", False)
    for number, name in enumerate(thing.get("materials", [])):
        made.material_slots[number].link = "OBJECT"
        made.material_slots[number].material = materials.get(name)
    return made


def new_mesh(name, facts, materials):
    """A mesh; its numbers are packed at the end of this file."""
    unpacked = zlib.decompress(base64.b64decode(PACKED[facts["packed"]]))
    start = 0
    columns = []
    for kind, count in facts["layout"]:
        column = array.array(kind)
        end = start + count * column.itemsize
        column.frombytes(unpacked[start:end])
        columns.append(column)
        start = end
    points, corners, starts, *rest = columns
    made = bpy.data.meshes.new(name)
    made.vertices.add(len(points) // 3)
    made.vertices.foreach_set("co", points)
    made.loops.add(len(corners))
    made.loops.foreach_set("vertex_index", corners)
    made.polygons.add(len(starts))
    made.polygons.foreach_set("loop_start", starts)
    made.update(calc_edges=True)
    for (title, kind, domain, field), column in zip(facts["attributes"], rest, strict=True):
        attribute = made.attributes.get(title) or made.attributes.new(title, kind, domain)
        attribute.data.foreach_set(field, column)
    for material in facts["materials"]:
        made.materials.append(materials.get(material))
    made.update()
    return made


def new_material(name, facts):
    """A material of shader nodes."""
    made = bpy.data.materials.new(name)
    fill_tree(made.node_tree, facts)
    return made


def fill_tree(tree, facts):
    """Replace a tree's nodes: each has its type, what is set on it, and the values of its sockets by their numbers."""
    tree.nodes.clear()
    nodes = []
    for kind, settings, inputs, outputs in facts["nodes"]:
        node = tree.nodes.new(kind)
        nodes.append(node)
        for path, value in settings.items():
            if path == "image":
                node.image = image_named(value)
            else:
                put(node, path, value)
        for number, value in inputs.items():
            node.inputs[number].default_value = value
        for number, value in outputs.items():
            node.outputs[number].default_value = value
    for start, output, end, entry in facts["links"]:
        tree.links.new(nodes[start].outputs[output], nodes[end].inputs[entry])


def image_named(name):
    """An image out of a file that is packed at the end of this one."""
    found = bpy.data.images.get(name)
    if found is None:
        content = zlib.decompress(base64.b64decode(PACKED[IMAGES[name]["packed"]]))
        found = bpy.data.images.new(name, 1, 1)
        found.source = "FILE"
        found.filepath_raw = "//" + name
        found.pack(data=content, data_len=len(content))
        put_all(found, IMAGES[name]["set"])
    return found


def put_all(block, values):
    """Set several properties of a block of Blender's data."""
    for path, value in values.items():
        put(block, path, value)


def put(block, path, value):
    """Set a property, such as ``cycles.samples``."""
    *parents, last = path.split(".")
    for parent in parents:
        block = getattr(block, parent)
    setattr(block, last, value)
