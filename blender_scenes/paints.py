"""Materials of assets' paints. Patterns are computed from coordinates in the asset's own frame, without UV coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable

import bpy
from bpy.types import NodeSocket as Socket
from bpy.types import NodeTree as Tree

from blender_scenes.block_cache import BlockCache
from blender_scenes.materials import linear_color, metal, rubber
from datagen.assets.model import Levels
from datagen.assets.paint import Paint

MOST_MATERIALS = 256
_FINISHES = {"rubber": rubber, "metal": metal}


class PaintShop:
    """A worker's cache of materials."""

    def __init__(self) -> None:
        self._kept: BlockCache[bpy.types.Material] = BlockCache(MOST_MATERIALS, _remove)

    def __len__(self) -> int:
        return len(self._kept)

    def material(self, paint: Paint) -> bpy.types.Material:
        """The material of a paint. RuntimeError if its image cannot be read."""
        return self._kept.get(paint, lambda: _material(paint))


def _material(paint: Paint) -> bpy.types.Material:
    made = bpy.data.materials.new(f"{paint.pattern} {paint.finish}")
    tree = made.node_tree
    tree.nodes.clear()
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(_FINISHES[paint.finish](tree, _PATTERNS[paint.pattern](tree, paint)), output.inputs["Surface"])
    return made


def _remove(material: bpy.types.Material) -> None:
    images = [node.image for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]
    bpy.data.materials.remove(material)
    for image in images:
        if image.users == 0:
            bpy.data.images.remove(image)


def _plain(tree: Tree, paint: Paint) -> Socket:
    node = tree.nodes.new("ShaderNodeRGB")
    node.outputs[0].default_value = _rgba(paint.first)
    return node.outputs[0]


def _stripes(tree: Tree, paint: Paint) -> Socket:
    """Equal bands across the pattern's X axis."""
    parts = tree.nodes.new("ShaderNodeSeparateXYZ")
    tree.links.new(_place(tree, paint), parts.inputs[0])
    within = _math(tree, "FRACT", parts.outputs["X"])
    return _two_colors(tree, paint, _math(tree, "GREATER_THAN", within, 0.5))


def _checks(tree: Tree, paint: Paint) -> Socket:
    node = tree.nodes.new("ShaderNodeTexChecker")
    tree.links.new(_place(tree, paint), node.inputs["Vector"])
    node.inputs["Color1"].default_value, node.inputs["Color2"].default_value = _rgba(paint.first), _rgba(paint.second)
    node.inputs["Scale"].default_value = 1.0
    return node.outputs["Color"]


def _noise(tree: Tree, paint: Paint) -> Socket:
    """Blotches with soft edges."""
    node = tree.nodes.new("ShaderNodeTexNoise")
    tree.links.new(_place(tree, paint), node.inputs["Vector"])
    node.inputs["Scale"].default_value, node.inputs["Detail"].default_value = 1.0, 3.0
    steep = tree.nodes.new("ShaderNodeMapRange")
    steep.inputs["From Min"].default_value, steep.inputs["From Max"].default_value = 0.44, 0.56
    tree.links.new(node.outputs[0], steep.inputs["Value"])
    return _two_colors(tree, paint, steep.outputs["Result"])


def _wood(tree: Tree, paint: Paint) -> Socket:
    """Year rings around the pattern's Z axis, a little out of round."""
    node = tree.nodes.new("ShaderNodeTexWave")
    node.wave_type, node.rings_direction, node.wave_profile = "RINGS", "Z", "SAW"
    tree.links.new(_place(tree, paint), node.inputs["Vector"])
    for name, value in (("Scale", 0.9), ("Distortion", 2.5), ("Detail", 2.0), ("Detail Scale", 0.8)):
        node.inputs[name].default_value = value
    return _two_colors(tree, paint, node.outputs["Factor" if "Factor" in node.outputs else "Fac"])


def _image(tree: Tree, paint: Paint) -> Socket:
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(paint.image, check_existing=True)
    node.projection, node.projection_blend = "BOX", 0.2
    tree.links.new(_place(tree, paint), node.inputs["Vector"])
    return node.outputs["Color"]


_PATTERNS: dict[str, Callable[[Tree, Paint], Socket]] = {
    "plain": _plain,
    "stripes": _stripes,
    "checks": _checks,
    "noise": _noise,
    "wood": _wood,
    "image": _image,
}


def _place(tree: Tree, paint: Paint) -> Socket:
    """A point's coordinates in the pattern: those in the asset's own frame, turned, scaled to cells, shifted."""
    place = tree.nodes.new("ShaderNodeTexCoord")
    mapping = tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value = [math.radians(angle) for angle in paint.turn]
    mapping.inputs["Scale"].default_value = (paint.cells,) * 3
    mapping.inputs["Location"].default_value = paint.offset
    tree.links.new(place.outputs["Object"], mapping.inputs["Vector"])
    return mapping.outputs["Vector"]


def _two_colors(tree: Tree, paint: Paint, share: Socket) -> Socket:
    """The first colour where `share` is 0, the second where it is 1."""
    node = tree.nodes.new("ShaderNodeMix")
    node.data_type = "RGBA"
    factor, first, second = node.inputs["Factor"], node.inputs[6], node.inputs[7]  # by index: each type of data has inputs of these names
    tree.links.new(share, factor)
    first.default_value, second.default_value = _rgba(paint.first), _rgba(paint.second)
    return node.outputs[2]


def _math(tree: Tree, operation: str, value: Socket, second: float = 0.0) -> Socket:
    node = tree.nodes.new("ShaderNodeMath")
    node.operation = operation
    tree.links.new(value, node.inputs[0])
    node.inputs[1].default_value = second
    return node.outputs[0]


def _rgba(levels: Levels) -> tuple[float, float, float, float]:
    return (*linear_color(levels), 1.0)
