"""What cameras can show of a place, quick enough to be asked of one place after the other while objects are placed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from datagen.geometry.camera import focal_pixels, look_at
from datagen.scene import Camera

MARGIN = 0.02  # of the frame's longer side: how far within the frame a point must lie

_Three = tuple[float, ...]


class Sight:
    """The places that some cameras see, all of them, each at least `MARGIN` within a frame of `width` by `height` pixels."""

    def __init__(self, cameras: Sequence[Camera], width: int, height: int, least: float) -> None:
        """``least`` is the number of pixels that an object must show."""
        self._frames = [_frame(camera, width, height, least) for camera in cameras]

    def sees(self, x: float, y: float, z: float, silhouette: float = math.inf) -> bool:
        """Whether the point (metres, world frame) lies before every camera and within its frame, and an object there, whose outline covers
        at most `silhouette` square metres from any side, could show enough pixels if nothing hid it."""
        reach = math.sqrt(silhouette)  # the object's nearest point is not nearer to the camera than this before its centre
        for (from_x, from_y, from_z), (right, up, ahead), (half_width, half_height), least in self._frames:
            off_x, off_y, off_z = x - from_x, y - from_y, z - from_z
            depth = off_x * ahead[0] + off_y * ahead[1] + off_z * ahead[2]
            if depth <= 0.0:
                return False
            if abs(off_x * right[0] + off_y * right[1] + off_z * right[2]) > depth * half_width:
                return False
            if abs(off_x * up[0] + off_y * up[1] + off_z * up[2]) > depth * half_height:
                return False
            nearest = depth - reach
            if nearest > 0.0 and silhouette * math.hypot(off_x, off_y, off_z) / depth < least * nearest * nearest:
                return False
        return True


def _frame(
    camera: Camera, width: int, height: int, least: float
) -> tuple[_Three, tuple[_Three, _Three, _Three], tuple[float, float], float]:
    """A camera's location; its unit vectors to the right, up and ahead; how far to the side of its axis, per metre of depth, the part
    of the frame within the margin reaches; and the area, in square metres at a depth of 1 m, of the pixels that an object must show."""
    focal, margin = focal_pixels(camera, width, height), MARGIN * max(width, height)
    right, up, back = (tuple(axis.tolist()) for axis in look_at(camera.location, camera.target).T)
    ahead = tuple(-part for part in back)
    halves = (width / 2 - margin) / focal, (height / 2 - margin) / focal
    return camera.location, (right, up, ahead), halves, least / focal**2
