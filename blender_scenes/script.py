"""A tidy scene as a script for plain Blender, which needs nothing of this project and renders to the same picture.

Its values stand first, as plain Python; `blender_scenes.standalone` follows, then the meshes and images, packed. No text of others is
copied into it: names are written as literals. Importing this imports bpy.
"""

from __future__ import annotations

import base64
import inspect
import textwrap
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bpy

from blender_scenes import standalone
from blender_scenes.tidy import COLLECTIONS
from blender_scenes.written_down import Unwritable, Values, changed, of_mesh, of_object, of_tree, settings_of
from datagen.errors import UserError

MOST_BYTES = 64 << 20
"""The longest script that is written: an editor opens no longer ones."""
_WIDTH = 120
_SHOWN = {"MESH", "LIGHT", "CAMERA"}
_HEAD = '''\
"""A scene for Blender, written by igllm {igllm} with Blender {blender}. It needs Blender alone:

    blender -b -P {{this file}} -- OUT.png      renders it
    blender -P {{this file}}                    opens it in a window
    python {{this file}} OUT.png                renders it with the package bpy

Without OUT.png the picture lies beside this file. Metres, degrees, linear light; edit what you like.
"""
'''


def save_script(scene: bpy.types.Scene, empty: Values, path: Path) -> None:
    """Write the open, tidy scene to `path` as a script; `empty` are an empty scene's settings. `UserError` for what a script cannot hold,
    or if it would have over `MOST_BYTES`."""
    try:
        text = script_text(scene, empty)
    except Unwritable as error:
        raise UserError(f"no script can be written of it: its Blender scene has {error}; take its .blend file") from None
    if len(text) > MOST_BYTES:
        size, most = (f"{count / (1 << 20):,.1f} MiB" for count in (len(text), MOST_BYTES))
        raise UserError(f"its script, with all meshes and images, would have {size}; at most {most} are written: take its .blend file")
    path.write_text(text, encoding="ascii")


def script_text(scene: bpy.types.Scene, empty: Values) -> str:
    """The text of the script, in ASCII. `Unwritable` for what it cannot hold."""
    parcels: dict[str, bytes] = {}
    values, packed = _values(scene, empty), _packed(parcels)
    head = _HEAD.format(igllm=version("igllm"), blender=bpy.app.version_string)
    code = "import array\n" + inspect.getsource(standalone).partition("\nimport array\n")[2]
    shown, hidden = ("\n\n".join(f"{name} = {literal(value)}" for name, value in block.items()) for block in (values, packed))
    contents = f"PACKED = {{\n{''.join(map(_parcel, parcels, parcels.values()))}}}"
    return "\n".join([head, shown, "", code.rstrip(), "", "", hidden, "", contents, "", 'if __name__ == "__main__":', "    main()", ""])


def _values(scene: bpy.types.Scene, empty: Values) -> Values:
    """The values that people may want to change, by the script's names for them."""
    placed = {name: [of_object(thing) for thing in bpy.data.collections[name].objects] for name in COLLECTIONS}
    if any(thing["type"] not in _SHOWN for things in placed.values() for thing in things):
        raise Unwritable("objects that are neither meshes nor lamps nor cameras")
    world = scene.world
    return {
        "NAME": scene.name,
        "OBJECTS": placed["objects"],
        "LAMPS": placed["lamps"],
        "STAGE": placed["stage"],
        "LIGHTS": {light.name: light_facts(light) for light in bpy.data.lights},
        "CAMERAS": {camera.name: _of_block(camera, bpy.data.cameras) for camera in bpy.data.cameras},
        "SETTINGS": {path: value for path, value in settings_of(scene).items() if value != empty[path]},
        "WORLD": {"name": world.name, "set": _of_block(world, bpy.data.worlds), **of_tree(world.node_tree)},
        "MATERIALS": {material.name: of_tree(material.node_tree) for material in bpy.data.materials},
    }


def _packed(parcels: dict[str, bytes]) -> Values:
    """What describes the content of meshes and images, which is put into `parcels`, equal content once."""
    meshes: Values = {}
    images: Values = {}
    for mesh in bpy.data.meshes:
        meshes[mesh.name], content = of_mesh(mesh)
        meshes[mesh.name]["packed"] = _put(parcels, f"mesh {mesh.name}", content)
    for image in bpy.data.images:
        if image.source == "FILE":
            if image.packed_file is None:
                raise Unwritable("an image that is not there")
            settings = {"colorspace_settings.name": image.colorspace_settings.name, "alpha_mode": image.alpha_mode}
            images[image.name] = {"set": settings, "packed": _put(parcels, f"image {image.name}", image.packed_file.data)}
    return {"MESHES": meshes, "IMAGES": images}


def _put(parcels: dict[str, bytes], name: str, content: bytes) -> str:
    """The name of the parcel with this content: `name` if there was none yet."""
    found = next((known for known, other in parcels.items() if other == content), name)
    parcels[found] = content
    return found


def light_facts(light: bpy.types.Light) -> Values:
    """A light's type, and what is set on it."""
    fresh = bpy.data.lights.new("fresh", light.type)
    try:
        return {"type": light.type, "set": changed(light, fresh, ("name", "use_fake_user"))}
    finally:
        bpy.data.lights.remove(fresh)


def _of_block(block: Any, blocks: Any) -> Values:
    fresh = blocks.new("fresh")
    try:
        return changed(block, fresh, ("name", "angle", "angle_x", "angle_y"))  # a camera's angles are those of its lens
    finally:
        blocks.remove(fresh)


def literal(value: Any, indent: int = 0, before: int = 0) -> str:
    """A value as Python in ASCII: on one line, or in brackets over several where that would be too long. ``indent`` is that of its line, on
    which it follows so many characters."""
    text = ascii(value)
    if indent + before + len(text) < _WIDTH or not isinstance(value, dict | list | tuple) or not value:
        return text
    inner = " " * (indent + 4)
    if isinstance(value, dict):
        lines = [f"{name!a}: {literal(each, indent + 4, len(ascii(name)) + 2)}" for name, each in value.items()]
        opening, closing = "{}"
    else:
        lines = [literal(each, indent + 4) for each in value]
        opening, closing = "[]" if isinstance(value, list) else "()"
    return opening + "\n" + "".join(f"{inner}{line},\n" for line in lines) + " " * indent + closing


def _parcel(name: str, content: bytes) -> str:
    """An entry of PACKED: bytes, compressed, in lines of letters."""
    letters = base64.b64encode(zlib.compress(content, 9)).decode()
    lines = "".join(f'        "{line}"\n' for line in textwrap.wrap(letters, _WIDTH) or [""])
    return f"    {name!a}: (\n{lines}    ),\n"
