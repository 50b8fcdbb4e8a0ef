"""The colours of materials as plain numbers. Importing this imports bpy."""

from __future__ import annotations

from dataclasses import dataclass, field

import bpy
import numpy as np

from blender_scenes.nodes import Color, NotUnderstood, Tree, product
from blender_scenes.pixels import linear_pixels
from blender_scenes.surface import Surface


@dataclass
class Painter:
    """The colours of one file's materials. ``factors`` says that a texture is multiplied by the colour of the socket that it is linked
    to, as an ``.obj`` means it; ``notes`` grow by what is not as it should be."""

    factors: bool
    notes: list[str] = field(default_factory=list)
    _images: dict[str, np.ndarray | None] = field(default_factory=dict)

    def color(self, material: bpy.types.Material | None, surface: Surface) -> Color | None:
        """What a material shows on a surface; None where nothing says so, or it is not understood."""
        if material is None:
            return surface.vertex_colors()
        shown = self._shown(material, surface)
        return product(shown, surface.vertex_colors()) if self.factors and shown is not None else shown

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
        """The linear pixels (height, width, 3) of an image, the lowest row first; None for one that cannot be read."""
        if image is None:
            return None
        if image.name_full not in self._images:
            self._images[image.name_full] = found = linear_pixels(image)
            if found is None:
                name = bpy.path.basename(image.filepath) or image.name
                if not any(f"{name}'" in note for note in self.notes):  # that it is not there may be known already
                    self.note(f"the image {name!r} cannot be read: the colour is taken without it")
        return self._images[image.name_full]

    def note(self, text: str) -> None:
        """Take note, once, of what is not as it should be."""
        if text not in self.notes:
            self.notes.append(text)
