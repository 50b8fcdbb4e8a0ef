"""Rubber, metal and the ground.

Colour comes from the object (Blender's *object colour*), so one material serves all colours. CLEVR hands its 8-bit
values divided by 255 to the shader as linear light; `linear_color` does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import bpy

Color = tuple[float, float, float]

RUBBER_IOR = 1.2
RUBBER_GLOSS_ROUGHNESS = 0.6
METAL_SHARP_ROUGHNESS = 0.10
METAL_BROAD_ROUGHNESS = 0.45
METAL_BROAD_SHARE = 0.35
GROUND_ALBEDO = 0.8

_WHITE = (1.0, 1.0, 1.0)


def linear_color(levels: tuple[int, int, int]) -> Color:
    """8-bit levels divided by 255, which CLEVR uses as linear light."""
    red, green, blue = levels
    return red / 255, green / 255, blue / 255


@cache
def material(name: str) -> bpy.types.Material:
    """The material of that name: rubber, metal or ground."""
    made = bpy.data.materials.new(name)
    made.use_fake_user = True  # outlives the objects of one scene
    tree = made.node_tree
    tree.nodes.clear()
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(_SURFACES[name](tree), output.inputs["Surface"])
    return made


def rubber(tree: bpy.types.NodeTree, color: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """A coloured matte body under a thin, rough, uncoloured gloss that grows towards the rim."""
    fresnel = tree.nodes.new("ShaderNodeFresnel")
    fresnel.inputs["IOR"].default_value = RUBBER_IOR
    body = tree.nodes.new("ShaderNodeBsdfDiffuse")
    tree.links.new(color, body.inputs["Color"])
    return _mix(tree, fresnel.outputs["Factor"], body.outputs["BSDF"], _glossy(tree, RUBBER_GLOSS_ROUGHNESS, None))


def metal(tree: bpy.types.NodeTree, color: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """Two coloured reflections: one nearly a mirror's, one broad."""
    return _mix(tree, METAL_BROAD_SHARE, _glossy(tree, METAL_SHARP_ROUGHNESS, color), _glossy(tree, METAL_BROAD_ROUGHNESS, color))


def _ground(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    """Plain matte grey."""
    body = tree.nodes.new("ShaderNodeBsdfDiffuse")
    body.inputs["Color"].default_value = (GROUND_ALBEDO,) * 3 + (1.0,)
    return body.outputs["BSDF"]


_SURFACES: dict[str, Callable[[bpy.types.NodeTree], bpy.types.NodeSocket]] = {
    "rubber": lambda tree: rubber(tree, _object_color(tree)),
    "metal": lambda tree: metal(tree, _object_color(tree)),
    "ground": _ground,
}


def _object_color(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    return tree.nodes.new("ShaderNodeObjectInfo").outputs["Color"]


def _glossy(tree: bpy.types.NodeTree, roughness: float, color: bpy.types.NodeSocket | None) -> bpy.types.NodeSocket:
    """A reflecting lobe, white without a colour."""
    node = tree.nodes.new("ShaderNodeBsdfAnisotropic")
    node.distribution = "GGX"
    node.inputs["Roughness"].default_value = roughness
    if color is None:
        node.inputs["Color"].default_value = (*_WHITE, 1.0)
    else:
        tree.links.new(color, node.inputs["Color"])
    return node.outputs["BSDF"]


def _mix(
    tree: bpy.types.NodeTree, factor: float | bpy.types.NodeSocket, first: bpy.types.NodeSocket, second: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    node = tree.nodes.new("ShaderNodeMixShader")
    if isinstance(factor, float):
        node.inputs[0].default_value = factor
    else:
        tree.links.new(factor, node.inputs[0])
    tree.links.new(first, node.inputs[1])
    tree.links.new(second, node.inputs[2])
    return node.outputs[0]
