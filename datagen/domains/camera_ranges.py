"""Cameras drawn around the stage: the ranges that a split may state for them, and the draw."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from msgspec import Struct

from datagen.io.untrusted import refuse
from datagen.rng import Stream
from datagen.scene import Camera, Vec3

Ends = tuple[float, float]
PLACES, LENS_PLACES = 3, 2
"""Decimals of a drawn camera's location in metres and of its lens in mm: those that code can say."""
SENSOR_MM = 32.0
LIMITS: dict[str, tuple[float, float, str]] = {
    "azimuth": (-360.0, 360.0, "degrees"),
    "elevation": (-89.0, 89.0, "degrees"),  # straight above, the picture's up is not defined
    "distance": (0.2, 500.0, "m"),
    "lens": (1.0, 5000.0, "mm"),
}
"""The least and the greatest that each range may hold, and the unit."""


class RangesFields(Struct, forbid_unknown_fields=True):
    """The ranges of the cameras that a split draws: see `CameraRanges`."""

    azimuth: Ends
    elevation: Ends
    distance: Ends
    lens: Ends


@dataclass(frozen=True)
class CameraRanges:
    """Where cameras stand that look at the origin, each number drawn evenly from its range, both ends included.

    ``azimuth`` is the camera's direction seen from above, in degrees counterclockwise from the world's X axis, ``elevation`` its angle over
    the ground in degrees, ``distance`` is from the origin in metres, ``lens`` is the focal length in mm, on a sensor of 32 mm.
    """

    azimuth: Ends
    elevation: Ends
    distance: Ends
    lens: Ends

    def draw(self, rng: Stream) -> Camera:
        """A camera: its location rounded to millimetres, its lens to hundredths of a millimetre."""
        azimuth, elevation, distance, lens = (rng.uniform(*getattr(self, field.name)) for field in fields(self))
        return _camera(azimuth, elevation, distance, lens)

    def corners(self, directions: int = 8) -> list[Camera]:
        """The cameras at the ends of the ranges, from so many azimuths evenly over their range, and from where a coordinate is greatest."""
        low, high = self.azimuth
        azimuths = {low + (high - low) * number / directions for number in range(directions + 1)}
        azimuths |= {quarter for quarter in (-360.0, -270.0, -180.0, -90.0, 0.0, 90.0, 180.0, 270.0, 360.0) if low <= quarter <= high}
        elevations = {*self.elevation, min(max(0.0, self.elevation[0]), self.elevation[1])}
        places = product(sorted(azimuths), sorted(elevations), sorted(set(self.distance)), sorted(set(self.lens)))
        return [_camera(*place) for place in places]

    def least_height(self) -> float:
        """The least height of a camera above the ground in metres; negative for one below it."""
        low = math.sin(math.radians(self.elevation[0]))
        return min(low * distance for distance in self.distance)

    def to_fields(self) -> RangesFields:
        """The content of a split's file."""
        return RangesFields(self.azimuth, self.elevation, self.distance, self.lens)


def check_ranges(ranges: CameraRanges, where: str) -> None:
    """Raise `UserError` that begins with `where` and names the field for ranges that no camera can keep."""
    for name, (least, most, unit) in LIMITS.items():
        low, high = getattr(ranges, name)
        if not least <= low <= high <= most:
            refuse(where, f"camera.{name}", [low, high], f"[low, high] within [{least:g}, {most:g}] {unit}, the lower first")


def _camera(azimuth: float, elevation: float, distance: float, lens: float) -> Camera:
    around, up = math.radians(azimuth), math.radians(elevation)
    flat = distance * math.cos(up)
    place: list[Any] = [round(part, PLACES) + 0.0 for part in (flat * math.cos(around), flat * math.sin(around), distance * math.sin(up))]
    location: Vec3 = (place[0], place[1], place[2])
    return Camera(location, lens_mm=round(lens, LENS_PLACES), sensor_mm=SENSOR_MM)
