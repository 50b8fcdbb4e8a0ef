"""The colours of materials as plain numbers. Importing this imports bpy."""

from __future__ import annotations

from dataclasses import dataclass, field

import bpy
import numpy as np

from blender_scenes.nodes import Tree
from blender_scenes.pixels import NoPixels, linear_pixels
from blender_scenes.sockets import Color, NotUnderstood, product
from blender_scenes.surface import Surface


@dataclass
class Painter:
    """The colours of one file's materials. With ``factors``, a texture is multiplied by the colour of the socket that it is linked to, as
    in ``.obj`` files. Irregularities of the file are appended to ``notes``."""

    factors: bool
    notes: list[str] = field(default_factory=list)
    _images: dict[str, np.ndarray | None] = field(default_factory=dict)

    def color(self, material: bpy.types.Material | None, surface: Surface) -> Color | None:
        """A material's linear colour at a surface's points, (N, 3) or (1, 3); None if the file states none or it is not understood."""
        if material is None:
            return self._vertex_colors(surface)
        shown = self._shown(material, surface)
        return product(shown, self._vertex_colors(surface)) if self.factors and shown is not None else shown

    def opacity(self, material: bpy.types.Material | None, surface: Surface) -> np.ndarray:
        """A material's opacity, 0 to 1, at the points of a surface, (N,), or everywhere, (1,)."""
        output = material.node_tree.get_output_node("ALL") if material is not None and material.node_tree is not None else None
        if material is None or output is None:
            return np.ones(1)
        try:
            return np.clip(Tree(surface, self).opacity(output.inputs["Surface"])[:, 0], 0, 1)
        except NotUnderstood as error:
            self.note(f"where the material {material.name!r} shows is not understood ({error}): all of it is counted")
            return np.ones(1)

    @staticmethod
    def _vertex_colors(surface: Surface) -> Color | None:
        found = surface.vertex_colors()
        return None if found is None else found[:, :3]

    def _shown(self, material: bpy.types.Material, surface: Surface) -> Color | None:
        name = material.name
        if material.node_tree is None:
            return np.array([material.diffuse_color[:3]], float)
        output = material.node_tree.get_output_node("ALL")
        if output is None or not output.inputs["Surface"].is_linked:
            self.note(f"the material {name!r} has no surface: grey is taken")
            return None
        try:
            return Tree(surface, self).shader(output.inputs["Surface"])
        except NotUnderstood as error:
            self.note(f"the colour of the material {name!r} is not understood ({error}): grey is taken")
            return None

    def pixels(self, image: bpy.types.Image | None) -> np.ndarray | None:
        """An image's linear pixels with opacity (height, width, 4), the lowest row first; None for no image, or one that cannot be read."""
        if image is None:
            return None
        if image.name_full not in self._images:
            self._images[image.name_full] = self._read(image)
        return self._images[image.name_full]

    def _read(self, image: bpy.types.Image) -> np.ndarray | None:
        try:
            return linear_pixels(image)
        except NoPixels as error:
            name = bpy.path.basename(image.filepath) or image.name
            if not any(f"{name}'" in note for note in self.notes):  # a missing file may have its note already
                self.note(f"the image {name!r} {error}: the colour is taken without it")
            return None

    def note(self, text: str) -> None:
        """Add a note, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)
