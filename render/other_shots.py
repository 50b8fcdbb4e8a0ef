"""Other shots of code than its own: other cameras, several for one scene, other lamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.geometry.ground import sweep_for
from datagen.samples.cameras import check_cameras
from datagen.samples.lamps import check_lamps
from datagen.samples.viewpoints import around
from datagen.scene import Camera, Lamp, Shot
from render.rerender import OneByOne, Shots


@dataclass(frozen=True)
class OtherShots:
    """Other cameras or lamps for the codes of ``shots``: each code has a picture by each of the ``cameras``, or by so many ``views`` evenly
    around what its own camera looks at; without both, by its own camera. ``lamps`` replace all lamps; None keeps them."""

    shots: Shots | OneByOne
    cameras: tuple[Camera, ...] = ()
    views: int | None = None
    lamps: tuple[Lamp, ...] | None = None

    def of(self, codes: Mapping[str, str]) -> tuple[dict[str, str], OneByOne]:
        """The codes by the keys of their pictures, and how each of these is photographed. A code's key stays, or, if it has several
        pictures, gets the camera's name: ``scene-left``. `UserError` if two pictures would have one key, or if a camera or lamp is unfit.
        """
        repeated: dict[str, str] = {}
        seen: dict[str, tuple[Shot, Domain]] = {}
        sources: dict[str, str] = {}
        for key, code in codes.items():
            for name, shot, domain in self._pictures_of(key):
                if name in repeated:
                    raise UserError(f"{key}: its picture would have the key {name}, as that of {sources[name]}; rename one")
                repeated[name], seen[name], sources[name] = code, (shot, domain), key
        return repeated, OneByOne(seen, sources)

    def _pictures_of(self, key: str) -> list[tuple[str, Shot, Domain]]:
        """Key, shot and domain of each picture of a code."""
        shot, domain = self.shots.shot(key)
        if shot.camera is None:
            raise UserError(f"the {domain.name} domain has neither camera nor lamps, so that none can be chosen")
        cameras: Sequence[Camera] = self.cameras or (around(shot.camera, self.views) if self.views else (shot.camera,))
        several = len(self.cameras) > 1 or self.views is not None
        pictures = []
        for camera in cameras:
            if camera != shot.camera:
                check_cameras((camera,), 0.0, domain.ground, (shot.width, shot.height), "the cameras")
            if self.lamps is not None and domain.ground is not None:
                check_lamps(self.lamps, sweep_for(domain.ground, camera, shot.width, shot.height), "the lamps")
            lamps = shot.lamps if self.lamps is None else self.lamps
            pictures.append((f"{key}-{camera.name}" if several else key, replace(shot, camera=camera, lamps=lamps), domain))
        return pictures
