"""What a picture shows besides colour, as files beside it: depth, masks and normals, exact and cast with the same rays as the labels."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from datagen.domains.base import Domain
from datagen.domains.staged import StagedDomain
from datagen.errors import UserError
from datagen.geometry.camera import Rays, rays
from datagen.geometry.ground import sweep_for
from datagen.geometry.view import NOBODY, View
from datagen.samples.depth import depth_map, encode_floats
from datagen.samples.sample import DEPTH_SUFFIX, MASKS_SUFFIX, NORMALS_SUFFIX
from datagen.scene import Scene, Shot

MOST_IN_PALETTE = 255  # objects of which an image of 8 bits can tell; of more it has 16
_AT_ONCE = 2**18  # rays whose normals are computed together; each takes some 500 bytes


def check_passes(passes: Sequence[str], domain: Domain) -> None:
    """`UserError` if a domain lacks one of these passes: depth and normals are of domains with a stage."""
    if passes and set(passes) != {"masks"} and not isinstance(domain, StagedDomain):
        raise UserError(f"the {domain.name} domain is flat: it has masks, but neither depth nor normals")


def pass_files(passes: Sequence[str], scene: Scene, domain: Domain, shot: Shot, view: View) -> dict[str, bytes]:
    """The files of these passes of a canonical scene by suffix, in the order of `SUFFIX_OF`."""
    check_passes(passes, domain)
    return {suffix: _ENCODED[name](scene, domain, shot, view) for name, suffix in SUFFIX_OF.items() if name in passes}


def mask_map(view: View) -> np.ndarray:
    """Which object each pixel shows: (height, width) uint16, 0 for none, and 1 for the first object of the canonical scene."""
    return (view.owner - NOBODY).astype(np.uint16)


def normal_map(scene: Scene, domain: Domain, shot: Shot, view: View) -> np.ndarray:
    """The unit normal of the surface at each pixel's centre, on the camera's side: (height, width, 3) float32 in the world frame, Z up;
    zeros where there is no surface. The surfaces are those of `depth_map`: exact solids, flat triangles of meshes, facets of the ground.

    `UserError` for a domain without a stage, or whose solids have no normals.
    """
    check_passes(["normals"], domain)
    assert isinstance(domain, StagedDomain) and view.depth is not None
    grid = rays(shot.viewpoint, shot.width, shot.height)
    normals = np.zeros((shot.height, shot.width, 3), np.float32)
    for index, solid in enumerate(map(domain.solid, scene.objects)):
        of_solid = getattr(solid, "normals", None)
        if of_solid is None:
            raise UserError(f"the solids of the {domain.name} domain have no method `normals`")
        _fill(normals, view.owner == index, grid, of_solid)
    if domain.ground is not None:
        sweep = sweep_for(domain.ground, shot.viewpoint, shot.width, shot.height)
        before = depth_map(view, shot.viewpoint, domain)
        _fill(normals, np.isfinite(before) & (before < view.depth.astype(np.float32)), grid, sweep.normals)
    return normals


def _fill(normals: np.ndarray, mask: np.ndarray, grid: Rays, of_surface: Callable[[Rays], np.ndarray]) -> None:
    """Put a surface's normals, turned to the camera, where a mask shows it."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    across = slice(columns[0], columns[-1] + 1)
    step = max(1, _AT_ONCE // (across.stop - across.start))
    for first in range(rows[0], rows[-1] + 1, step):
        part = slice(first, min(first + step, rows[-1] + 1)), across
        window = grid.window(*part)
        found = of_surface(window)
        away = (found * np.moveaxis(window.along(np.eye(3)), 0, -1)).sum(-1, keepdims=True) > 0
        np.copyto(normals[part], np.where(away, -found, found), where=mask[part][..., None], casting="same_kind")


def encode_masks(masks: np.ndarray) -> bytes:
    """A PNG of `mask_map`'s result: 8 bits with a palette, or 16 bits of grey if there are more objects than a palette can tell."""
    stream = io.BytesIO()
    if masks.max(initial=0) > MOST_IN_PALETTE:
        Image.fromarray(masks).save(stream, "PNG")
    else:
        image = Image.fromarray(masks.astype(np.uint8))
        image.putpalette(_palette())
        image.save(stream, "PNG")
    return stream.getvalue()


def _palette() -> bytes:
    """The 256 colours of PASCAL VOC's masks: black for 0, and neighbours far apart, because bit k of red, green and blue, from the
    highest down, is bit 3k, 3k + 1 and 3k + 2 of the index."""
    index = np.arange(256)
    levels = [sum((index >> 3 * bit + channel & 1) << 7 - bit for bit in range(3)) for channel in range(3)]
    return np.stack(levels, axis=1).astype(np.uint8).tobytes()


_ENCODED: Mapping[str, Callable[[Scene, Domain, Shot, View], bytes]] = {
    "depth": lambda scene, domain, shot, view: encode_floats(depth_map(view, shot.viewpoint, domain)),
    "masks": lambda scene, domain, shot, view: encode_masks(mask_map(view)),
    "normals": lambda scene, domain, shot, view: encode_floats(normal_map(scene, domain, shot, view)),
}
SUFFIX_OF: Mapping[str, str] = {"depth": DEPTH_SUFFIX, "masks": MASKS_SUFFIX, "normals": NORMALS_SUFFIX}
"""The suffix of each pass's file."""
