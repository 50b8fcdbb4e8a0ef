"""What a prediction's faults go with: which words are taken for which, and errors over distance, size in the image, occlusion and count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from datagen.domains.base import Domain
from datagen.metrics.scores import SceneScores
from datagen.scene import Scene
from render.views import Seen

BINS = 6
MOST_WORDS = 16  # of an argument in a table of confusions; a library of assets has more
MISSED, EXTRA = "missed", "extra"


class Confusion(NamedTuple):
    """A wrong word: the argument, the true word and the predicted one. A missed object has the predicted word "", an extra one the true
    word ""."""

    argument: str
    truth: str
    guess: str


def confusions(truth: Scene, guess: Scene, scores: SceneScores, domain: Domain) -> list[Confusion]:
    """A scene's wrong words, missed and extra objects, in the domain's order of arguments."""
    names = word_names(domain)
    paired, named = {p.truth for p in scores.pairs}, {p.guess for p in scores.pairs}
    both = [(truth.objects[p.truth].values, guess.objects[p.guess].values) for p in scores.pairs]
    missed = [obj.values for i, obj in enumerate(truth.objects) if i not in paired]
    extra = [obj.values for j, obj in enumerate(guess.objects) if j not in named]
    found = []
    for name in names:
        found += [Confusion(name, str(a[name]), str(b[name])) for a, b in both if name in a and name in b and a[name] != b[name]]
        found += [Confusion(name, str(values[name]), "") for values in missed if name in values]
        found += [Confusion(name, "", str(values[name])) for values in extra if name in values]
    return found


def word_names(domain: Domain) -> list[str]:
    """The names of a domain's choice arguments, in their order."""
    return list(dict.fromkeys(choice.name for statement in domain.statements for choice in statement.choices))


@dataclass(frozen=True)
class ConfusionTable:
    """How often each true word (a row; last those of extra objects) was predicted as each word (a column; last: missed).

    ``left_out`` is the number of words that have no row, those of the fewest mistakes.
    """

    argument: str
    words: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    left_out: int

    @property
    def most(self) -> int:
        """The largest count of one kind of mistake, at least 1."""
        return max([1, *(n for i, row in enumerate(self.counts) for j, n in enumerate(row) if i != j)])


def confusion_tables(wrong: Counter[Confusion], right: Counter[tuple[str, str]], domain: Domain) -> list[ConfusionTable]:
    """A table for each argument of which something was predicted. ``right`` counts right words, by argument and word."""
    tables = []
    for name in word_names(domain):
        vocabulary = dict.fromkeys(w for s in domain.statements for choice in s.choices if choice.name == name for w in choice.words)
        faults: Counter[str] = Counter()
        for one, count in wrong.items():
            if one.argument == name:
                faults[one.truth] += count
                faults[one.guess] += count
        worst = sorted(vocabulary, key=lambda word: -faults[word])[:MOST_WORDS]
        words = tuple(word for word in vocabulary if word in worst)
        sides = (*words, "")
        cells = (
            tuple(right[name, a] if a == b and a else wrong[Confusion(name, a, b)] for b in sides)
            for a in sides  # nothing is both missed and extra
        )
        counts = tuple(cells)
        if any(map(any, counts)):
            tables.append(ConfusionTable(name, words, counts, len(vocabulary) - len(words)))
    return tables


class ObjectFate(NamedTuple):
    """What became of a true object, one of ``crowd`` in its scene. ``apart`` is the location error, None if it was missed; ``faulty`` if it
    was, or has a wrong word. The rest is as in `SeenObject`, None where the shot is not known."""

    distance: float | None
    pixels: float | None
    visible: float | None
    crowd: int
    apart: float | None
    faulty: bool


def fates(truth: Scene, guess: Scene, scores: SceneScores, seen: Seen | None, domain: Domain) -> list[ObjectFate]:
    """What became of each object of a true scene."""
    pairs = {pair.truth: pair for pair in scores.pairs}
    names = word_names(domain)
    found = []
    for index, obj in enumerate(truth.objects):
        pair = pairs.get(index)
        other = None if pair is None else guess.objects[pair.guess]
        faulty = other is None or other.statement != obj.statement or any(obj.values.get(n) != other.values.get(n) for n in names)
        distance, pixels, visible = (None, None, None) if seen is None else seen.objects[index]
        found.append(ObjectFate(distance, pixels, visible, len(truth), None if pair is None else pair.distance, faulty))
    return found


@dataclass(frozen=True)
class Bin:
    """A bar of a chart: the range of what it is over, the number of cases, their mean, and the ends of its 95 % interval."""

    low: float
    high: float
    cases: int
    value: float
    ends: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """An error over a quantity. ``percent`` says that values are shares, ``over_percent`` that the quantity is one."""

    title: str
    over: str
    over_percent: bool
    percent: bool
    whole: bool
    bins: tuple[Bin, ...]

    @property
    def top(self) -> float:
        """The largest value or end of an interval."""
        return max(max(b.value, b.ends[1]) for b in self.bins) or 1.0


_OVER = (
    ("distance", "metres from the camera"),
    ("pixels", "pixels that show it"),
    ("visible", "visible share"),
    ("crowd", "objects in the scene"),
)


def charts(objects: Sequence[ObjectFate], domain: Domain) -> list[Chart]:
    """The location error of matched objects, and the share of faulty ones, over each quantity that is known of objects."""
    made = []
    errors = (("apart", f"location error, {domain.unit}"), ("faulty", "missed or with a wrong word" if word_names(domain) else "missed"))
    for field, title in errors:
        if field == "apart" and not domain.ap_thresholds:
            continue
        for over, label in _OVER:
            cases = [
                (float(x), float(y)) for one in objects if (x := getattr(one, over)) is not None and (y := getattr(one, field)) is not None
            ]
            bins = _bins(np.array(cases, float).reshape(-1, 2), whole=over == "crowd", share=field == "faulty")
            if bins:
                made.append(Chart(title, label, over == "visible", field == "faulty", over == "crowd", bins))
    return made


def _bins(cases: np.ndarray, whole: bool, share: bool) -> tuple[Bin, ...]:
    """Bins of about as many cases each, or one for each whole number."""
    if not len(cases):
        return ()
    x, y = cases.T
    if whole:
        groups = [(value, value, x == value) for value in np.unique(x)]
    else:
        edges = np.unique(np.quantile(x, np.linspace(0, 1, BINS + 1)))
        if len(edges) == 1:
            edges = np.append(edges, edges)
        which = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
        groups = [(edges[i], edges[i + 1], which == i) for i in range(len(edges) - 1)]
    return tuple(_bin(float(low), float(high), y[where], share) for low, high, where in groups if where.any())


def _bin(low: float, high: float, values: np.ndarray, share: bool) -> Bin:
    """The mean and its normal 95 % interval; for a share, Wilson's."""
    n, mean = len(values), float(values.mean())
    if share:
        z = 1.96
        middle, widened = (mean + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n)
        half = widened * math.sqrt(mean * (1 - mean) / n + (z / (2 * n)) ** 2)
        return Bin(low, high, n, mean, (max(0.0, middle - half), min(1.0, middle + half)))
    half = 1.96 * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return Bin(low, high, n, mean, (max(0.0, mean - half), mean + half))
