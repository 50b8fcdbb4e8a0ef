"""The colours that a material's nodes compute at points of a surface. Importing this imports bpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import bpy
import numpy as np

from blender_scenes.sockets import Color, NotUnderstood, channels, constant, product, source, total
from blender_scenes.surface import Surface

T = TypeVar("T")


class FileImages(Protocol):
    """What a node tree needs of its file: its images, and how they combine with colours."""

    @property
    def factors(self) -> bool:
        """Whether an image is multiplied by the colour of the socket that it is linked to, as in ``.obj`` files."""

    def pixels(self, image: bpy.types.Image | None) -> np.ndarray | None:
        """An image's linear pixels with opacity (height, width, 4), the lowest row first; None for no image, or one that cannot be read."""

    def note(self, text: str) -> None:
        """Record an irregularity of the file."""


_COLOR_INPUT = {
    "BSDF_METALLIC": "Base Color",
    "BSDF_DIFFUSE": "Color",
    "BSDF_GLOSSY": "Color",
    "BSDF_ANISOTROPIC": "Color",
    "BSDF_GLASS": "Color",
    "BSDF_REFRACTION": "Color",
    "BSDF_TRANSLUCENT": "Color",
    "BSDF_TOON": "Color",
    "BSDF_SHEEN": "Color",
    "BSDF_VELVET": "Color",
    "SUBSURFACE_SCATTERING": "Color",
    "EEVEE_SPECULAR": "Base Color",
}
"""The input that holds a shader's colour, by the shader's type."""
_BLENDS: dict[str, Callable[[Color, Color], Color]] = {
    "MIX": lambda a, b: b,
    "MULTIPLY": lambda a, b: a * b,
    "ADD": lambda a, b: a + b,
    "SUBTRACT": lambda a, b: a - b,
    "SCREEN": lambda a, b: 1 - (1 - a) * (1 - b),
    "DIFFERENCE": lambda a, b: np.abs(a - b),
    "DARKEN": np.minimum,
    "LIGHTEN": np.maximum,
}


class _OtherCoordinates(Exception):
    """An image on other coordinates than the mesh's UV coordinates, as they are, moved or repeated."""


class Tree:
    """A node tree, evaluated at the points of a surface. ``outer`` holds the group nodes around it, the outermost first."""

    def __init__(self, surface: Surface, images: FileImages, outer: tuple[Any, ...] = ()) -> None:
        self._surface, self._images, self._outer = surface, images, outer

    def shader(self, socket: Any) -> Color | None:
        """The colour of the shader that is linked to a socket; None for no or a transparent shader, or a colour in an unreadable image."""
        found = source(socket)
        if found is None:
            return None
        node, output = found
        if node.type in _COLOR_INPUT:
            return self.color(node.inputs[_COLOR_INPUT[node.type]])
        if node.type not in _SHADERS:
            raise NotUnderstood(f"the shader {node.bl_label!r}")
        return _SHADERS[node.type](self, node, output)

    def color(self, socket: Any) -> Color | None:
        """The colour at a socket; None if only an unreadable image holds it."""
        found = source(socket)
        if found is None:
            return constant(socket)
        node, output = found
        if node.type not in _COLORS:
            raise NotUnderstood(f"the node {node.bl_label!r}")
        value = _COLORS[node.type](self, node, output)
        return product(constant(socket), value) if self._images.factors and node.type == "TEX_IMAGE" else value

    def opacity(self, socket: Any) -> Color:
        """The opacity, nominally 0 to 1, of the shader that is linked to a socket."""
        found = source(socket)
        if found is None:
            return np.ones((1, 3))
        node, output = found
        return _OPACITIES[node.type](self, node, output) if node.type in _OPACITIES else np.ones((1, 3))

    def principled_opacity(self, node: Any, _: Any) -> Color:
        """The alpha of a Principled shader; 1 if unknown."""
        alpha = self.color(node.inputs["Alpha"])
        return np.ones((1, 3)) if alpha is None else alpha

    def mixed_opacity(self, node: Any, _: Any) -> Color:
        """The opacities of two shaders, mixed by their shares; 1 for an unknown share."""
        first, second = self.opacity(node.inputs[1]), self.opacity(node.inputs[2])
        if np.array_equal(first, second):
            return first
        share = self.color(node.inputs[0])
        return np.ones((1, 3)) if share is None else first + (second - first) * np.clip(share, 0, 1)

    def principled(self, node: Any, _: Any) -> Color | None:
        """The base colour of a Principled shader plus its emission."""
        own, glow = self.color(node.inputs["Base Color"]), self._glow(node.inputs["Emission Color"], node.inputs["Emission Strength"])
        # Without emission, an unknown base colour stays unknown.
        return total(own, glow if own is not None or glow is None or glow.any() else None)

    def emission(self, node: Any, _: Any) -> Color | None:
        """The light that a shader emits."""
        return self._glow(node.inputs["Color"], node.inputs["Strength"])

    def nothing(self, _: Any, __: Any) -> None:
        """No colour: a transparent shader shows what is behind it."""

    def mixed(self, node: Any, _: Any) -> Color | None:
        """The colours of two shaders, mixed by their shares; if one has none, the other's, because the share is then an opacity."""
        first, second = self.shader(node.inputs[1]), self.shader(node.inputs[2])
        if first is None or second is None:
            return second if first is None else first
        share = self.color(node.inputs[0])
        return None if share is None else first + (second - first) * np.clip(share, 0, 1)

    def added(self, node: Any, _: Any) -> Color | None:
        """The sum of two shaders' colours."""
        return total(self.shader(node.inputs[0]), self.shader(node.inputs[1]))

    def constant(self, _: Any, output: Any) -> Color:
        """The value of a node that has no inputs."""
        return constant(output)

    def light_path(self, _: Any, output: Any) -> Color:
        """1 for ``Is Camera Ray``, else 0: colours are those that a camera sees."""
        return np.full((1, 3), float(output.name == "Is Camera Ray"))

    def vertex_color(self, node: Any, output: Any) -> Color:
        """The vertex colours that the node names."""
        return self._attribute(node, output, node.layer_name)

    def attribute(self, node: Any, output: Any) -> Color:
        """The vertex colours that an Attribute node names."""
        if node.attribute_type != "GEOMETRY":
            raise NotUnderstood(f"the node {node.bl_label!r} of a {node.attribute_type.lower()}")
        return self._attribute(node, output, node.attribute_name)

    def mix(self, node: Any, _: Any) -> Color | None:
        """Two colours, blended."""
        if node.type == "MIX_RGB":
            return self._blended(node, *node.inputs[:3])
        if node.data_type != "RGBA" or node.factor_mode != "UNIFORM":
            raise NotUnderstood(f"the node {node.bl_label!r} of a {node.data_type.lower()}")
        return self._blended(node, node.inputs[0], node.inputs[6], node.inputs[7])

    def gamma(self, node: Any, _: Any) -> Color | None:
        """A colour raised to a power."""
        color, power = self.color(node.inputs["Color"]), self.color(node.inputs["Gamma"])
        return None if color is None or power is None else np.maximum(color, 0) ** power

    def vector_math(self, node: Any, _: Any) -> Color | None:
        """A colour scaled and shifted, as USD's textures may be."""
        if node.operation not in _SUMS:
            raise NotUnderstood(f"the node {node.bl_label!r} of {node.operation.lower()}")
        a, b, c = (self.color(socket) for socket in node.inputs[:3])
        return None if a is None or b is None or c is None else _SUMS[node.operation](a, b, c)

    def math(self, node: Any, _: Any) -> Color | None:
        """Arithmetic and comparisons of numbers, such as opacities."""
        if node.operation not in _MATH:
            raise NotUnderstood(f"the node {node.bl_label!r} of {node.operation.lower()}")
        a, b, c = (self.color(socket) for socket in node.inputs[:3])
        if a is None or b is None or c is None:
            return None
        value = _MATH[node.operation](a, b, c)
        return value.clip(0, 1) if node.use_clamp else value

    def invert(self, node: Any, _: Any) -> Color | None:
        """The inverse of a colour, mixed with the colour by the node's factor."""
        color, share = self.color(node.inputs["Color"]), self.color(node.inputs[0])
        return None if color is None or share is None else color + (1 - 2 * color) * share

    def looked_up(self, node: Any, output: Any) -> Color | None:
        """An image's colours at the points' coordinates on it, or its mean if those are unknown; None if it cannot be read."""
        pixels = self._images.pixels(node.image)
        if pixels is None:
            return None
        pixels = self._lightness(node, pixels) if output.name == "Alpha" and self._images.factors else channels(pixels, output)
        try:
            places = self._places(node)
        except _OtherCoordinates:
            self._images.note(f"how the image {node.image.name!r} is laid on is not understood: its mean is taken")
            places = None
        if places is None:
            return pixels.reshape(-1, 3).mean(0, keepdims=True)
        high, wide = pixels.shape[:2]
        columns, rows = np.floor(_WRAPS[node.extension](places) * [wide, high]).astype(int).T
        return pixels[np.clip(rows, 0, high - 1), np.clip(columns, 0, wide - 1)]

    @staticmethod
    def _lightness(node: Any, pixels: np.ndarray) -> np.ndarray:
        """An image as the opacity of an ``.obj``: its alpha or, if it is opaque and no other node uses it, its lightness."""
        shared = any(other != node and getattr(other, "image", None) == node.image for other in node.id_data.nodes)
        opacity = pixels[..., 3:] if shared or pixels[..., 3].min() < 1 else pixels[..., :3].mean(-1, keepdims=True)
        return np.repeat(opacity, 3, axis=-1)

    def inside(self, node: Any, output: Any, evaluate: Callable[[Tree, Any], T]) -> T:
        """``evaluate`` at the socket in a group that feeds its output."""
        if len(self._outer) > 20 or node.node_tree is None:
            raise NotUnderstood("groups in groups")
        end = next((n for n in node.node_tree.nodes if n.type == "GROUP_OUTPUT" and n.is_active_output), None)
        inner = next((socket for socket in end.inputs if socket.identifier == output.identifier), None) if end else None
        if inner is None:
            raise NotUnderstood(f"the group {node.node_tree.name!r}")
        return evaluate(Tree(self._surface, self._images, (*self._outer, node)), inner)

    def outside(self, output: Any, evaluate: Callable[[Tree, Any], T]) -> T:
        """``evaluate`` at the outer socket that feeds a group's input."""
        outer = next((socket for socket in self._outer[-1].inputs if socket.identifier == output.identifier), None) if self._outer else None
        if outer is None:
            raise NotUnderstood("the input of a group")
        return evaluate(Tree(self._surface, self._images, self._outer[:-1]), outer)

    def _blended(self, node: Any, share: Any, first: Any, second: Any) -> Color | None:
        if node.blend_type not in _BLENDS:
            raise NotUnderstood(f"the node {node.bl_label!r} that blends by {node.blend_type.title().replace('_', ' ')!r}")
        much, a, b = self.color(share), self.color(first), self.color(second)
        if much is None or a is None or b is None:
            return b if a is None else a
        return a + (_BLENDS[node.blend_type](a, b) - a) * np.clip(much, 0, 1)

    def _glow(self, color: Any, strength: Any) -> Color | None:
        """Colour times strength, scaled so that no channel exceeds 1, because hue counts; the colour if strength is unknown."""
        much = self.color(strength)
        if much is not None and not much.any():
            return np.zeros((1, 3))
        hue = self.color(color)
        if hue is None or much is None:
            return hue
        light = hue * np.maximum(much, 0)
        return light / np.maximum(1, light.max(1, keepdims=True))

    def _attribute(self, node: Any, output: Any, name: str) -> Color:
        found = self._surface.vertex_colors(name) if output.name in ("Color", "Alpha") else None
        if found is None:
            raise NotUnderstood(f"the node {node.bl_label!r} asks for {name!r}, which are no vertex colours of the mesh")
        return channels(found, output)

    def _places(self, node: Any) -> np.ndarray | None:
        """The points' coordinates on an image, (N, 2); None if the mesh has no UV coordinates."""
        if node.projection != "FLAT":
            raise _OtherCoordinates
        return self._surface.uv() if source(node.inputs["Vector"]) is None else self._vector(node.inputs["Vector"])

    def _vector(self, socket: Any) -> np.ndarray | None:
        """The first two coordinates (N, 2) at a socket; None if the mesh has no UV coordinates."""
        found = source(socket)
        if found is None or found[0].type not in _VECTORS:
            raise _OtherCoordinates
        return _VECTORS[found[0].type](self, *found)

    def uv_map(self, node: Any, _: Any) -> np.ndarray | None:
        """The UV coordinates that the node names."""
        return self._surface.uv(node.uv_map)

    def uv_output(self, _: Any, output: Any) -> np.ndarray | None:
        """The mesh's UV coordinates."""
        if output.name != "UV":
            raise _OtherCoordinates
        return self._surface.uv()

    def mapped(self, node: Any, _: Any) -> np.ndarray | None:
        """Coordinates scaled, rotated about Z, and shifted."""
        if node.vector_type != "POINT" or any(node.inputs[name].is_linked for name in ("Location", "Rotation", "Scale")):
            raise _OtherCoordinates
        places = self._vector(node.inputs["Vector"])
        if places is None:
            return None
        location, rotation, scale = (np.array(node.inputs[name].default_value) for name in ("Location", "Rotation", "Scale"))
        cos, sin = np.cos(rotation[2]), np.sin(rotation[2])
        shifted: np.ndarray = places * scale[:2] @ np.array([[cos, sin], [-sin, cos]]) + location[:2]
        return shifted

    def combined(self, node: Any, _: Any) -> np.ndarray | None:
        """Two coordinates, each wrapped in its own way."""
        first, second = (self._coordinate(node.inputs[axis]) for axis in (0, 1))
        return None if first is None or second is None else np.stack([first, second], axis=1)

    def _coordinate(self, socket: Any) -> np.ndarray | None:
        found = source(socket)
        if found is None:
            raise _OtherCoordinates
        node, output = found
        if node.type == "MATH" and node.operation in _REPEATS:
            inner = self._coordinate(node.inputs[0])
            return None if inner is None else _REPEATS[node.operation](inner)
        if node.type != "SEPXYZ" or output.name not in ("X", "Y"):
            raise _OtherCoordinates
        places = self._vector(node.inputs[0])
        return None if places is None else places[:, 0] if output.name == "X" else places[:, 1]


_SHADERS: dict[str, Callable[[Tree, Any, Any], Color | None]] = {
    "BSDF_PRINCIPLED": Tree.principled,
    "EMISSION": Tree.emission,
    "BACKGROUND": Tree.emission,
    "BSDF_TRANSPARENT": Tree.nothing,
    "HOLDOUT": Tree.nothing,
    "MIX_SHADER": Tree.mixed,
    "ADD_SHADER": Tree.added,
    "GROUP": lambda tree, node, output: tree.inside(node, output, Tree.shader),
    "GROUP_INPUT": lambda tree, _, output: tree.outside(output, Tree.shader),
}
_COLORS: dict[str, Callable[[Tree, Any, Any], Color | None]] = {
    "RGB": Tree.constant,
    "VALUE": Tree.constant,
    "TEX_IMAGE": Tree.looked_up,
    "VERTEX_COLOR": Tree.vertex_color,
    "ATTRIBUTE": Tree.attribute,
    "LIGHT_PATH": Tree.light_path,
    "MIX": Tree.mix,
    "MIX_RGB": Tree.mix,
    "GAMMA": Tree.gamma,
    "INVERT": Tree.invert,
    "VECT_MATH": Tree.vector_math,
    "MATH": Tree.math,
    "GROUP": lambda tree, node, output: tree.inside(node, output, Tree.color),
    "GROUP_INPUT": lambda tree, _, output: tree.outside(output, Tree.color),
}
_OPACITIES: dict[str, Callable[[Tree, Any, Any], Color]] = {
    "BSDF_PRINCIPLED": Tree.principled_opacity,
    "BSDF_TRANSPARENT": lambda tree, node, output: np.zeros((1, 3)),
    "HOLDOUT": lambda tree, node, output: np.zeros((1, 3)),
    "MIX_SHADER": Tree.mixed_opacity,
    "GROUP": lambda tree, node, output: tree.inside(node, output, Tree.opacity),
    "GROUP_INPUT": lambda tree, _, output: tree.outside(output, Tree.opacity),
}
"""How to compute the opacity of a type of shader; all other types are opaque."""
_VECTORS: dict[str, Callable[[Tree, Any, Any], np.ndarray | None]] = {
    "UVMAP": Tree.uv_map,
    "TEX_COORD": Tree.uv_output,
    "MAPPING": Tree.mapped,
    "COMBXYZ": Tree.combined,
}
_SUMS: dict[str, Callable[[Color, Color, Color], Color]] = {
    "ADD": lambda a, b, _: a + b,
    "SUBTRACT": lambda a, b, _: a - b,
    "MULTIPLY": lambda a, b, _: a * b,
    "MULTIPLY_ADD": lambda a, b, c: a * b + c,
}
_MATH: dict[str, Callable[[Color, Color, Color], Color]] = _SUMS | {
    "LESS_THAN": lambda a, b, _: (a < b).astype(float),
    "GREATER_THAN": lambda a, b, _: (a > b).astype(float),
    "ROUND": lambda a, *_: np.floor(a + 0.5),
    "MINIMUM": lambda a, b, _: np.minimum(a, b),
    "MAXIMUM": lambda a, b, _: np.maximum(a, b),
}
_REPEATS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"WRAP": lambda x: x % 1, "PINGPONG": lambda x: 1 - np.abs(x % 2 - 1)}
"""How a Math node wraps a coordinate into [0, 1]; Blender's glTF reader makes such nodes."""
_WRAPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "REPEAT": lambda places: places % 1,
    "EXTEND": lambda places: places.clip(0, 1),
    "CLIP": lambda places: places.clip(0, 1),
    "MIRROR": lambda places: 1 - np.abs(places % 2 - 1),
}
