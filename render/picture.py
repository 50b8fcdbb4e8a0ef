"""Code in, arrays out: one scene rendered in Python, with its exact depth, masks and normals and its camera's matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from datagen.code.grammar import parse_code
from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.geometry.camera import intrinsics, world_to_camera
from datagen.samples.depth import depth_map
from datagen.samples.in_code import stated_shot
from datagen.samples.labels import view_of
from datagen.samples.passes import check_passes, mask_map, normal_map
from datagen.scene import QUALITIES, Camera, Lamp, Quality, Scene, Shot, check_frame
from datagen.workers.jobs import RenderJob
from datagen.workers.pool import RenderPool
from render.other_shots import OtherShots
from render.rerender import OneByOne, warnings_of


@dataclass(frozen=True, eq=False)
class Picture:
    """A rendered scene.

    ``scene`` is the canonical one, whose objects ``masks`` number from 1; ``shot`` says how it was photographed; ``image`` is (height,
    width, 3) uint8, sRGB. What was not asked for is None: ``depth`` (height, width) float32, metres along the camera's axis, infinity where
    nothing is; ``masks`` (height, width) uint16, the number of the object that each pixel shows, 0 for none; ``normals`` (height, width, 3)
    float32, unit vectors in the world frame, on the camera's side, zeros where nothing is. ``K`` (3, 3), in pixels from the top left
    corner, and ``world_to_camera`` (4, 4), in metres and OpenCV's convention (X right, Y down, Z ahead), are None in a domain without a
    camera.
    ``warnings`` say what is odd about the scene: numbers out of their ranges, objects in each other.
    """

    scene: Scene
    shot: Shot
    image: np.ndarray
    depth: np.ndarray | None
    masks: np.ndarray | None
    normals: np.ndarray | None
    K: np.ndarray | None
    world_to_camera: np.ndarray | None
    warnings: tuple[str, ...]


def render_scene(
    code: str | Scene,
    *,
    domain: str = "clevr",
    shot: Shot | None = None,
    camera: Camera | None = None,
    lamps: Sequence[Lamp] | None = None,
    width: int | None = None,
    height: int | None = None,
    quality: Quality | None = None,
    depth: bool = False,
    masks: bool = False,
    normals: bool = False,
    pool: RenderPool | None = None,
) -> Picture:
    """Render graphics code of a `domain`, or a scene, which names its domain itself.

    ``shot`` is how it is photographed, such as a sample's (by default the domain's camera and lamps in 320x240 pixels at ``standard``);
    a camera and lamps that the code itself states take the place of those, and ``camera``, ``lamps`` and the frame, in pixels, of both.
    Blender starts for the call, which takes a second or two, unless a ``pool`` is given, which stays open: ``with RenderPool(1) as pool``.

    `CodeError` for code that does not parse; `UserError` for a scene that its domain refuses, for a camera or lamp that is unfit, for what
    a domain lacks, and if rendering fails.
    """
    kind = get_domain(code.domain if isinstance(code, Scene) else domain)
    check_passes([name for name, asked in (("depth", depth), ("masks", masks), ("normals", normals)) if asked], kind)
    written = code if isinstance(code, Scene) else parse_code(code, kind)
    kind.check(written)
    scene = kind.canonical(written)
    kind.check(scene)
    frame = {"width": width, "height": height, "quality": quality}
    otherwise = shot or kind.canonical_shot(320, 240, "standard")
    kind.check_shot(otherwise)
    shot = _changed(stated_shot(scene, kind, otherwise), kind, frame, camera, lamps)
    with nullcontext(pool) if pool else RenderPool(1) as workers:
        [(_, rendered)] = workers.render([RenderJob("picture", scene, shot)])
    if isinstance(rendered, UserError):
        raise rendered
    view = view_of(scene, kind, shot)
    return Picture(
        scene,
        shot,
        rendered.decoded().pixels(),
        depth_map(view, shot.viewpoint, kind) if depth else None,
        mask_map(view) if masks else None,
        normal_map(scene, kind, shot, view) if normals else None,
        intrinsics(shot.camera, shot.width, shot.height) if shot.camera else None,
        world_to_camera(shot.camera) if shot.camera else None,
        tuple(warnings_of(written, kind, shot)),
    )


def _changed(shot: Shot, domain: Domain, frame: Mapping[str, Any], camera: Camera | None, lamps: Sequence[Lamp] | None) -> Shot:
    """The shot with what is not None in the place of what it says. `UserError` if the domain has no such shot."""
    shot = replace(shot, **{name: value for name, value in frame.items() if value is not None})
    check_frame(shot.width, shot.height)
    if shot.quality not in QUALITIES:
        raise UserError(f"quality {shot.quality!r} is none of {', '.join(QUALITIES)}")
    domain.check_shot(shot)
    if camera is None and lamps is None:
        return shot
    cameras = () if camera is None else (camera,)
    others = OtherShots(OneByOne({"": (shot, domain)}, {}), cameras, lamps=None if lamps is None else tuple(lamps))
    return others.of({"": ""})[1].shot("")[0]
