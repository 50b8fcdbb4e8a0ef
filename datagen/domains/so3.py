"""A toy aeroplane at the origin in any rotation: IG-LLM's orientation task (Kulits et al. 2024).

The camera is fixed, light is random, and no two orientations look alike. The split ``seen``, to train on, leaves out ranges of rotation;
``held-out``, to test on, lies within them.
"""

from __future__ import annotations

from collections.abc import Mapping

from datagen.assets.library import Asset, instance
from datagen.code.statements import Statement
from datagen.domains.camera_ranges import CameraRanges
from datagen.domains.posed import ROTATION, ROTATION_COMPONENTS, PosedDomain, draw_rotation
from datagen.domains.splits import Region, Split
from datagen.rng import Stream
from datagen.scene import Camera, Lamp, Object, Scene, Value, Vec3

AEROPLANE = "aeroplane-39"
"""Its body, its wings and its fin differ in colour, and its left half is its right half's mirror image."""
RADIUS = 1.0  # metres

CAMERA = Camera(location=(0.0, -3.12, 0.0), target=(0.0, 0.0, 0.0), lens_mm=35.0, sensor_mm=32.0)
LAMPS = (
    Lamp("key", (2.6, -2.6, 3.0), 0.5, 160.0, (1.0, 0.932, 0.817)),
    Lamp("fill", (-3.4, -1.8, 0.6), 0.5, 60.0, (0.762, 0.818, 1.0)),
)

HELD_OUT, MARGIN = (25.0, 65.0), 5.0  # degrees within each quarter turn about X and Z, and the distance of tests from their ends
HELD_OUT_TILT = 65.0  # degrees of Y either way; near Y = ±90 X and Z turn about the same axis, and their ranges would hold nothing out
_QUARTERS = (-180.0, -90.0, 0.0, 90.0)


def _within() -> Region:
    """The region where all three angles are within their held-out ranges by the margin."""
    turns = tuple((quarter + HELD_OUT[0] + MARGIN, quarter + HELD_OUT[1] - MARGIN) for quarter in _QUARTERS)
    tilt = HELD_OUT_TILT - MARGIN
    return tuple(zip(ROTATION_COMPONENTS, (turns, ((-tilt, tilt),), turns), strict=True))


def _outside() -> tuple[Region, ...]:
    """The regions where at least one angle is outside its held-out ranges."""
    starts = (-180.0, *(quarter + HELD_OUT[1] for quarter in _QUARTERS))
    ends = (*(quarter + HELD_OUT[0] for quarter in _QUARTERS), 180.0)
    turns = tuple(zip(starts, ends, strict=True))
    tilts = ((-90.0, -HELD_OUT_TILT), (HELD_OUT_TILT, 90.0))
    return tuple(((component, part),) for component, part in zip(ROTATION_COMPONENTS, (turns, tilts, turns), strict=True))


SPLITS = {
    split.name: split
    for split in (
        Split("default", objects=(1, 1)),
        Split("seen", objects=(1, 1), regions=_outside()),
        Split("held-out", objects=(1, 1), regions=(_within(),)),
    )
}


ANY_VIEW = CameraRanges(azimuth=(0.0, 360.0), elevation=(-60.0, 60.0), distance=(3.2, 6.0), lens=(28.0, 35.0))
"""The cameras of the split ``any-view``: the nearest, with the longest lens, just holds the aeroplane in any rotation."""


class OneAeroplane(PosedDomain):
    """The base of `So3` and `datagen.domains.pose6d.Pose6d`: one aeroplane in any rotation."""

    @property
    def directions(self) -> Mapping[str, Vec3]:
        """Empty: a scene has no second object to relate to."""
        return {}

    def asset(self, obj: Object) -> Asset:
        return instance(AEROPLANE)

    def scale(self, obj: Object) -> float:
        return RADIUS

    def mirrored(self, scene: Scene) -> Scene:
        return self.canonical(Scene(scene.domain, tuple(map(self.mirror_image, scene.objects))))

    def sample_scene(self, rng: Stream, count: int, split: Split) -> Scene | None:
        """Draw each rotation uniformly from those that the split allows."""
        objects = []
        for _ in range(count):
            drawn = self.draw(rng, split)
            if drawn is None:
                return None
            objects.append(self.canonical_object(Object("add", drawn)))
        return Scene(self.name, tuple(sorted(objects, key=self.order)))

    def draw(self, rng: Stream, split: Split) -> dict[str, Value] | None:
        """The values of one object; None if no rotation within the split's regions was found."""
        rotation = draw_rotation(rng, split)
        return None if rotation is None else {"rotation": rotation}


class So3(OneAeroplane):
    """The domain of scenes with one orientation. See the module's docstring and `Domain`."""

    def location(self, obj: Object) -> Vec3:
        return (0.0, 0.0, 0.0)


SO3 = So3(
    name="so3",
    statements=(Statement("add", (ROTATION,)),),
    max_objects=1,
    splits={**SPLITS, "any-view": Split("any-view", objects=(1, 1), camera=ANY_VIEW)},
    drawn_numbers=ROTATION_COMPONENTS,
    ap_thresholds=(),
    camera=CAMERA,
    lamps=LAMPS,
)
