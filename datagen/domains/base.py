"""The declaration of a domain: its statements, vocabularies, numeric ranges and units, its sampler and its geometry.

Writer, parser, validator, tokenizer slots, constrained decoder and metrics all read this one declaration. A new domain is one file in
`datagen/domains/`, or in a package of its own (`datagen.domains.plugins`): a `datagen.domains.staged.StagedDomain` with a builder, or a
`PaintedDomain`. ``docs/new-domain.md`` is the guide.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    from datagen.geometry.sight import Sight
    from datagen.geometry.view import View
    from datagen.rng import Stream

FARTHEST = 1e6
"""The largest absolute value of any number in a scene, in its own unit, even if it is outside its declared range."""
ROUNDING = 0.002  # rounding can bring two objects nearer to each other by this much


@dataclass(frozen=True)
class Spacing:
    """The minimum distance between two objects of a scene: ``least``, between points of these ``components`` (``loc.x``), in their unit."""

    components: tuple[str, ...]
    least: float

    def too_near(self, scene: Scene) -> int:
        """The number of pairs of objects that are nearer than ``least`` by more than `ROUNDING`."""
        points = [[_component(obj, name) for name in self.components] for obj in scene.objects]
        return sum(math.dist(one, other) < self.least - ROUNDING for one, other in combinations(points, 2))


HEADER = "the header"  # in messages


def _named(scene: Scene) -> Iterator[tuple[str, Object]]:
    """Everything in a scene, with a name for messages."""
    yield from ((HEADER, obj) for obj in scene.header)
    yield from ((f"object {number}", obj) for number, obj in enumerate(scene.objects, 1))


def _component(obj: Object, name: str) -> float:
    name, _, axis = name.partition(".")
    return float(obj[name]["xyz".index(axis)] if axis else obj[name])


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Domain(ABC):
    """A kind of scene: the fields declare it, a subclass implements the methods, some of which have a default."""

    name: str
    statements: tuple[Statement, ...]
    max_objects: int
    """The most objects a scene can hold; decoding stops there."""
    splits: Mapping[str, Split]
    """The built-in splits by name; ``default`` is one of them and allows everything."""
    drawn_words: tuple[str, ...] = ()
    """The arguments that the sampler draws words for, in the order of drawing."""
    drawn_numbers: tuple[str, ...]
    """The components that the sampler draws numbers for and a split can narrow: ``rotation``, ``loc.x``."""
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Synonyms by vocabulary word. Training code may contain them; code that is parsed or predicted does not."""
    groups: Mapping[str, Groups] = field(default_factory=dict)
    """Groups of words, by a name for each grouping (``class``); scores count right groups as well as right words."""
    unit: str = "m"
    """The unit of locations and of the distances between them."""
    ap_thresholds: tuple[float, ...] = (math.inf, 1.0, 0.5, 0.25, 0.125)
    """The distances of average precision, in `unit`, widest first: in metres, those of set-prediction work on CLEVR (Zhang et al. 2019,
    Locatello et al. 2020). Empty where all objects have the same location: average precision and location error mean nothing there."""
    rotation_thresholds: tuple[float, ...] = ()
    """The angles, in degrees, narrowest first, below which scores count a rotation as right; empty where the mean error suffices."""
    spacing: Spacing | None = None
    """The minimum distance between a scene's objects; None if there is none. Decoding writes no two objects that are nearer."""
    sizes: tuple[str, ...] = ()
    """Numeric arguments of one component, other than location and rotation, whose errors are part of the scores."""
    ground: Sweep | None = None
    """The ground and backdrop behind the objects; None if there is none."""

    @property
    def header(self) -> tuple[Statement, ...]:
        """The statements that may stand before the objects: how a scene is photographed. Here, none."""
        return ()

    def statement(self, name: str) -> Statement:
        """The statement of that name, of an object or of the header; KeyError if there is none."""
        for statement in (*self.statements, *self.header):
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
        """By name of `drawn_numbers`: the argument that declares the number, and the index of its component."""
        numbers = {number.name: number for statement in self.statements for number in statement.numbers}
        return {name: (numbers[name.split(".")[0]], "xyz".index(name[-1]) if "." in name else 0) for name in self.drawn_numbers}

    def draw_words(self, rng: Stream, split: Split) -> tuple[str, ...]:
        """Draw a word for each of `drawn_words`, uniformly from those that the split allows together with the words drawn before."""
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
        """An object's location in the domain's `unit`; the third coordinate is 0 in a planar domain."""

    def canonical_object(self, obj: Object) -> Object:
        """The canonical form among all equivalent ones: numbers rounded; a domain with symmetries reduces rotations, too."""
        return obj.replaced(**{n.name: n.rounded(obj[n.name]) for n in self.statement(obj.statement).numbers})

    def settled(self, obj: Object) -> Object:
        """The object with those numbers set that follow from its others, as the height of a thing that must stand; here, unchanged."""
        return obj

    def order(self, obj: Object) -> tuple[float, ...]:
        """The sort key that puts a scene's objects into canonical order."""
        return self.location(obj)

    def rotation_error(self, truth: Object, guess: Object) -> float | None:
        """The angle between two rotations in degrees, modulo the true object's symmetry; None if there is none, or none can be seen."""
        return None

    def mirrored(self, scene: Scene) -> Scene | None:
        """The scene whose image under the standard camera is this scene's image flipped left to right; None if there is no such scene."""
        return None

    @property
    def directions(self) -> Mapping[str, Vec3]:
        """Unit vectors of the relations (left, right, front, behind) in the world frame; empty if the domain has no relations."""
        return {}

    def canonical(self, scene: Scene) -> Scene:
        """The scene in its canonical form: canonical objects in canonical order, and the same of its header."""
        objects = (self.canonical_object(o) for o in scene.objects)
        return Scene(scene.domain, tuple(sorted(objects, key=self.order)), self._canonical_header(scene.header))

    def _canonical_header(self, header: tuple[Object, ...]) -> tuple[Object, ...]:
        """A header with its numbers rounded, in the order in which its statements and their names are declared."""
        place = {key: number for number, key in enumerate(key for statement in self.header for key in statement.keys)}
        rounded = (obj.replaced(**{n.name: n.rounded(obj[n.name]) for n in self.statement(obj.statement).numbers}) for obj in header)
        return tuple(sorted(rounded, key=lambda obj: place[self.statement(obj.statement).key(obj)]))

    def violations(self, scene: Scene) -> list[str]:
        """A message for each thing outside the declared ranges; empty for a valid scene. Vocabulary is checked by `check`."""
        found = []
        if len(scene) > self.max_objects:
            found.append(f"{len(scene)} objects, at most {self.max_objects} are declared")
        for where, obj in _named(scene):
            for number in self.statement(obj.statement).numbers:
                for value, low, high in zip(number.as_tuple(obj[number.name]), number.low, number.high, strict=True):
                    if not low <= value <= high:
                        found.append(f"{where}: {number.name} {value:g} is outside [{low:g}, {high:g}] {number.unit}")
        return found

    def check(self, scene: Scene) -> None:
        """Call `check_form`, and raise `UserError` for a word outside its vocabulary or a number above `FARTHEST`. Declared ranges are
        checked by `violations`."""
        self.check_form(scene)
        for where, obj in _named(scene):
            for number in self.statement(obj.statement).numbers:
                if max(map(abs, number.as_tuple(obj[number.name]))) > FARTHEST:
                    raise UserError(f"{where}: {number.name} {obj[number.name]} is past what any number may be, {FARTHEST:,.0f}")
            for choice in self.statement(obj.statement).choices:
                if obj[choice.name] not in choice.words:
                    raise UserError(f"{where}: {choice.name} {obj[choice.name]!r} is none of {', '.join(choice.words)}")

    def check_form(self, scene: Scene) -> None:
        """Raise `UserError` unless every object is a statement of the domain with exactly its arguments: a word for each choice, and the
        declared number of finite components for each number. The same of the header's statements, none of which may come twice."""
        for where, obj in _named(scene):
            allowed = self.header if where == HEADER else self.statements
            if obj.statement not in (s.name for s in allowed):
                raise UserError(f"{where}: there is no statement {obj.statement!r} in the {self.name} domain")
            statement = self.statement(obj.statement)
            differing = {argument.name for argument in statement.arguments} ^ obj.values.keys()
            if differing:
                name = min(differing)
                problem = f"has no argument {name!r}" if name in obj.values else f"lacks {name}"
                raise UserError(f"{where}: {obj.statement} {problem}")
            for argument in statement.arguments:
                if not argument.fits(obj[argument.name]):
                    raise UserError(f"{where}: {argument.name} is {obj[argument.name]!r}, not {argument.form}")
        keys = Counter(self.statement(obj.statement).key(obj) for obj in scene.header)
        if repeated := next((key for key, times in keys.items() if times > 1), None):
            raise UserError(f"{HEADER}: {' '.join(repeated)} is given twice")
        declared = {key for statement in self.header for key in statement.keys}
        if unknown := next((key for key in keys if key not in declared), None):
            raise UserError(f"{HEADER}: there is no {' '.join(unknown)} in the {self.name} domain")

    @abstractmethod
    def sample_scene(self, rng: Stream, count: int, split: Split) -> Scene | None:
        """Try once to draw a canonical scene of `count` objects that the split allows; None if placement failed."""

    def sample_scene_in_sight(self, rng: Stream, count: int, split: Split, sight: Sight) -> Scene | None:
        """As `sample_scene`, for cameras that see only part of where objects may be: objects are best placed in `sight` at once.

        A domain that places objects overrides this, or most tries may be rejected later, when an object is not seen.
        """
        return self.sample_scene(rng, count, split)

    # Pictures

    def canonical_shot(self, width: int, height: int, quality: Quality) -> Shot:
        """The standard shot: standard camera, lamps unmoved. In a domain without a camera, only the frame is set."""
        return Shot(width, height, quality, None, (), noise_seed=0)

    def shot_of(self, scene: Scene, template: Shot) -> Shot:
        """How a scene is photographed: as ``template`` says, but with the camera and the lamps of the scene's header, if it has some."""
        return template

    def check_shot(self, shot: Shot) -> None:
        """Raise `UserError` unless the shot has a camera exactly if the domain's shots have one."""
        if (shot.camera is None) != (self.canonical_shot(shot.width, shot.height, shot.quality).camera is None):
            raise UserError(f"its shot has {'no' if shot.camera is None else 'a'} camera, unlike those of the {self.name} domain")

    def sample_shot(self, rng: Stream, template: Shot, light_jitter: float) -> Shot:
        """The template with noise seed and lamps drawn, lamps moved by up to `light_jitter` metres along each axis; here, unchanged."""
        return template

    @abstractmethod
    def centres(self, objects: Sequence[Object], shot: Shot) -> np.ndarray:
        """Where objects are on the frame: (N, 3), x and y in pixels from the top left corner, depth in metres, 0 in a plane."""

    @abstractmethod
    def view(self, scene: Scene, shot: Shot, least: float = 0.0) -> View | None:
        """The exact view of a scene: which object each pixel shows; None if any object shows fewer than `least` pixels."""


class PaintedDomain(Domain):
    """A domain whose images are drawn in numpy: Blender is not started and need not be installed."""

    @abstractmethod
    def paint(self, scene: Scene, shot: Shot) -> np.ndarray:
        """The image, (height, width, 3) uint8, sRGB: a function of scene and shot alone."""
