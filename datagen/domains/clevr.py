"""CLEVR (Johnson et al. 2017): cubes, spheres and cylinders on a plane.

Sizes, colours, placement rules, lamps and the CoGenT palettes are those of CLEVR's published generator and base scene.
The camera is fixed, as in IG-LLM (Kulits et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from datagen.code.statements import Choice, Number, Statement
from datagen.domains.base import Spacing
from datagen.domains.camera_ranges import CameraRanges
from datagen.domains.placing import Disc, free_spot
from datagen.domains.splits import Split
from datagen.domains.staged import StagedDomain
from datagen.geometry.ground import sweep_behind
from datagen.geometry.sight import Sight
from datagen.geometry.solids import Solid
from datagen.rng import Stream
from datagen.scene import Camera, Lamp, Object, Scene, Value, Vec3

SHAPES = ("cube", "sphere", "cylinder")
SIZES: dict[str, float] = {"large": 0.7, "small": 0.35}
"""Half the edge of a cube, the radius of a sphere or cylinder, in metres; also the height of the centre. The published generator means to
shrink cubes by √2 but looks for a mesh of another name than theirs, so that published cubes are as high as spheres."""
SILHOUETTES = {"cube": 4 * math.sqrt(3), "sphere": math.pi, "cylinder": math.hypot(4, math.pi)}
"""The largest area that a shape's outline covers from any side, in squares of its size."""
MATERIALS = ("rubber", "metal")
COLORS: dict[str, tuple[int, int, int]] = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
"""8-bit RGB; CLEVR passes value / 255 to the shader as linear light."""
SYNONYMS: dict[str, tuple[str, ...]] = {
    "cube": ("block",),
    "sphere": ("ball",),
    "large": ("big",),
    "small": ("tiny",),
    "metal": ("metallic", "shiny"),
    "rubber": ("matte",),
}
"""The synonyms in CLEVR's questions."""

_PALETTE_ONE = ("gray", "blue", "brown", "yellow")
_PALETTE_TWO = ("red", "green", "purple", "cyan")


def _cogent(name: str, cubes: tuple[str, ...], cylinders: tuple[str, ...]) -> Split:
    """The split with these colours of cubes and cylinders, and spheres of any colour."""
    return Split(
        name, ((("shape", ("cube",)), ("color", cubes)), (("shape", ("cylinder",)), ("color", cylinders)), (("shape", ("sphere",)),))
    )


ANY_VIEW = CameraRanges(azimuth=(0.0, 360.0), elevation=(30.0, 60.0), distance=(7.0, 13.0), lens=(28.0, 50.0))
"""The cameras of the split ``any-view``."""

SPLITS = {
    split.name: split
    for split in (
        Split("default"),
        _cogent("cogent-a", _PALETTE_ONE, _PALETTE_TWO),
        _cogent("cogent-b", _PALETTE_TWO, _PALETTE_ONE),
        Split("any-view", camera=ANY_VIEW),
    )
}

MAX_OBJECTS = 10
PLANE = 3.0  # objects' centres lie in [-PLANE, PLANE] along x and y
CUBE_SYMMETRY = 90.0  # degrees

CAMERA = Camera(location=(7.481, -6.508, 5.344), target=(0.0, 0.0, 0.0), lens_mm=35.0, sensor_mm=32.0)
LAMPS = (
    Lamp("key", (6.447, -2.905, 4.258), 0.5, 78.5, (1.0, 0.932, 0.817)),
    Lamp("fill", (-4.671, -4.014, 3.011), 0.5, 23.6, (0.762, 0.818, 1.0)),
    Lamp("back", (-1.169, 2.646, 5.816), 1.0, 39.3, (1.0, 1.0, 1.0)),
)


class Clevr(StagedDomain):
    """The domain of CLEVR's scenes. See the module's docstring and `Domain`."""

    def canonical_object(self, obj: Object) -> Object:
        return super().canonical_object(obj).replaced(rotation=_least_turn(float(obj["rotation"])) if obj["shape"] == "cube" else 0.0)

    def settled(self, obj: Object) -> Object:
        """The object standing on the ground."""
        x, y, _ = obj["loc"]
        return obj.replaced(loc=(x, y, SIZES[obj["size"]]))

    def location(self, obj: Object) -> Vec3:
        x, y, z = obj["loc"]
        return (x, y, z)

    def rotation_error(self, truth: Object, guess: Object) -> float | None:
        if truth["shape"] != "cube":
            return None
        off = abs(float(truth["rotation"]) - float(guess["rotation"])) % CUBE_SYMMETRY
        return min(off, CUBE_SYMMETRY - off)

    def mirrored(self, scene: Scene) -> Scene:
        """Reflected across the vertical plane through the camera's axis. Every shape here is its own mirror image."""
        x, y, _ = self.axes[0]
        axis = 2 * math.degrees(math.atan2(x, -y))  # twice the angle of the plane's own direction
        flipped = []
        for obj in scene.objects:
            across = obj["loc"][0] * x + obj["loc"][1] * y
            location = (obj["loc"][0] - 2 * across * x, obj["loc"][1] - 2 * across * y, obj["loc"][2])
            flipped.append(obj.replaced(loc=location, rotation=(axis - obj["rotation"]) % CUBE_SYMMETRY))
        return self.canonical(Scene(scene.domain, tuple(flipped)))

    def solid(self, obj: Object) -> Solid:
        return Solid(obj["shape"], self.location(obj), SIZES[obj["size"]], float(obj["rotation"]))

    def sample_scene(self, rng: Stream, count: int, split: Split) -> Scene | None:
        """Place objects one after the other by CLEVR's rules. Rotations are drawn from [0, 360) unless the split narrows them; only cubes
        keep theirs."""
        return self._sample(rng, count, split, None)

    def sample_scene_in_sight(self, rng: Stream, count: int, split: Split, sight: Sight) -> Scene | None:
        """As `sample_scene`, with every object's centre in sight."""
        return self._sample(rng, count, split, sight)

    def _sample(self, rng: Stream, count: int, split: Split, sight: Sight | None) -> Scene | None:
        low, high = split.range("rotation", 0.0, 360.0)
        ends = split.range("loc.x", -PLANE, PLANE), split.range("loc.y", -PLANE, PLANE)
        chosen: list[tuple[tuple[str, ...], float]] = []
        taken: list[Disc] = []
        for _ in range(count):
            words = self.draw_words(rng, split)
            chosen.append((words, rng.uniform(low, high)))
            radius = SIZES[words[1]]
            spot = free_spot(rng, taken, radius, *ends, self.axes, _allowed(split, sight, *chosen[-1]))
            if spot is None:
                return None
            taken.append((*spot, radius))
        objects = (self._object(words, degrees, disc) for (words, degrees), disc in zip(chosen, taken, strict=True))
        return Scene(self.name, tuple(sorted(objects, key=self.order)))

    def _object(self, words: tuple[str, ...], degrees: float, disc: Disc) -> Object:
        """The canonical object with these words, in the order of `drawn_words`, standing on its disc."""
        shape, size, material, color = words
        location = (disc[0], disc[1], SIZES[size])
        values: dict[str, Value] = {"loc": location, "shape": shape, "size": size, "material": material, "color": color}
        values["rotation"] = degrees
        return self.canonical_object(Object("add", values))


def _least_turn(degrees: float) -> float:
    """A cube's rotation reduced to [0, 90) degrees and rounded."""
    return round(degrees % CUBE_SYMMETRY, 1) % CUBE_SYMMETRY


def _allowed(split: Split, sight: Sight | None, words: tuple[str, ...], degrees: float) -> Callable[[float, float], bool] | None:
    """A function of x and y: whether an object of these words and rotation is in sight there and the split's regions allow it; None if
    there are neither."""
    turn = {"rotation": _least_turn(degrees)} if words[0] == "cube" else {}
    height = SIZES[words[1]]
    silhouette = SILHOUETTES[words[0]] * height**2
    if sight is None:
        return (lambda x, y: split.holds({"loc.x": x, "loc.y": y, **turn})) if split.regions else None
    return lambda x, y: sight.sees(x, y, height, silhouette) and split.holds({"loc.x": x, "loc.y": y, **turn})


CLEVR = Clevr(
    name="clevr",
    builder="blender_scenes.clevr:ClevrBuilder",
    # Location comes first: once a model has written it, it can attend there for the rest, from what is visible at a glance (colour)
    # to what takes a closer look (shape, and then rotation, which only a cube has).
    statements=(
        Statement(
            "add",
            (
                Number("loc", (-PLANE, -PLANE, 0.0), (PLANE, PLANE, 1.0), 3, "m"),
                Choice("color", tuple(COLORS)),
                Choice("material", MATERIALS),
                Choice("size", tuple(SIZES)),
                Choice("shape", SHAPES),
                Number("rotation", (0.0,), (CUBE_SYMMETRY,), 1, "degrees", period=CUBE_SYMMETRY),
            ),
        ),
    ),
    synonyms=SYNONYMS,
    max_objects=MAX_OBJECTS,
    splits=SPLITS,
    drawn_words=("shape", "size", "material", "color"),
    drawn_numbers=("loc.x", "loc.y", "rotation"),
    # Any nearer, even the smallest objects would intersect. CLEVR's gap is not demanded: predicted locations are some centimetres off.
    spacing=Spacing(("loc.x", "loc.y"), 2 * min(SIZES.values())),
    ground=sweep_behind(CAMERA),
    camera=CAMERA,
    lamps=LAMPS,
)
