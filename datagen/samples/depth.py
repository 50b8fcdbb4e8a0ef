"""Depth on request: how far everything in the frame is, objects and the ground alike, by the same ray cast as the labels."""

from __future__ import annotations

import io

import numpy as np

from datagen.domains.base import Domain
from datagen.geometry.camera import rays
from datagen.geometry.ground import sweep_for
from datagen.geometry.view import View
from datagen.samples.labels import view_of
from datagen.scene import Camera, Scene, Shot


def depth_map(view: View, camera: Camera, domain: Domain) -> np.ndarray:
    """Metres along the camera's axis to what each pixel's centre shows: (height, width) float32, infinity where nothing is.

    ValueError for a view without depth.
    """
    if view.depth is None:
        raise ValueError(f"the {domain.name} domain has no depth")
    height, width = view.depth.shape
    behind: float | np.ndarray = np.inf
    if domain.ground is not None:
        behind = sweep_for(domain.ground, camera, width, height).depth(rays(camera, width, height))
    return np.minimum(view.depth, behind).astype(np.float32)


def encode_depth(depth: np.ndarray) -> bytes:
    """A ``.npy`` file, little-endian float32: 4 bytes a pixel, where float16 would be off by up to 8 mm at CLEVR's 7 to 29 m."""
    stream = io.BytesIO()
    np.save(stream, depth.astype("<f4"), allow_pickle=False)
    return stream.getvalue()


def depth_file(scene: Scene, domain: Domain, shot: Shot, view: View | None = None) -> bytes:
    """The content of a sample's depth file; `view` is what `datagen.samples.labels.view_of` would give, where it is at hand."""
    return encode_depth(depth_map(view or view_of(scene, domain, shot), shot.viewpoint, domain))
