"""Sample points on a part of a mesh, at which images and vertex colours are looked up. Importing this imports bpy."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import bpy
import numpy as np

_POINTS = 4096  # sample points on a whole surface, about
_LEAST, _MOST = 4, 1024  # on one triangle


class Surface:
    """Sample points, spread evenly over each of some triangles of a mesh; equal for equal meshes. ``by_vertex``: whether vertex colours
    were looked up."""

    def __init__(self, mesh: bpy.types.Mesh, chosen: np.ndarray, areas: np.ndarray) -> None:
        """`chosen` (T,) are the indices of the triangles, `areas` (T,) their areas."""
        self._mesh, self._chosen, self._areas = mesh, chosen, areas
        self._each = int(np.clip(-(-_POINTS // max(len(chosen), 1)), _LEAST, _MOST))
        self.by_vertex = False

    @cached_property
    def _corners(self) -> np.ndarray:
        """The barycentric coordinates of a triangle's points, the same in every triangle, (points per triangle, 3)."""
        first, second = np.array([0.7548776662466927, 0.5698402909980532])[:, None] * np.arange(1, self._each + 1) % 1  # the R2 sequence
        beyond = first + second > 1
        first, second = np.where(beyond, 1 - first, first), np.where(beyond, 1 - second, second)
        return np.stack([1 - first - second, first, second], axis=1)

    def mean(self, color: np.ndarray, opacity: np.ndarray) -> np.ndarray:
        """The mean (3,) of colours, (N, 3) or (1, 3), weighted by area and opacity, (N,) or (1,); by area alone if nothing shows."""
        if len(color) == 1:
            return color[0]
        areas = np.repeat(self._areas, self._each)
        weights = next((each for each in (areas * opacity, areas) if each.sum() > 0), None)
        mean: np.ndarray = np.average(color, axis=0, weights=weights)
        return mean

    def uv(self, name: str = "") -> np.ndarray | None:
        """The points' UV coordinates (N, 2) in the layer of that name, by default the rendered one; None if there is none."""
        layers = self._mesh.uv_layers
        layer = layers.get(name) if name else next((each for each in layers if each.active_render), None)
        if layer is None or not len(layer.uv):
            return None
        return np.nan_to_num(self._blended(read(layer.uv, "vector", 2, np.float32), "CORNER"))

    def vertex_colors(self, name: str = "") -> np.ndarray | None:
        """The points' linear vertex colours and opacity (N, 4), of the layer of that name, by default the rendered one; None without it."""
        layers = self._mesh.color_attributes
        at = layers.find(name) if name else layers.render_color_index
        if not 0 <= at < len(layers) or layers[at].domain not in ("POINT", "CORNER"):
            return None
        self.by_vertex = True
        return np.nan_to_num(self._blended(read(layers[at].data, "color", 4, np.float32), layers[at].domain))

    def _blended(self, values: np.ndarray, domain: str) -> np.ndarray:
        """Values per corner or per vertex, interpolated at the points: (N, width)."""
        corners = read(self._mesh.loop_triangles, "loops" if domain == "CORNER" else "vertices", 3, np.int32)[self._chosen]
        return np.einsum("kc,tcv->tkv", self._corners, values[corners].astype(float)).reshape(-1, values.shape[1])


def read(collection: Any, name: str, width: int, kind: type) -> np.ndarray:
    """A property of all items of a Blender collection, (items, width)."""
    values: np.ndarray = np.empty(len(collection) * width, kind)
    collection.foreach_get(name, values)
    return values.reshape(-1, width)
