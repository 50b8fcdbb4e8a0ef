"""Several assets on CLEVR's stage: standing on the floor, or floating over it, turned any way.

A shape is an asset's id, one word in the code. Of every class some instances are known and trained on, and others are held out, as are
some textures of every pattern. The held-out ids are in the vocabulary, so that scenes with them can be written and rendered, but no
training split contains them: on unseen shapes, the class and the pose are what is scored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from datagen.assets.library import CLASSES, Asset, instance, instance_id
from datagen.assets.paint import PATTERNS, Paint, paints, texture, texture_id
from datagen.code.statements import Choice, Groups, Number, Statement
from datagen.domains import clevr
from datagen.domains.base import Spacing
from datagen.domains.placing import LEAST_APART, Disc, free_spot
from datagen.domains.posed import ROTATION, ROTATION_COMPONENTS, PosedDomain, draw_rotation
from datagen.domains.splits import Split
from datagen.geometry.ground import sweep_behind
from datagen.geometry.sight import Sight
from datagen.rng import Stream
from datagen.scene import Camera, Object, Scene, Value

KNOWN, HELD_OUT = range(5), range(5, 8)
"""The seeds of each class's instances."""
OWN = "own"
"""The texture word of an asset that keeps its own colours."""
SEEN_TEXTURES = {pattern: (0, 1, 2, 3) for pattern in PATTERNS}
UNSEEN_TEXTURES = {pattern: (4, 5) for pattern in PATTERNS} | {"plain": (5, 6)}  # plain-4 is plain-0
"""The seeds of each pattern's textures."""


@dataclass(frozen=True)
class NameWords:
    """The words of one choice: ``groups`` maps each word to its group, ``unseen`` lists the words held out from training."""

    groups: Mapping[str, str]
    unseen: tuple[str, ...]

    @property
    def seen(self) -> tuple[str, ...]:
        """The words that are not held out."""
        held_out = set(self.unseen)
        return tuple(word for word in self.groups if word not in held_out)


SHAPES = NameWords(
    {instance_id(kind, seed): kind for kind in CLASSES for seed in (*KNOWN, *HELD_OUT)},
    tuple(instance_id(kind, seed) for kind in CLASSES for seed in HELD_OUT),
)
"""The built-in models, grouped by class."""
TEXTURES = NameWords(
    {OWN: OWN}
    | {texture_id(name, seed): name for seeded in (SEEN_TEXTURES, UNSEEN_TEXTURES) for name, seeds in seeded.items() for seed in seeds},
    tuple(texture_id(pattern, seed) for pattern, seeds in UNSEEN_TEXTURES.items() for seed in seeds),
)
"""The built-in textures, grouped by pattern."""

MAX_OBJECTS = 4
PLANE = 2.5  # objects' centres lie in [-PLANE, PLANE] along x and y
LOCATION = Number("loc", (-PLANE, -PLANE, 0.0), (PLANE, PLANE, PLANE), 3, "m")
SCALE = Number("scale", (0.8,), (1.2,), 3, "m")
CLEARANCE = Number("clearance", (0.0,), (1.0,), 3, "m")
"""The height of an object's lowest point above the floor. It is drawn and a split can narrow it, but it is no argument of the code."""

CAMERA = Camera(location=(5.985, -5.206, 4.275), target=(0.0, 0.0, 0.0), lens_mm=35.0, sensor_mm=32.0)
"""CLEVR's camera, a fifth nearer: nearly all objects lie wholly within the frame."""

ON_THE_FLOOR = (("clearance", 0.0, 0.0), ("rotation.x", 0.0, 0.0), ("rotation.y", 0.0, 0.0))
"""The ranges of a split whose objects stand upright on the floor."""


def splits(shapes: NameWords, textures: NameWords) -> dict[str, Split]:
    """The splits, by name, of a domain with these words.

    ``default`` has any objects floating, ``floor`` any objects standing. ``known``, ``unseen-textures`` and ``unseen-shapes`` have
    objects that stand; the same names with ``-free`` have objects that float. ``any-view`` has any objects floating, before cameras all
    around. A split without any words to draw from is left out.
    """
    words = {
        "known": (shapes.seen, textures.seen),
        "unseen-textures": (shapes.seen, textures.unseen),
        "unseen-shapes": (shapes.unseen, textures.seen),
    }
    found = [Split("default", objects=(1, MAX_OBJECTS)), Split("floor", ranges=ON_THE_FLOOR, objects=(1, MAX_OBJECTS))]
    for suffix, ranges in (("", ON_THE_FLOOR), ("-free", ())):
        for name, (of_shapes, of_textures) in words.items():
            if of_shapes and of_textures:
                found.append(Split(name + suffix, ((("shape", of_shapes), ("texture", of_textures)),), ranges, (1, MAX_OBJECTS)))
    found.append(Split("any-view", objects=(1, MAX_OBJECTS), camera=clevr.ANY_VIEW))
    return {split.name: split for split in found}


class Assets(PosedDomain):
    """The domain of scenes of assets. See the module's docstring and `Domain`."""

    @classmethod
    def of(cls, name: str, shapes: NameWords, textures: NameWords, **more: Any) -> Self:
        """The domain with these words; ``more`` are the fields that a subclass adds. As in CLEVR, the location comes first, then what is
        visible at a glance, then the rest."""
        words = Choice("texture", tuple(textures.groups)), Choice("shape", tuple(shapes.groups))
        return cls(
            name=name,
            statements=(Statement("add", (LOCATION, SCALE, *words, ROTATION)),),
            groups={"class": Groups("shape", shapes.groups), "pattern": Groups("texture", textures.groups)},
            max_objects=MAX_OBJECTS,
            splits=splits(shapes, textures),
            drawn_words=("shape", "texture"),
            drawn_numbers=("loc.x", "loc.y", "scale", *ROTATION_COMPONENTS),
            spacing=Spacing(("loc.x", "loc.y"), LEAST_APART),
            sizes=(SCALE.name,),
            ground=sweep_behind(CAMERA),
            camera=CAMERA,
            lamps=clevr.LAMPS,
            **more,
        )

    @property
    def drawn_ranges(self) -> dict[str, tuple[Number, int]]:
        return {**super().drawn_ranges, CLEARANCE.name: (CLEARANCE, 0)}

    def asset(self, obj: Object) -> Asset:
        return instance(obj["shape"])

    def texture(self, word: str) -> Paint:
        """The paint of a texture word other than `OWN`."""
        return texture(word)

    def paints(self, obj: Object) -> tuple[Paint, ...]:
        return paints(self.asset(obj), None if obj["texture"] == OWN else self.texture(obj["texture"]))

    def settled(self, obj: Object) -> Object:
        """The object raised, if it is sunk into the floor."""
        lowest = float(self.solid(obj).hull()[:, 2].min())
        x, y, z = obj["loc"]
        return obj if lowest >= 0 else obj.replaced(loc=(x, y, _raised(z - lowest)))

    def rotation_error(self, truth: Object, guess: Object) -> float | None:
        """The angle between both rotations in degrees, modulo the true shape's symmetry; None if the classes differ, as their fronts do.

        The pattern on the surface does not break the symmetry: the origin of an unseen pattern cannot be known.
        """
        kinds = self.groups["class"].of
        if kinds[truth["shape"]] != kinds[guess["shape"]]:
            return None
        return float(self.asset(truth).symmetry.degrees(self.rotation(truth), self.rotation(guess)))

    def sample_scene(self, rng: Stream, count: int, split: Split) -> Scene | None:
        """Place objects one after the other by CLEVR's rules. The gap and margins on the ground plane hold for floating objects, too."""
        return self._sample(rng, count, split, None)

    def sample_scene_in_sight(self, rng: Stream, count: int, split: Split, sight: Sight) -> Scene | None:
        """As `sample_scene`, with every object's centre in sight."""
        return self._sample(rng, count, split, sight)

    def _sample(self, rng: Stream, count: int, split: Split, sight: Sight | None) -> Scene | None:
        objects: list[Object] = []
        taken: list[Disc] = []
        for _ in range(count):
            obj = self._placed(rng, split, sight, taken)
            if obj is None:
                return None
            objects.append(obj)
        return Scene(self.name, tuple(sorted(objects, key=self.order)))

    def _placed(self, rng: Stream, split: Split, sight: Sight | None, taken: list[Disc]) -> Object | None:
        """An object at a place in sight that the split and the `taken` discs leave free, its own disc added to them; None if none was
        found."""
        shape, texture = self.draw_words(rng, split)
        scale, clearance = (_drawn(rng, split, number) for number in (SCALE, CLEARANCE))
        rotation = draw_rotation(rng, split)
        if rotation is None:
            return None
        values: dict[str, Value] = {"loc": (0.0, 0.0, 0.0), "scale": scale, "texture": texture, "shape": shape, "rotation": rotation}
        obj = self.canonical_object(Object("add", values))
        around = self.solid(obj).hull()
        radius = float(np.hypot(around[:, 0], around[:, 1]).max())
        numbers = {"scale": scale, "clearance": clearance, **dict(zip(ROTATION_COMPONENTS, rotation, strict=True))}
        x_ends, y_ends = (split.range(name, -PLANE, PLANE) for name in ("loc.x", "loc.y"))
        height = _raised(clearance - float(around[:, 2].min()))

        def allowed(x: float, y: float) -> bool:
            return (sight is None or sight.sees(x, y, height)) and split.holds({"loc.x": x, "loc.y": y, **numbers})

        spot = free_spot(rng, taken, radius, x_ends, y_ends, self.axes, allowed)
        if spot is None:
            return None
        taken.append((*spot, radius))
        return obj.replaced(loc=(*spot, height))


def _drawn(rng: Stream, split: Split, number: Number) -> float:
    low, high = split.range(number.name, number.low[0], number.high[0])
    return round(rng.uniform(low, high), number.decimals)


def _raised(height: float) -> float:
    """The height rounded up to millimetres, so that no object sinks into the floor."""
    return math.ceil(height * 1000) / 1000


ASSETS = Assets.of("assets", SHAPES, TEXTURES)
