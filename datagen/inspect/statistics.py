"""The statistics of a data set, gathered in one pass over its records with counters of bounded size.

Every record is read. Images are decoded, and visible shares cast, for at most `MOST_IMAGES` samples evenly spread over the set.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from datagen.code.statements import Number, Statement
from datagen.domains.base import Domain
from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.geometry.view import min_visible_pixels
from datagen.images.reduced import reduced
from datagen.inspect.histograms import Histogram, Plane
from datagen.io.progress import progress
from datagen.samples.labels import look
from datagen.samples.sample import Sample
from datagen.scene import FRAME_SIDES, Camera, Object, Scene, Shot
from datagen.shards.reader import Samples

T = TypeVar("T")

MOST_IMAGES = 1000
MOST_CAMERAS = 100  # told apart; the rest are counted together
MOST_STRANGERS = 20  # undeclared words told apart, per argument
MOST_FRAME_SIZES = 4  # of which a mean image is kept
MOST_CAST = 10**8  # pixels of a sample: a whole frame for each object
OTHERS = "(others)"
FRAME_CELLS = (48, 64)  # rows, columns
HOLE = 5.0  # objects expected of two independent words, from which on their never meeting is told


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, evenly spaced, the first and the last among them."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)]


class StatementTally:
    """What the objects of one statement say: words, words that come together, numbers."""

    def __init__(self, domain: Domain, statement: Statement, excluded: Callable[[Mapping[str, str]], bool]) -> None:
        """``excluded`` tells of words, by argument, whether the data set was asked to have no object with all of them."""
        self.domain, self.statement, self.excluded = domain, statement, excluded
        self.objects = 0
        self.words = {choice.name: Counter(dict.fromkeys(choice.words, 0)) for choice in statement.choices}
        self.strangers: dict[str, Counter[str]] = {choice.name: Counter() for choice in statement.choices}
        self.pairs = {
            (a.name, b.name): np.zeros((len(a.words), len(b.words)), np.int64)
            for a, b in combinations(sorted(statement.choices, key=lambda choice: -len(choice.words)), 2)
        }
        """By two arguments, that with more words first: how many objects have each pair of declared words (words, words)."""
        self.numbers = {
            number.name: [Histogram(low, high, 40) for low, high in zip(number.low, number.high, strict=True)]
            for number in statement.numbers
        }
        self._places = {choice.name: {word: i for i, word in enumerate(choice.words)} for choice in statement.choices}

    def add(self, obj: Object) -> None:
        """Count an object of this statement."""
        self.objects += 1
        places = {name: self._place(name, obj[name]) for name in self.words}
        for (a, b), table in self.pairs.items():
            row, column = places[a], places[b]
            if row is not None and column is not None:
                table[row, column] += 1
        for number in self.statement.numbers:
            if self._means_something(number, obj):
                for histogram, value in zip(self.numbers[number.name], number.as_tuple(obj[number.name]), strict=True):
                    histogram.add(value)

    def _place(self, name: str, word: Any) -> int | None:
        """The word's place in the vocabulary, counted; None for one that is not declared."""
        place = self._places[name].get(word)
        if place is not None:
            self.words[name][word] += 1
            return place
        strangers = self.strangers[name]
        text = str(word)
        strangers[text if text in strangers or len(strangers) < MOST_STRANGERS else OTHERS] += 1
        return None

    def _means_something(self, number: Number, obj: Object) -> bool:
        """An angle that cannot be seen tells nothing."""
        return number.period is None or self.domain.rotation_error(obj, obj) is not None

    def holes(self, a: str, b: str) -> list[tuple[str, str]]:
        """Pairs of words that never come together, though `HOLE` objects or more would have both if chance alone paired them."""
        table = self.pairs[a, b]
        expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / max(1, table.sum())
        rows, columns = list(self.words[a]), list(self.words[b])
        return [(rows[i], columns[j]) for i, j in np.argwhere((table == 0) & (expected >= HOLE))]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "domain": self.domain.name,
            "statement": self.statement.name,
            "objects": self.objects,
            "words": {name: dict(counter) for name, counter in self.words.items()},
            "undeclared_words": {name: dict(counter) for name, counter in self.strangers.items() if counter},
            "pairs": [
                {
                    "arguments": [a, b],
                    "words": [list(self.words[a]), list(self.words[b])],
                    "counts": table.tolist(),
                    "never_together": [list(pair) for pair in self.holes(a, b)],
                }
                for (a, b), table in self.pairs.items()
            ],
            "numbers": {
                number.name: {
                    "unit": number.unit,
                    "components": [
                        {"name": component_name(number, place), **histogram.to_json()}
                        for place, histogram in enumerate(self.numbers[number.name])
                    ],
                }
                for number in self.statement.numbers
            },
        }


def component_name(number: Number, place: int) -> str:
    """What to call a component of an argument: ``loc x``, or the argument's name alone if it has but one."""
    if number.components == 1:
        return number.name
    return f"{number.name} {'xyz'[place] if number.components <= 3 else place + 1}"


@dataclass
class ImageTally:
    """Of the decoded images: 8-bit values, per channel, per image, and the mean image of each of the first few frame sizes."""

    images: int = 0
    means: Histogram = field(default_factory=lambda: Histogram(0, 255, 52))
    stds: Histogram = field(default_factory=lambda: Histogram(0, 127.5, 52))
    values: np.ndarray = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    """How many pixels have each value, by channel: (3, 256)."""
    sums: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    """By (width, height): the sum of the images (height, width, 3), very large ones as `reduced`."""
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, pixels: np.ndarray) -> None:
        """Count an image (height, width, 3) uint8."""
        self.images += 1
        values = np.array(Image.fromarray(pixels).histogram(), np.int64).reshape(3, 256)
        self.values += values
        mean = float(values.sum(0) @ np.arange(256)) / pixels.size
        self.means.add(mean)
        self.stds.add(math.sqrt(float(values.sum(0) @ (np.arange(256) - mean) ** 2) / pixels.size))
        size = (pixels.shape[1], pixels.shape[0])
        if size in self.sums or len(self.sums) < MOST_FRAME_SIZES:
            self.sizes[size] += 1
            small = reduced(pixels)
            self.sums.setdefault(size, np.zeros(small.shape, np.int64))
            self.sums[size] += small

    @property
    def channel_mean(self) -> np.ndarray:
        """(3,) red, green, blue, 8-bit."""
        return (self.values * np.arange(256)).sum(1) / self.values.sum(1)

    @property
    def channel_std(self) -> np.ndarray:
        """(3,) over all pixels of all images, 8-bit."""
        return np.sqrt((self.values * (np.arange(256) - self.channel_mean[:, None]) ** 2).sum(1) / self.values.sum(1))

    def mean_image(self) -> tuple[np.ndarray, int]:
        """The mean of the images of the most frequent size, (height, width, 3) uint8, as `reduced`, and their number."""
        [(size, images)] = self.sizes.most_common(1)
        return (self.sums[size] / images).round().astype(np.uint8), images

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; all in 8-bit values."""
        return {
            "images": self.images,
            "mean": self.means.to_json(),
            "std": self.stds.to_json(),
            "channel_mean": self.channel_mean.tolist(),
            "channel_std": self.channel_std.tolist(),
        }


@dataclass
class Lamps:
    """The lamps of one name: how many, and where those of the sampled images hung (x, y, z in metres)."""

    count: int = 0
    least: np.ndarray = field(default_factory=lambda: np.full(3, np.inf))
    most: np.ndarray = field(default_factory=lambda: np.full(3, -np.inf))
    shown: list[tuple[float, float, float]] = field(default_factory=list)


class Statistics:
    """Everything that `inspect` counts in the samples of a data set."""

    def __init__(self, rules: Split | None = None) -> None:
        """``rules`` are what the scenes may hold; None where only the names of the records' splits tell that."""
        self.rules = rules
        self.samples = self.objects = 0
        self.domains: Counter[str] = Counter()
        self.frames: Counter[tuple[int, int, str]] = Counter()
        self.objects_per_scene: Counter[int] = Counter()
        self.statements: dict[tuple[str, str], StatementTally] = {}
        self.positions = Plane()
        self.centres = np.zeros(FRAME_CELLS, np.int64)
        """Centres on the frame, rows from the top, whatever the frame's size."""
        self.centres_outside = 0
        self.visible: dict[int, Histogram] = {}
        """Visible pixels of an object, by the number of objects in its scene."""
        self.too_little_seen = 0
        self.visible_share: dict[int, Histogram] = {}
        """Of the sampled images: visible pixels over those that the object would have alone, by the number of objects in its scene."""
        self.images = ImageTally()
        self.image_bytes = Histogram(1, 2**30, 240, log=True)
        self.cameras: Counter[tuple[str, Camera] | None] = Counter()
        self.lamps: dict[str, Lamps] = {}
        self.attempts: Counter[int] = Counter()
        self.attempts_by_count: dict[int, Histogram] = {}
        self.indices: dict[tuple[int | None, str | None], array[int]] = {}
        """By seed and split, the indices: eight bytes a sample, the one thing that grows."""
        self.no_index = 0

    @property
    def unit(self) -> str:
        """That of positions."""
        return " or ".join(dict.fromkeys(tally.domain.unit for tally in self.statements.values()))

    def add(self, sample: Sample) -> None:
        """Count a sample's record. ValueError, KeyError, TypeError or AttributeError if the record is damaged."""
        self.samples += 1
        scene, shot, record = sample.scene, sample.shot, sample.record
        self.objects += len(scene)
        self.domains[sample.domain.name] += 1
        self.frames[shot.width, shot.height, shot.quality] += 1
        self.objects_per_scene[len(scene)] += 1
        self.image_bytes.add(len(sample.image))
        for obj, label in zip(scene, record["labels"], strict=True):
            self._tally(sample.domain, obj).add(obj)
            x, y, _ = sample.domain.location(obj)
            self.positions.add(x, y)
            self._add_label(label, shot, len(scene))
        self._add_shot(shot)
        self._add_origin(record, len(scene))

    def _tally(self, domain: Domain, obj: Object) -> StatementTally:
        key = (domain.name, obj.statement)
        if key not in self.statements:
            self.statements[key] = StatementTally(domain, domain.statement(obj.statement), partial(self._excluded, domain))
        return self.statements[key]

    def _excluded(self, domain: Domain, words: Mapping[str, str]) -> bool:
        """Whether no split of the samples allows an object with these words. Splits that are not known allow everything."""
        names = [] if self.rules else {split for _, split in self.indices}
        splits = [self.rules] if self.rules else [domain.splits.get(str(name)) for name in names]
        return bool(splits) and not any(split is None or split.allows(words) for split in splits)

    def _add_label(self, label: dict[str, Any], shot: Shot, count: int) -> None:
        seen = label["visible_pixels"]
        self.visible.setdefault(count, Histogram(1, 2**26, 156, log=True)).add(seen)
        self.too_little_seen += seen < min_visible_pixels(shot.width, shot.height)
        x, y = label["pixel_coords"][0] / shot.width, label["pixel_coords"][1] / shot.height
        rows, columns = FRAME_CELLS
        if 0 <= x < 1 and 0 <= y < 1:
            self.centres[int(y * rows), int(x * columns)] += 1
        else:
            self.centres_outside += 1

    def _add_shot(self, shot: Shot) -> None:
        if shot.camera is not None:
            camera = (str(shot.camera.name), shot.camera)
            self.cameras[camera if camera in self.cameras or len(self.cameras) < MOST_CAMERAS else None] += 1
        for lamp in shot.lamps:
            lamps = self.lamps.setdefault(lamp.name, Lamps())
            lamps.count += 1
            lamps.least, lamps.most = np.minimum(lamps.least, lamp.location), np.maximum(lamps.most, lamp.location)

    def _add_origin(self, record: Any, count: int) -> None:
        index, attempt = record.get("index"), record.get("attempt")
        if index is None:
            self.no_index += 1
        else:
            self.indices.setdefault((record.get("seed"), record.get("split")), array("q")).append(index)
        if attempt is not None:
            self.attempts[int(attempt).bit_length()] += 1
            self.attempts_by_count.setdefault(count, Histogram(0, 1000, 1)).add(attempt)

    def add_image(self, sample: Sample) -> None:
        """Count what is only looked at in evenly spread samples: pixels, where lamps hang, how much of each object is hidden."""
        self.images.add(sample.pixels())
        for lamp in sample.shot.lamps:
            self.lamps[lamp.name].shown.append(lamp.location)
        shares = self.visible_share.setdefault(len(sample.scene), Histogram(0, 1, 100)) if len(sample.scene) else None
        shot, pixels = _coarser(sample.shot, len(sample.scene))
        for obj, label in zip(sample.scene, sample.record["labels"], strict=True):
            alone = pixels * pixels_alone(obj, sample.domain, shot)
            if shares is not None and alone:
                shares.add(label["visible_pixels"] / alone if pixels == 1 else min(1.0, label["visible_pixels"] / alone))

    def problems(self) -> list[str]:
        """What a look at the counts should not miss, in words."""
        found = []
        for tally in self.statements.values():
            found += _strangers(tally) + _out_of_range(tally) + _never(tally, asked=False) + _against(tally)
        if self.too_little_seen:
            found.append(f"{self.too_little_seen:,} of {self.objects:,} objects show fewer pixels than generation demands of every object")
        for (seed, split), held in self.indices.items():
            gaps, repeated = index_gaps(held)
            if gaps:
                found.append(f"seed {seed}, split {split}: indices are missing: {ranges_text(gaps)}")
            if repeated:
                found.append(f"seed {seed}, split {split}: {repeated:,} indices come more than once")
        if len({frame[:2] for frame in self.frames}) > 1:
            found.append(
                f"frames of different sizes; the mean image is of the {self.images.sizes.most_common(1)[0][1]:,} of the most frequent"
            )
        return found

    def as_asked(self) -> list[str]:
        """What would be odd if the splits had not asked for it, in words."""
        return [line for tally in self.statements.values() for line in _never(tally, asked=True)]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as ``statistics.json`` holds it; docs/data.md tells what is what."""
        return {
            "samples": self.samples,
            "objects": self.objects,
            "domains": dict(self.domains),
            "frames": {f"{width}x{height} {quality}": n for (width, height, quality), n in self.frames.most_common()},
            "objects_per_scene": {str(count): self.objects_per_scene[count] for count in sorted(self.objects_per_scene)},
            "statements": [tally.to_json() for tally in self.statements.values()],
            "visible_pixels": {str(count): self.visible[count].to_json() for count in sorted(self.visible)},
            "too_little_seen": self.too_little_seen,
            "visible_share": {str(count): self.visible_share[count].to_json() for count in sorted(self.visible_share)},
            "centres_outside_frame": self.centres_outside,
            "images": self.images.to_json(),
            "image_bytes": self.image_bytes.to_json(),
            "cameras": list(camera_rows(self.cameras)),
            "lamps": {
                name: {"lamps": lamps.count, "min": lamps.least.tolist(), "max": lamps.most.tolist()} for name, lamps in self.lamps.items()
            },
            "attempts": {attempts_text(power): self.attempts[power] for power in sorted(self.attempts)},
            "origins": origin_rows(self.indices),
            "without_index": self.no_index,
            "as_asked": self.as_asked(),
            "problems": self.problems(),
        }


def gather(samples: Samples, rules: Split | None = None) -> Statistics:
    """One pass over all records. `UserError` naming the sample whose record is damaged or whose image cannot be read."""
    statistics = Statistics(rules)
    looked_at = set(spread(samples.keys, MOST_IMAGES))
    for sample in progress(samples, total=len(samples), desc="inspect"):
        try:
            statistics.add(sample)
            if sample.key in looked_at:
                statistics.add_image(sample)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError) as error:
            raise UserError(f"{samples.path}: sample {sample.key} is damaged ({type(error).__name__}: {error})") from None
    return statistics


def _coarser(shot: Shot, count: int) -> tuple[Shot, float]:
    """A shot to look at each of `count` objects in, and how many pixels of the given one are in one of its: the very same, and 1, unless
    there are very many objects in a very large frame."""
    step = math.ceil(math.sqrt(count * shot.width * shot.height / MOST_CAST))
    if step <= 1:
        return shot, 1.0
    coarse = replace(shot, width=max(FRAME_SIDES[0], shot.width // step), height=max(FRAME_SIDES[0], shot.height // step))
    return coarse, shot.width * shot.height / (coarse.width * coarse.height)


def pixels_alone(obj: Object, domain: Domain, shot: Shot) -> int:
    """How many pixels would show the object if nothing stood before it."""
    alone = look(Scene(domain.name, (obj,)), domain, shot)
    return int(alone.visible_pixels(1)[0])


def index_gaps(held: Sequence[int]) -> tuple[list[tuple[int, int]], int]:
    """The runs of indices, first and last of each, that are missing from 0 to the greatest held, and how many are held repeatedly."""
    indices, times = np.unique(np.asarray(held, np.int64), return_counts=True)
    before = np.concatenate([[-1], indices[:-1]])
    gaps = [(int(a) + 1, int(b) - 1) for a, b in zip(before, indices, strict=True) if b > a + 1]
    return gaps, int((times > 1).sum())


def ranges_text(ranges: Sequence[tuple[int, int]], most: int = 10) -> str:
    """``3, 7–9 (4 in all)``, cut short after `most` ranges."""
    told = ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in ranges[:most])
    return f"{told}{', …' if len(ranges) > most else ''} ({sum(b - a + 1 for a, b in ranges):,} in all)"


def attempts_text(power: int) -> str:
    """The attempts that a count of `Statistics.attempts` takes in: ``0``, ``1``, ``2–3``, ``4–7``, …"""
    first, last = (0, 0) if power == 0 else (2 ** (power - 1), 2**power - 1)
    return f"{first}" if first == last else f"{first}–{last}"


def origin_rows(indices: dict[tuple[int | None, str | None], array[int]]) -> list[dict[str, Any]]:
    """A row for each seed and split: how many samples, from which index to which, and what is missing between."""
    rows = []
    for (seed, split), held in indices.items():
        gaps, repeated = index_gaps(held)
        missing = sum(b - a + 1 for a, b in gaps)
        row = {"seed": seed, "split": split, "samples": len(held), "first": min(held), "last": max(held)}
        rows.append(row | {"missing": missing, "gaps": [list(gap) for gap in gaps[:100]], "repeated": repeated})
    return rows


def camera_rows(cameras: Counter[tuple[str, Camera] | None]) -> Iterator[dict[str, Any]]:
    """A row for each camera, the most used first: its fields, and by how many samples it is used."""
    for camera, samples in cameras.most_common():
        if camera is None:
            yield {"name": OTHERS, "samples": samples}
        else:
            fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(camera[1]).items()}
            yield {**fields, "name": camera[0], "samples": samples}


def _strangers(tally: StatementTally) -> list[str]:
    found = []
    for name, counter in tally.strangers.items():
        if counter:
            told = ", ".join(f"{word} ({n:,})" for word, n in counter.items())
            found.append(f"{tally.statement.name}: {name} has words that the domain does not declare: {told}")
    return found


def _out_of_range(tally: StatementTally) -> list[str]:
    return [
        f"{tally.statement.name}: {histogram.outside:,} of {histogram.n:,} values of {component_name(number, place)} lie outside "
        f"[{histogram.low:g}, {histogram.high:g}] {number.unit}"
        for number in tally.statement.numbers
        for place, histogram in enumerate(tally.numbers[number.name])
        if histogram.outside
    ]


def _never(tally: StatementTally, asked: bool) -> list[str]:
    """Words that never occur, and words that never occur together: those that the split excludes, or else all others."""
    found = []
    for name, counter in tally.words.items():
        unused = [word for word, n in counter.items() if not n and tally.excluded({name: word}) == asked]
        if unused and tally.objects >= HOLE * len(counter):
            found.append(f"{tally.statement.name}: {name} is never {', '.join(unused)}")
    for a, b in tally.pairs:
        if holes := [f"{w} {v}" for v, w in tally.holes(a, b) if tally.excluded({a: v, b: w}) == asked]:
            found.append(f"{tally.statement.name}: {b} and {a} never together: {', '.join(holes)}")
    return found


def _against(tally: StatementTally) -> list[str]:
    """Words that the split excludes and that occur nevertheless, together with another or alone."""
    found = []
    for (a, b), table in tally.pairs.items():
        rows, columns = list(tally.words[a]), list(tally.words[b])
        met = [(rows[i], columns[j]) for i, j in np.argwhere(table)]
        if excluded := [f"{w} {v}" for v, w in met if tally.excluded({a: v, b: w})]:
            found.append(f"{tally.statement.name}: the split excludes what is there: {b} and {a} {', '.join(excluded)}")
    return found
