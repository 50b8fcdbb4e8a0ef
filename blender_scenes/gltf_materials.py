"""Materials as glTF has them: a base colour, a roughness, a metalness. Importing this imports bpy.

The materials here are mixtures of matte and reflecting lobes, whose colour comes from the object or from a pattern in its own frame; glTF
knows neither. Each object gets materials of its own: the colour as a number, or, where it varies, baked by Cycles into an image.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import bpy

from blender_scenes.sockets import NotUnderstood, source

IMAGE_SIDE = 1024  # pixels of a baked image
_MARGIN = 6  # pixels by which a baked patch is drawn out beyond its edge
_LEAST_GAP = 0.004  # between patches, in parts of the image
_MIRRORED = 0.04  # of the light that falls on a matte surface in glTF, unless it says otherwise


@dataclass(frozen=True)
class _Look:
    """What a material looks like: the socket of its colour, and plain numbers."""

    color: Any
    metallic: float
    roughness: float
    mirrored: float
    """How much of the light that falls on it straight a matte surface mirrors."""


def simplify(things: Iterable[bpy.types.Object]) -> None:
    """Give objects meshes and materials that glTF can hold; objects that look the same share them. Materials that are not understood stay
    as they are."""
    shared: dict[Hashable, bpy.types.Mesh] = {}
    for thing in things:
        key = (thing.data, tuple(slot.material for slot in thing.material_slots), tuple(thing.color))
        if key not in shared:
            _simplify(thing)
            shared[key] = thing.data
        else:
            for slot in thing.material_slots:
                slot.link = "DATA"
            thing.data = shared[key]


def _simplify(thing: bpy.types.Object) -> None:
    materials = [slot.material for slot in thing.material_slots]
    looks = [_look(material) for material in materials]
    if not any(looks):
        return
    thing.data = thing.data.copy()
    varying = [number for number, look in enumerate(looks) if look and _constant(look.color, thing) is None]
    image = _baked(thing, [look.color if look else None for look in looks]) if varying else None
    for slot, material, look in zip(thing.material_slots, materials, looks, strict=True):
        slot.link = "DATA"
        slot.material = material if look is None else _material(material.name, look, thing, image)


def _look(material: bpy.types.Material | None) -> _Look | None:
    """What a material looks like; None if it has a Principled shader, which the exporter reads itself, or others not known here."""
    if material is None:
        return None
    end = next((node for node in material.node_tree.nodes if node.type == "OUTPUT_MATERIAL" and node.is_active_output), None)
    try:
        lobes = list(_lobes(end.inputs["Surface"], 1.0)) if end else []
    except NotUnderstood:
        return None
    matte = [node for node, _ in lobes if node.type == "BSDF_DIFFUSE"]
    gloss = [(node, share) for node, share in lobes if node.type == "BSDF_GLOSSY"]
    total = sum(share for _, share in gloss)
    roughness = sum(share * node.inputs["Roughness"].default_value for node, share in gloss) / total if total else 1.0
    if matte:
        rims = [node.inputs["IOR"].default_value for node in material.node_tree.nodes if node.type == "FRESNEL"]
        ior = rims[0] if rims else 1.0
        return _Look(matte[0].inputs["Color"], 0.0, roughness, ((ior - 1) / (ior + 1)) ** 2)
    return _Look(gloss[0][0].inputs["Color"], 1.0, roughness, _MIRRORED) if gloss else None


def _lobes(socket: Any, share: float) -> Iterator[tuple[Any, float]]:
    """The shaders that are mixed at a socket, with their shares; halves where a share is not a number."""
    found = source(socket)
    if found is None:
        return
    node, _ = found
    if node.type == "MIX_SHADER":
        factor = 0.5 if source(node.inputs[0]) else node.inputs[0].default_value
        yield from _lobes(node.inputs[1], share * (1 - factor))
        yield from _lobes(node.inputs[2], share * factor)
    elif node.type in ("BSDF_DIFFUSE", "BSDF_GLOSSY"):
        yield node, share
    else:
        raise NotUnderstood(node.bl_label)


def _constant(socket: Any, thing: bpy.types.Object) -> tuple[float, ...] | None:
    """A colour that is the same all over an object: linear red, green, blue, opacity; None if it varies."""
    found = source(socket)
    if found is None:
        return tuple(socket.default_value)
    node, output = found
    if node.type == "RGB":
        return tuple(output.default_value)
    if node.type == "OBJECT_INFO" and output.name == "Color":
        return tuple(thing.color)
    return None


def _material(name: str, look: _Look, thing: bpy.types.Object, image: bpy.types.Image | None) -> bpy.types.Material:
    """A Principled material, the same for all objects that look the same and have no image."""
    color = _constant(look.color, thing)
    name = f"{name} {_hex(color)}" if color is not None else f"{name} of {thing.name}"
    if (found := bpy.data.materials.get(name)) is not None:
        return found
    made = bpy.data.materials.new(name)
    tree = made.node_tree
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    level = 0.5 * look.mirrored / _MIRRORED  # Blender's scale, whose middle is what glTF takes for granted
    for socket, value in (("Metallic", look.metallic), ("Roughness", look.roughness), ("Specular IOR Level", level)):
        shader.inputs[socket].default_value = value
    if color is not None:
        shader.inputs["Base Color"].default_value = color
    else:
        shown = tree.nodes.new("ShaderNodeTexImage")
        shown.image = image
        tree.links.new(shown.outputs["Color"], shader.inputs["Base Color"])
    return made


def _hex(color: tuple[float, ...]) -> str:
    """A linear colour as eight bits a channel, as CLEVR has them."""
    return "#" + "".join(f"{round(255 * min(max(level, 0.0), 1.0)):02x}" for level in color[:3])


def _baked(thing: bpy.types.Object, colors: list[Any]) -> bpy.types.Image:
    """An image of the colours of an object's slots, laid on its own mesh, which gets new UV coordinates."""
    _unwrap(thing)
    image = bpy.data.images.new(f"{thing.name} colors", IMAGE_SIDE, IMAGE_SIDE)
    kept = [(slot.link, slot.material) for slot in thing.material_slots]
    for slot, color in zip(thing.material_slots, colors, strict=True):
        slot.material = _glowing(slot.material, color, image)
    try:
        bpy.ops.object.bake(type="EMIT", margin=_MARGIN, use_clear=True)
    finally:
        for slot, (link, material) in zip(thing.material_slots, kept, strict=True):
            slot.link, slot.material = link, material
    image.pack()
    return image


def _unwrap(thing: bpy.types.Object) -> None:
    """Select an object alone, and lay its mesh out flat."""
    layer = bpy.context.view_layer
    layer.update()  # it still lists objects that were removed
    for other in layer.objects:
        other.select_set(other == thing)
    layer.objects.active = thing
    while thing.data.uv_layers:
        thing.data.uv_layers.remove(thing.data.uv_layers[0])
    thing.data.uv_layers.new(name="UVMap")
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.uv.smart_project(angle_limit=math.radians(66), island_margin=_LEAST_GAP)
    bpy.ops.object.mode_set(mode="OBJECT")


def _glowing(material: bpy.types.Material | None, color: Any, image: bpy.types.Image) -> bpy.types.Material:
    """A copy of a material that glows in its colour, and whose active node is the image to bake into."""
    made = bpy.data.materials.new("glowing") if material is None else material.copy()
    tree = made.node_tree
    glow = tree.nodes.new("ShaderNodeEmission")
    if color is not None and (found := source(color)) is not None:
        node = tree.nodes[found[0].name]
        number = next(number for number, socket in enumerate(found[0].outputs) if socket == found[1])
        tree.links.new(node.outputs[number], glow.inputs["Color"])
    elif color is not None:
        glow.inputs["Color"].default_value = color.default_value
    end = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL" and node.is_active_output)
    tree.links.new(glow.outputs["Emission"], end.inputs["Surface"])
    target = tree.nodes.new("ShaderNodeTexImage")
    target.image = image
    tree.nodes.active = target
    return made
