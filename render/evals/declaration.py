"""The declaration of an evaluation: methods, data, conditions, and the results in its tables and plots. Each evaluation is a file beside
this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.flags import Flag, integers, positive
from datagen.samples.settings import DatasetSettings
from datagen.scene import Quality, Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from render.scored import Scored
    from render.sides import Side

VAL_SCENES = 100


PLAIN_HEAD = ("number_cells=false", "word_cells=false", "number_weight=40", "number_close=0.05")
"""Changes that give the preset `tiny` the paper's numeric head, which computes one number from a hidden state. The weight is large because
squared errors of a few hundredths are small."""


@dataclass(frozen=True)
class Method:
    """A kind of model and its training. ``preset`` None means the preset of the command; ``changes`` are ``KEY=VALUE``; if ``pretrained``,
    a tower that is not frozen is pretrained first, within the same budget."""

    name: str
    label: str
    preset: str | None = None
    changes: tuple[str, ...] = ()
    pretrained: bool = True


HEAD = Method("head", "IG-LLM, numeric head", changes=("numbers=head",))
CHAR = Method("char", "IG-LLM, characters", changes=("numbers=char",))
DERENDER = Method("derender", "neural scene de-rendering", preset="derender", pretrained=False)


@dataclass(frozen=True)
class Scale:
    """The size of an evaluation with a preset, where no flags are given: `Plan`'s sizes, budget, share of pretraining and seeds, the
    frames in pixels, the most objects of a scene (None: the split's), the test scenes of each condition, and ``KEY=VALUE`` changes of
    the preset."""

    sizes: Annotated[tuple[int, ...], Flag("numbers of training images, separated by commas", "N,N", integers)]
    budget: Annotated[int, Flag("images that each model sees in training, repeated if need be", "N", positive)]
    pretrain_share: Annotated[float, Flag("share of the budget that first teaches IG-LLM's tower to see", "P")]
    width: Annotated[int, Flag("width of the images, pixels", "N", positive)]
    height: Annotated[int, Flag("height of the images, pixels", "N", positive)]
    test_scenes: Annotated[int, Flag("how many images each test has", "N", positive)]
    quality: Annotated[Quality, Flag("quality of the renders: draft is quick and grainy, reference slow and clean")] = "draft"
    max_objects: Annotated[int | None, Flag("most objects in a scene", "N", positive)] = None
    seeds: Annotated[tuple[int, ...], Flag("seeds of training (weights, order, augmentation), separated by commas", "S,S", integers)] = (0,)
    changes: tuple[str, ...] = ()

    def data(self, domain: str, split: str, seed: int) -> DatasetSettings:
        """The settings of a data set at this scale. `UserError` for settings with which no scene can be drawn."""
        fewest, most = get_domain(domain).split(split).objects
        most = most if self.max_objects is None else self.max_objects
        return DatasetSettings(
            domain,
            split,
            seed=seed,
            width=self.width,
            height=self.height,
            quality=self.quality,
            min_objects=min(fewest, most),
            max_objects=most,
        )


@dataclass(frozen=True)
class Condition:
    """A set of test scenes. ``key`` is its name in files and folders, ``label`` its name in tables."""

    key: str
    label: str
    data: DatasetSettings


@dataclass(frozen=True)
class Measure:
    """A number in tables and plots. ``path`` is the keys to it in a run's scores. Tables show shares in percent, distances in the domain's
    unit, angles in degrees, all with ``decimals`` decimals, and counts as they are. ``log`` gives a plot a logarithmic axis."""

    title: str
    path: tuple[str, ...]
    form: Literal["share", "distance", "angle", "count"] = "share"
    decimals: int = 1
    log: bool = False


@dataclass(frozen=True)
class ResultTable:
    """The columns of a table, and the line above it, which names the objects that they are about."""

    intro: str
    columns: tuple[Measure, ...]


def no_more(guesses: Iterable[Scene | None]) -> dict[str, Any]:
    """The `Evaluation.measure` of an evaluation without measures of its own."""
    return {}


@dataclass(frozen=True)
class Lesson:
    """Easier data with which a tower's pretraining begins: half as many scenes as in the model's training set, for a ``share`` of the
    images that the pretraining sees."""

    data: DatasetSettings
    share: float


@dataclass(frozen=True)
class Shown:
    """The predictions of a method's model, trained on ``size`` images, for the scenes ``keys`` of one condition, and the truth."""

    method: Method
    size: int
    condition: Condition
    truth: Side
    guess: Side
    keys: Sequence[str]

    @property
    def domain(self) -> Domain:
        """The domain of the scenes."""
        return get_domain(self.condition.data.domain)

    @property
    def guesses(self) -> Iterator[Scene | None]:
        """The predicted scenes, in the order of the keys; None for one that is missing or does not parse."""
        answers = (self.guess.answer(key, self.domain) for key in self.keys)
        return (None if answer is None else answer.scene for answer in answers)

    @cached_property
    def scored(self) -> list[Scored]:
        """The scores, in the order of the keys, computed at the first access."""
        from render.scored import score_sides  # imports libraries of image metrics, which take a second to load

        return score_sides(self.truth, self.guess, self.keys, self.domain)


@dataclass(frozen=True)
class Evaluation:
    """An evaluation: methods, training data, tests and the form of its results. The first of ``conditions`` has the distribution of the
    training data (ID), the others do not (OOD).

    Training sets of several sizes are drawn with the same seed, so that the smaller are the beginnings of the larger. The seeds of all data
    must differ; then no two data sets share a scene. ``pretraining`` are ``KEY=VALUE`` changes for a tower's pretraining, which override
    the method's settings; a ``lesson`` comes before it. ``measure`` computes, from the predicted scenes of a condition (None for code that
    is missing or does not parse), measures for tables beside those of `datagen.metrics.summary.summarize`. The page of pictures shows the
    ``worst`` scenes or a ``spread`` from worst to best. ``figures`` are functions that draw figures of the predictions, by file name.
    """

    name: str
    title: str
    methods: tuple[Method, ...]
    train: DatasetSettings
    val: DatasetSettings
    conditions: tuple[Condition, ...]
    test_scenes: int
    tables: tuple[ResultTable, ...]
    note: str
    panels: tuple[Measure, ...]
    pretraining: tuple[str, ...] = ()
    lesson: Lesson | None = None
    shown: Literal["worst", "spread"] = "spread"
    measure: Callable[[Iterable[Scene | None]], dict[str, Any]] = no_more
    figures: Mapping[str, Callable[[Evaluation, Sequence[Shown]], Figure]] = field(default_factory=dict)

    @property
    def val_scenes(self) -> int:
        """The number of scenes of the validation set, which need not be larger than the tests."""
        return min(VAL_SCENES, self.test_scenes)

    @property
    def domain(self) -> Domain:
        """The domain of all its data."""
        return get_domain(self.train.domain)


def choices(domain: Domain, over: str) -> tuple[Measure, ...]:
    """The accuracy of each attribute and group of words, with `MATCHED` or `ALL` as ``over``."""
    names = dict.fromkeys(choice.name for statement in domain.statements for choice in statement.choices)
    return tuple(Measure(name, (over, name)) for name in (*names, *domain.groups))


def precisions(domain: Domain) -> tuple[Measure, ...]:
    """Average precision at each of the domain's distances."""
    return tuple(Measure(f"AP {t:g}".replace("inf", "∞"), ("ap", f"{t:g}")) for t in domain.ap_thresholds)


def rotations(domain: Domain) -> tuple[Measure, ...]:
    """Mean and median of the angle between true and predicted rotation, and the shares within the domain's angles."""
    averages = tuple(Measure(f"rotation, {name}", ("rotation_error", name), "angle") for name in ("mean", "median"))
    return averages + tuple(Measure(f"within {t:g}°", ("rotation_error", "within", f"{t:g}")) for t in domain.rotation_thresholds)


MATCHED, ALL = "accuracy_matched", "accuracy_all"
L2 = Measure("L2, m", ("location_l2",), "distance", 3)
RECALL = Measure("recall", ("recall",))
COUNT = Measure("count", ("count_accuracy",))
RELATIONS = Measure("relations", ("relations",))
MISSED, EXTRA = Measure("missed", ("missed",), "count"), Measure("extra", ("extra",), "count")
