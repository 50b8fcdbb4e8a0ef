"""Blender's data as plain Python values, from which `blender_scenes.standalone` makes them again, to the bit. Importing this imports bpy.

What is written of a block is what differs from a fresh block of its kind, so that whatever a builder sets is in it. `Unwritable` for what
has no place there: modifiers, constraints, animation, groups of nodes and others.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np

_SIMPLE = {"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"}
_OF_THE_EDITOR = {
    "name",
    "label",
    "location",
    "location_absolute",
    "width",
    "height",
    "select",
    "color",
    "use_custom_color",
    "hide",
    "parent",
}
_OF_THE_EDITOR |= {"show_options", "show_preview", "show_texture", "is_active_output", "warning_propagation"}
"""Properties of nodes that say how they are drawn, not what they do."""
_NO_SETTINGS = {"render.filepath", "render.engine", "cycles.name"}
_FIELDS = {
    "FLOAT": ("value", "f", 1),
    "INT": ("value", "i", 1),
    "INT8": ("value", "b", 1),
    "BOOLEAN": ("value", "b", 1),
    "FLOAT_VECTOR": ("vector", "f", 3),
    "FLOAT2": ("vector", "f", 2),
    "INT16_2D": ("value", "h", 2),
    "FLOAT_COLOR": ("color", "f", 4),
    "BYTE_COLOR": ("color", "f", 4),
}
"""By type of a mesh's attribute: the field that holds its numbers, their type as in `array`, and how many there are for each element."""
Values = dict[str, Any]


class Unwritable(Exception):
    """A part of a scene that cannot be written down; the message says what it is, as "an object with modifiers"."""


def changed(block: Any, fresh: Any, skipped: Iterable[str] = (), parts: bool = True) -> Values:
    """The simple properties of a block that differ from those of a fresh one, by name; with ``parts`` those of its parts, by a path."""
    values: Values = {}
    left_out = {"rna_type", "type", "original", *skipped}
    for prop in block.bl_rna.properties:
        name = prop.identifier
        if name in left_out or name.startswith("bl_"):
            continue
        if prop.type in _SIMPLE and not prop.is_readonly:
            own, other = plain(getattr(block, name)), plain(getattr(fresh, name, None))
            if own != other:
                values[name] = own
        elif parts and prop.type == "POINTER" and not _is_block(prop.fixed_type):
            part, other = getattr(block, name, None), getattr(fresh, name, None)
            if part is not None and other is not None and part.bl_rna == other.bl_rna:
                values |= {f"{name}.{inner}": value for inner, value in changed(part, other, parts=False).items()}
    return values


def settings_of(scene: bpy.types.Scene) -> Values:
    """A scene's settings that a picture depends on, by path."""
    values: Values = {}
    for part in ("render", "cycles", "view_settings", "display_settings"):
        holder = getattr(scene, part)
        for prop in holder.bl_rna.properties:
            path = f"{part}.{prop.identifier}"
            if prop.type in _SIMPLE and not prop.is_readonly and path not in _NO_SETTINGS:
                values[path] = plain(getattr(holder, prop.identifier))
    return values


def of_object(thing: bpy.types.Object) -> Values:
    """An object: what it shows and how it is placed."""
    for name in ("modifiers", "constraints", "particle_systems"):
        if len(getattr(thing, name)):
            raise Unwritable(f"an object with {name.replace('_', ' ')}")
    if thing.parent is not None or thing.animation_data is not None or thing.instance_type != "NONE":
        raise Unwritable("an object with a parent, animation or instances")
    if thing.rotation_mode != "XYZ":
        raise Unwritable("an object that is not turned by Euler angles")
    facts: Values = {"name": thing.name, "type": thing.type, "shows": thing.data.name}
    facts["location"] = plain(thing.location)
    facts["rotation"] = tuple(_degrees(angle) for angle in thing.rotation_euler)
    if any(side != 1 for side in thing.scale):
        facts["scale"] = plain(thing.scale)
    if plain(thing.color) != (1.0, 1.0, 1.0, 1.0):
        facts["color"] = plain(thing.color)
    if thing.hide_viewport:
        facts["hide_viewport"] = True
    if any(slot.link == "OBJECT" for slot in thing.material_slots):
        facts["materials"] = [slot.material.name if slot.material else None for slot in thing.material_slots]
    return facts


def of_mesh(mesh: bpy.types.Mesh) -> tuple[Values, bytes]:
    """A mesh: its materials and the layout of its numbers, and the numbers."""
    if mesh.shape_keys is not None:
        raise Unwritable("a mesh with shape keys")
    columns = [
        _column(mesh.vertices, "co", "f", 3),
        _column(mesh.loops, "vertex_index", "i", 1),
        _column(mesh.polygons, "loop_start", "i", 1),
    ]
    attributes = []
    for attribute in mesh.attributes:
        if attribute.name == "position" or attribute.name.startswith("."):
            continue
        if attribute.data_type not in _FIELDS:
            raise Unwritable(f"a mesh with the attribute {attribute.name!r}")
        field, kind, each = _FIELDS[attribute.data_type]
        attributes.append((attribute.name, attribute.data_type, attribute.domain, field))
        columns.append(_column(attribute.data, field, kind, each))
    layout = [(column.typecode, len(column)) for column in columns]
    names = [material.name if material else None for material in mesh.materials]
    return {"materials": names, "layout": layout, "attributes": attributes}, b"".join(column.tobytes() for column in columns)


def of_tree(tree: bpy.types.NodeTree) -> Values:
    """A tree of shader nodes: each node's type, settings and values, and the links between them."""
    fresh = bpy.data.materials.new("fresh")
    try:
        numbers = {node: number for number, node in enumerate(tree.nodes)}
        nodes = [_of_node(node, fresh.node_tree.nodes.new(node.bl_idname)) for node in tree.nodes]
    finally:
        bpy.data.materials.remove(fresh)
    links = [(numbers[link.from_node], _at(link.from_socket), numbers[link.to_node], _at(link.to_socket)) for link in tree.links]
    return {"nodes": nodes, "links": links}


def plain(value: Any) -> Any:
    """A property's value as plain Python: numbers in the fewest digits that give the same 32-bit number, vectors as tuples."""
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float):
        return short(value)
    if isinstance(value, set):
        return value
    return tuple(plain(part) for part in value)


def short(value: float) -> float:
    """The shortest number that has the same value as a 32-bit float."""
    return float(str(np.float32(value)))


def _of_node(node: Any, fresh: Any) -> tuple[str, Values, dict[int, Any], dict[int, Any]]:
    if node.type in ("GROUP", "SCRIPT") or node.mute:
        raise Unwritable(f"a material with the node {node.bl_label!r}")
    settings = changed(node, fresh, _OF_THE_EDITOR)
    for prop in node.bl_rna.properties:
        if prop.type != "POINTER" or prop.identifier in {"rna_type", *_OF_THE_EDITOR}:
            continue
        part = getattr(node, prop.identifier)
        if prop.identifier == "image" and part is not None:
            settings["image"] = part.name
        elif part is not None and (_is_block(prop.fixed_type) or _has_items(part)):
            raise Unwritable(f"a material with the node {node.bl_label!r}")
    # After the settings, for some nodes change their sockets by them.
    values: list[dict[int, Any]] = []
    for path, value in settings.items():
        if path != "image" and "." not in path:
            setattr(fresh, path, value)
    for own, other in ((node.inputs, fresh.inputs), (node.outputs, fresh.outputs)):
        pairs = [(number, socket, other[number]) for number, socket in enumerate(own) if hasattr(socket, "default_value")]
        values.append({n: plain(a.default_value) for n, a, b in pairs if plain(a.default_value) != plain(b.default_value)})
    return node.bl_idname, settings, values[0], values[1]


def _at(socket: Any) -> int:
    """The number of a socket among its node's."""
    sockets = socket.node.outputs if socket.is_output else socket.node.inputs
    return next(number for number, each in enumerate(sockets) if each == socket)


def _column(collection: Any, field: str, kind: str, each: int) -> array[Any]:
    column = array(kind, bytes(array(kind).itemsize * len(collection) * each))
    if kind in "bh":  # Blender fills no buffers of these
        numbers = [0] * len(column)
        collection.foreach_get(field, numbers)
        return array(kind, map(int, numbers))
    collection.foreach_get(field, column)
    return column


def _degrees(radians: float) -> float:
    """The shortest angle in degrees that is this 32-bit number of radians."""
    exact = math.degrees(radians)
    return next(
        angle
        for decimals in range(17)
        if np.float32(math.radians(angle := round(exact, decimals) + 0.0)) == np.float32(radians) or decimals == 16
    )


def _is_block(kind: Any) -> bool:
    """Whether a type is one of data that have names and users of their own, as images have."""
    return isinstance(kind, bpy.types.Struct) and _derives(kind, "ID")


def _derives(kind: Any, name: str) -> bool:
    while kind is not None:
        if kind.identifier == name:
            return True
        kind = kind.base
    return False


def _has_items(part: Any) -> bool:
    """Whether a part holds a collection, such as the colours of a ramp, which `changed` does not see."""
    return any(prop.type == "COLLECTION" and len(getattr(part, prop.identifier)) for prop in part.bl_rna.properties)
