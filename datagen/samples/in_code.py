"""Camera and lamps in code: a shot written into the header of a scene, and the shot that a header states."""

from __future__ import annotations

import math
from dataclasses import replace

from datagen.domains.base import Domain
from datagen.domains.staged import StagedDomain
from datagen.errors import UserError
from datagen.samples.cameras import CLEARANCE, LENS_MM, REACH
from datagen.samples.lamps import LEAST_REACH
from datagen.scene import Object, Scene, Shot


def headed(scene: Scene, shot: Shot, domain: StagedDomain, lamps: bool = True) -> tuple[Scene, Shot]:
    """The scene with its shot in its header, and the shot as the header states it: rounded, its noise seed a digest of the code.

    Without ``lamps``, the header has the camera alone. `UserError` if code cannot say the shot.
    """
    header = domain.header_of(shot if lamps else replace(shot, lamps=()))
    scene = domain.canonical(replace(scene, header=header))
    return scene, domain.shot_of(scene, shot)


def reheaded(scene: Scene, shot: Shot, domain: Domain) -> Scene:
    """The scene with what its header states replaced by the shot's: its camera, if it states one, and those of its lamps. `UserError` if
    code cannot say the shot."""
    if not scene.header or not isinstance(domain, StagedDomain):
        return scene
    lamps = {obj["name"] for obj in scene.header if obj.statement == "lamp"}
    header = domain.header_of(replace(shot, lamps=tuple(lamp for lamp in shot.lamps if lamp.name in lamps)))
    statements = {obj.statement for obj in scene.header}
    return replace(scene, header=tuple(obj for obj in header if obj.statement in statements))


def check_header(scene: Scene, domain: Domain) -> None:
    """Raise `UserError` for a camera in code that cannot take pictures, or a lamp that cannot shine."""
    for obj in scene.header:
        if obj.statement == "camera":
            _check_camera(obj, domain)
        else:
            _check_lamp(obj)


def stated_shot(scene: Scene, domain: Domain, otherwise: Shot) -> Shot:
    """The shot that a scene's header states, as `Domain.shot_of`; what it leaves open is as in ``otherwise``. `UserError` for what
    `check_header` refuses."""
    if not scene.header:
        return otherwise
    check_header(scene, domain)
    return domain.shot_of(domain.canonical(scene), otherwise)


def _check_camera(camera: Object, domain: Domain) -> None:
    location, target, lens = camera["loc"], camera["target"], camera["lens"]
    _check_place(location, "camera: loc")
    _check_place(target, "camera: target")
    if not LENS_MM[0] <= lens <= LENS_MM[1]:
        raise UserError(f"camera: lens {lens:g} must be in [{LENS_MM[0]:g}, {LENS_MM[1]:g}] mm")
    if math.dist(location, target) < CLEARANCE:
        raise UserError(f"camera: loc is {math.dist(location, target):g} m from its target; at least {CLEARANCE:g} m are needed")
    if domain.ground is not None and location[2] < CLEARANCE:
        raise UserError(f"camera: loc is {location[2]:g} m above the ground; at least {CLEARANCE:g} m are needed")


def _check_lamp(lamp: Object) -> None:
    name = f"lamp {lamp['name']}"
    _check_place(lamp["loc"], f"{name}: loc")
    if math.hypot(*lamp["loc"]) < LEAST_REACH:
        raise UserError(f"{name}: loc must be at least {LEAST_REACH:g} m from the origin, which lamps face")
    if lamp["power"] < 0:
        raise UserError(f"{name}: power {lamp['power']:g} must not be below 0 W")


def _check_place(place: tuple[float, float, float], what: str) -> None:
    if max(map(abs, place)) > REACH:
        raise UserError(f"{what} {place} must be in [{-REACH:g}, {REACH:g}] m")
