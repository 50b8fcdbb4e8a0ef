"""The aeroplane of `datagen.domains.so3` anywhere before the camera, in any rotation: IG-LLM's 6-DoF pose task (Kulits et al. 2024)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from datagen.code.statements import Number, Statement
from datagen.domains.camera_ranges import CameraRanges
from datagen.domains.posed import ROTATION, ROTATION_COMPONENTS
from datagen.domains.so3 import SPLITS, OneAeroplane
from datagen.domains.splits import Split
from datagen.geometry.camera import project
from datagen.geometry.view import View
from datagen.rng import Stream
from datagen.scene import Camera, Lamp, Object, Scene, Shot, Value

LOCATION = Number("loc", (-2.0, -1.2, -1.6), (2.0, 1.5, 1.6), 3, "m")
"""A box larger than the camera's view: objects that leave the frame are drawn anew."""
CENTRED = tuple((f"loc.{axis}", -0.1, 0.1) for axis in "xyz")
ANY_VIEW = CameraRanges(azimuth=(0.0, 360.0), elevation=(-60.0, 60.0), distance=(4.0, 8.0), lens=(28.0, 50.0))
"""The cameras of the split ``any-view``."""
LEAST_SHARE = 0.95  # of the mesh's vertices must lie within the frame

CAMERA = Camera(location=(0.0, -5.0, 0.0), target=(0.0, 0.0, 0.0), lens_mm=35.0, sensor_mm=32.0)
LAMPS = (
    Lamp("key", (3.4, -3.8, 4.2), 0.5, 420.0, (1.0, 0.932, 0.817)),
    Lamp("fill", (-4.6, -3.0, 1.0), 0.5, 160.0, (0.762, 0.818, 1.0)),
)


class Pose6d(OneAeroplane):
    """The domain of scenes with one pose. See the module's docstring and `Domain`."""

    def draw(self, rng: Stream, split: Split) -> dict[str, Value] | None:
        """As `OneAeroplane.draw`, with a location uniform over the box; `view` rejects an object that the frame cuts off."""
        values = super().draw(rng, split)
        ends = [split.range(f"loc.{axis}", *pair) for axis, pair in zip("xyz", zip(LOCATION.low, LOCATION.high, strict=True), strict=True)]
        return None if values is None else {"loc": tuple(rng.uniform(*pair) for pair in ends), **values}

    def view(self, scene: Scene, shot: Shot, least: float = 0.0) -> View | None:
        if least and any(self._share(obj, shot) < LEAST_SHARE for obj in scene.objects):
            return None
        return super().view(scene, shot, least)

    def _share(self, obj: Object, shot: Shot) -> float:
        """The share of an object's vertices that lie within the frame."""
        points = project(shot.viewpoint, shot.width, shot.height, self.solid(obj).hull())
        inside = (points > 0).all(1) & (points[:, 0] < shot.width) & (points[:, 1] < shot.height)
        return float(np.mean(inside))


POSE6D = Pose6d(
    name="pose6d",
    statements=(Statement("add", (LOCATION, ROTATION)),),
    max_objects=1,
    splits={
        **SPLITS,
        "centred": replace(SPLITS["seen"], name="centred", ranges=CENTRED),
        "any-view": Split("any-view", objects=(1, 1), camera=ANY_VIEW),
    },
    drawn_numbers=("loc.x", "loc.y", "loc.z", *ROTATION_COMPONENTS),
    camera=CAMERA,
    lamps=LAMPS,
)
