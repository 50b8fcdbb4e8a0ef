"""What a domain declares: its statements, vocabularies, numeric ranges and units, and the few facts that code needs of it.

Writer, parser, validator, tokenizer slots, constrained decoder and metrics all read this one declaration. A new domain is one file in
`datagen/domains/`, or in a package of its own (`datagen.domains.plugins`): a `datagen.domains.staged.StagedDomain` with a builder, or a
`PaintedDomain`. ``docs/new-domain.md`` is the guide.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from datagen.code.statements import Choice, Groups, Number, Statement
from datagen.domains.splits import word_table
from datagen.errors import UserError, did_you_mean
from datagen.scene import Object, Quality, Scene, Shot, Vec3

if TYPE_CHECKING:
    from datagen.domains.splits import Split
    from datagen.geometry.ground import Sweep
    from datagen.geometry.view import View
    from datagen.rng import Stream

FARTHEST = 1e6
"""What no number of a scene exceeds, whatever its unit, be it within its declared range or not."""
ROUNDING = 0.002  # by which two objects that are just far enough apart may be nearer as they are written


@dataclass(frozen=True)
class Spacing:
    """How far apart objects are: taken as a point, no two of a scene have these components (``loc.x``) nearer than ``least``, in their
    unit."""

    components: tuple[str, ...]
    least: float

    def too_near(self, scene: Scene) -> int:
        """How many pairs of objects are nearer, their decimals' rounding aside."""
        points = [[_component(obj, name) for name in self.components] for obj in scene.objects]
        return sum(math.dist(one, other) < self.least - ROUNDING for one, other in combinations(points, 2))


def _component(obj: Object, name: str) -> float:
    name, _, axis = name.partition(".")
    return float(obj[name]["xyz".index(axis)] if axis else obj[name])


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Domain(ABC):
    """A kind of scene: what is declared of it, given when it is made, and what a subclass answers, some of which has a usual answer."""

    name: str
    statements: tuple[Statement, ...]
    max_objects: int
    """The most objects a scene can hold; decoding stops there."""
    splits: Mapping[str, Split]
    """The built-in splits by name; ``default`` is one of them and allows everything."""
    drawn_words: tuple[str, ...] = ()
    """The arguments that the sampler draws words for, in its order."""
    drawn_numbers: tuple[str, ...]
    """The components that the sampler draws numbers for and a split can narrow: ``rotation``, ``loc.x``."""
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other words for words of the vocabularies. Training may write them; code that is parsed or predicted has none."""
    groups: Mapping[str, Groups] = field(default_factory=dict)
    """By a name of their own, groups of words that scores count beside the words themselves."""
    unit: str = "m"
    """That of locations and of the distances between them."""
    ap_thresholds: tuple[float, ...] = (math.inf, 1.0, 0.5, 0.25, 0.125)
    """The distances of average precision, in that unit, widest first: in metres, those of set-prediction work on CLEVR (Zhang et al. 2019,
    Locatello et al. 2020). None where objects have but one place: then neither that nor the location's error tells anything."""
    rotation_thresholds: tuple[float, ...] = ()
    """The angles, in degrees and narrowest first, within which scores count rotations as right; none where a mean tells enough."""
    spacing: Spacing | None = None
    """How far apart a scene's objects are; None where nothing keeps them apart. Decoding names no two that are nearer."""
    sizes: tuple[str, ...] = ()
    """Numeric arguments of one component, beside place and rotation, whose errors scores tell."""
    ground: Sweep | None = None
    """What the objects stand on, and what is behind them; None where there is nothing."""

    def statement(self, name: str) -> Statement:
        """The statement of that name; KeyError if there is none."""
        for statement in self.statements:
            if statement.name == name:
                return statement
        raise KeyError(name)

    def split(self, name: str) -> Split:
        """The built-in split of that name; `UserError` if there is none."""
        if name not in self.splits:
            known = ", ".join(self.splits)
            raise UserError(f"the {self.name} domain has no split {name!r}; choose one of {known}{did_you_mean(name, self.splits)}")
        return self.splits[name]

    @property
    def drawn_ranges(self) -> dict[str, tuple[Number, int]]:
        """`drawn_numbers` with where each is declared: the argument and which of its components."""
        numbers = {number.name: number for statement in self.statements for number in statement.numbers}
        return {name: (numbers[name.split(".")[0]], "xyz".index(name[-1]) if "." in name else 0) for name in self.drawn_numbers}

    def draw_words(self, rng: Stream, split: Split) -> tuple[str, ...]:
        """A word for each of `drawn_words`, evenly out of those that the split allows beside the words before."""
        table = word_table(split, self._drawn_choices)
        words: tuple[str, ...] = ()
        for _ in self._drawn_choices:
            words = (*words, table[words][rng.below(len(table[words]))])
        return words

    @cached_property
    def _drawn_choices(self) -> tuple[Choice, ...]:
        choices = {choice.name: choice for statement in self.statements for choice in statement.choices}
        return tuple(choices[name] for name in self.drawn_words)

    # Objects and scenes

    @abstractmethod
    def location(self, obj: Object) -> Vec3:
        """Where an object is, in the domain's `unit`; in a plane the last is 0."""

    def canonical_object(self, obj: Object) -> Object:
        """The one form of an object among those that mean the same: numbers rounded; a domain with symmetries reduces rotations too."""
        return obj.replaced(**{n.name: n.rounded(obj[n.name]) for n in self.statement(obj.statement).numbers})

    def order(self, obj: Object) -> tuple[float, ...]:
        """The sort key that puts a scene's objects into canonical order."""
        return self.location(obj)

    def rotation_error(self, truth: Object, guess: Object) -> float | None:
        """Degrees between two rotations modulo the true object's symmetry; None where every rotation looks the same, or there is none."""
        return None

    def mirrored(self, scene: Scene) -> Scene | None:
        """The scene whose image under the standard camera is this one's, flipped left to right; None if there is none."""
        return None

    @property
    def directions(self) -> Mapping[str, Vec3]:
        """Unit vectors of the relations (left, right, front, behind) in the world frame; empty where objects have none."""
        return {}

    def canonical(self, scene: Scene) -> Scene:
        """The scene in its canonical form: canonical objects in canonical order."""
        objects = (self.canonical_object(o) for o in scene.objects)
        return Scene(scene.domain, tuple(sorted(objects, key=self.order)))

    def violations(self, scene: Scene) -> list[str]:
        """What is outside the declared ranges, in words; empty for a valid scene. Vocabulary is `check`'s business."""
        found = []
        if len(scene) > self.max_objects:
            found.append(f"{len(scene)} objects, at most {self.max_objects} are declared")
        for i, obj in enumerate(scene.objects, 1):
            for number in self.statement(obj.statement).numbers:
                for value, low, high in zip(number.as_tuple(obj[number.name]), number.low, number.high, strict=True):
                    if not low <= value <= high:
                        found.append(f"object {i}: {number.name} {value:g} is outside [{low:g}, {high:g}] {number.unit}")
        return found

    def check(self, scene: Scene) -> None:
        """`check_form`, and raise `UserError` for a word that is not in its vocabulary too, and for a number past all bounds. Ranges are
        `violations`' business."""
        self.check_form(scene)
        for index, obj in enumerate(scene.objects, 1):
            for number in self.statement(obj.statement).numbers:
                if max(map(abs, number.as_tuple(obj[number.name]))) > FARTHEST:
                    raise UserError(f"object {index}: {number.name} {obj[number.name]} is past what any number may be, {FARTHEST:,.0f}")
            for choice in self.statement(obj.statement).choices:
                if obj[choice.name] not in choice.words:
                    raise UserError(f"object {index}: {choice.name} {obj[choice.name]!r} is none of {', '.join(choice.words)}")

    def check_form(self, scene: Scene) -> None:
        """Raise `UserError` unless every object is a statement of the domain's, with all its arguments and no other: a word for each
        choice, and as many finite numbers as declared."""
        for index, obj in enumerate(scene.objects, 1):
            if obj.statement not in (s.name for s in self.statements):
                raise UserError(f"object {index}: there is no statement {obj.statement!r} in the {self.name} domain")
            statement = self.statement(obj.statement)
            differing = {argument.name for argument in statement.arguments} ^ obj.values.keys()
            if differing:
                name = min(differing)
                problem = f"has no argument {name!r}" if name in obj.values else f"lacks {name}"
                raise UserError(f"object {index}: {obj.statement} {problem}")
            for argument in statement.arguments:
                if not argument.fits(obj[argument.name]):
                    raise UserError(f"object {index}: {argument.name} is {obj[argument.name]!r}, not {argument.form}")

    @abstractmethod
    def sample_scene(self, rng: Stream, count: int, split: Split) -> Scene | None:
        """One try at a canonical scene of `count` objects out of what the split allows; None where placement failed."""

    # Pictures

    def canonical_shot(self, width: int, height: int, quality: Quality) -> Shot:
        """The standard shot: its camera, its lamps unmoved. Without a camera there is nothing but the frame."""
        return Shot(width, height, quality, None, (), noise_seed=0)

    def check_shot(self, shot: Shot) -> None:
        """Raise `UserError` for a shot that has no camera where the domain's have one, or one where they have none."""
        if (shot.camera is None) != (self.canonical_shot(shot.width, shot.height, shot.quality).camera is None):
            raise UserError(f"its shot has {'no' if shot.camera is None else 'a'} camera, unlike those of the {self.name} domain")

    def sample_shot(self, rng: Stream, template: Shot, light_jitter: float) -> Shot:
        """The template with what the domain leaves to chance: noise, and lamps moved by up to `light_jitter` metres along each axis."""
        return template

    @abstractmethod
    def centres(self, objects: Sequence[Object], shot: Shot) -> np.ndarray:
        """Where objects are on the frame: (N, 3), x and y in pixels from the top left corner, depth in metres, 0 in a plane."""

    @abstractmethod
    def view(self, scene: Scene, shot: Shot, least: float = 0.0) -> View | None:
        """What each pixel shows, exactly; None as soon as an object turns out to show fewer than `least` pixels."""


class PaintedDomain(Domain):
    """A domain whose images are drawn in numpy, where Blender would add nothing: none is started, and none need be installed."""

    @abstractmethod
    def paint(self, scene: Scene, shot: Shot) -> np.ndarray:
        """The image, (height, width, 3) uint8, sRGB: a function of scene and shot alone."""
