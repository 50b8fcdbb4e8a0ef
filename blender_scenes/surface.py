"""A part of a mesh as points to look up images and vertex colours at. Importing this imports bpy."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import bpy
import numpy as np

_POINTS = 4096  # on the whole of a surface
_LEAST, _MOST = 4, 1024  # on one triangle


class Surface:
    """Points, evenly over each of some of a mesh's triangles; the same for the same mesh. ``by_vertex`` says whether vertex colours were
    looked up."""

    def __init__(self, mesh: bpy.types.Mesh, chosen: np.ndarray, areas: np.ndarray) -> None:
        """Of the triangles whose numbers are `chosen` (T,), with their `areas` (T,)."""
        self._mesh, self._chosen, self._areas = mesh, chosen, areas
        self._each = int(np.clip(-(-_POINTS // max(len(chosen), 1)), _LEAST, _MOST))
        self.by_vertex = False

    @cached_property
    def _corners(self) -> np.ndarray:
        """How much of each of the corners there is in the points of every triangle, (points of one, 3)."""
        first, second = np.array([0.7548776662466927, 0.5698402909980532])[:, None] * np.arange(1, self._each + 1) % 1  # the R2 sequence
        beyond = first + second > 1
        first, second = np.where(beyond, 1 - first, first), np.where(beyond, 1 - second, second)
        return np.stack([1 - first - second, first, second], axis=1)

    def mean(self, color: np.ndarray, opacity: np.ndarray) -> np.ndarray:
        """The mean (3,) of a colour at the points, (N, 3) or (1, 3), by how much of each shows, (N,) or (1,); of all if nothing shows."""
        if len(color) == 1:
            return color[0]
        areas = np.repeat(self._areas, self._each)
        weights = next((each for each in (areas * opacity, areas) if each.sum() > 0), None)
        mean: np.ndarray = np.average(color, axis=0, weights=weights)
        return mean

    def uv(self, name: str = "") -> np.ndarray | None:
        """The points' places on an image, (N, 2): of the layer of that name, of the one that is rendered without one; None if there is
        none."""
        layers = self._mesh.uv_layers
        layer = layers.get(name) if name else next((each for each in layers if each.active_render), None)
        if layer is None or not len(layer.uv):
            return None
        return np.nan_to_num(self._blended(read(layer.uv, "vector", 2, np.float32), "CORNER"))

    def vertex_colors(self, name: str = "") -> np.ndarray | None:
        """The linear vertex colours at the points, with their opacity, (N, 4): of the layer of that name, of the one that is rendered
        without one; None if there are none."""
        layers = self._mesh.color_attributes
        at = layers.find(name) if name else layers.render_color_index
        if not 0 <= at < len(layers) or layers[at].domain not in ("POINT", "CORNER"):
            return None
        self.by_vertex = True
        return np.nan_to_num(self._blended(read(layers[at].data, "color", 4, np.float32), layers[at].domain))

    def _blended(self, values: np.ndarray, domain: str) -> np.ndarray:
        """Values of corners, or of vertices, between the corners of each point's triangle."""
        corners = read(self._mesh.loop_triangles, "loops" if domain == "CORNER" else "vertices", 3, np.int32)[self._chosen]
        return np.einsum("kc,tcv->tkv", self._corners, values[corners].astype(float)).reshape(-1, values.shape[1])


def read(collection: Any, name: str, width: int, kind: type) -> np.ndarray:
    """A property of all of Blender's items, (items, width)."""
    values: np.ndarray = np.empty(len(collection) * width, kind)
    collection.foreach_get(name, values)
    return values.reshape(-1, width)
