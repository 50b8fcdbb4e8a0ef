"""Counters of a data set's statements, images and lamps. Their memory is bounded, however many samples there are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from PIL import Image

from datagen.code.statements import Number, Statement
from datagen.domains.base import Domain
from datagen.images.reduced import reduced
from datagen.inspect.histograms import Histogram
from datagen.scene import Object

MOST_UNDECLARED = 20  # undeclared words counted one by one, per argument
MOST_FRAME_SIZES = 4  # for each of which a mean image is computed
OTHERS = "(others)"
HOLE = 5.0  # a pair of words that never occurs is reported if chance would give at least this number of objects with both


class StatementTally:
    """Counts of the words, pairs of words and numbers of one statement's objects."""

    def __init__(self, domain: Domain, statement: Statement, excluded: Callable[[Mapping[str, str]], bool]) -> None:
        """``excluded`` is called with words by argument, and returns whether the splits exclude objects with all of them."""
        self.domain, self.statement, self.excluded = domain, statement, excluded
        self.objects = 0
        self.words = {choice.name: Counter(dict.fromkeys(choice.words, 0)) for choice in statement.choices}
        self.undeclared: dict[str, Counter[str]] = {choice.name: Counter() for choice in statement.choices}
        self.pairs = {
            (a.name, b.name): np.zeros((len(a.words), len(b.words)), np.int64)
            for a, b in combinations(sorted(statement.choices, key=lambda choice: -len(choice.words)), 2)
        }
        """The number of objects with each pair of declared words, (words, words), by two arguments, the one with more words first."""
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
            if self._shows(number, obj):
                for histogram, value in zip(self.numbers[number.name], number.as_tuple(obj[number.name]), strict=True):
                    histogram.add(value)

    def _place(self, name: str, word: Any) -> int | None:
        """Count a word and return its index in the vocabulary, None if it is not declared."""
        place = self._places[name].get(word)
        if place is not None:
            self.words[name][word] += 1
            return place
        undeclared = self.undeclared[name]
        text = str(word)
        undeclared[text if text in undeclared or len(undeclared) < MOST_UNDECLARED else OTHERS] += 1
        return None

    def _shows(self, number: Number, obj: Object) -> bool:
        """Whether a picture shows this number: it does not show the rotation of an object that looks the same from all sides."""
        return number.period is None or self.domain.rotation_error(obj, obj) is not None

    def holes(self, a: str, b: str) -> list[tuple[str, str]]:
        """Pairs of words that no object has, though at least `HOLE` objects would have both if words were drawn independently."""
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
            "undeclared_words": {name: dict(counter) for name, counter in self.undeclared.items() if counter},
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
    """The name of an argument's component, as ``loc x``, or the argument's own name if it has one component."""
    if number.components == 1:
        return number.name
    return f"{number.name} {'xyz'[place] if number.components <= 3 else place + 1}"


@dataclass
class ImageTally:
    """Counts of the decoded images: 8-bit values by channel and by image, and the mean image of each of the first few frame sizes."""

    images: int = 0
    means: Histogram = field(default_factory=lambda: Histogram(0, 255, 52))
    stds: Histogram = field(default_factory=lambda: Histogram(0, 127.5, 52))
    values: np.ndarray = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    """The number of pixels with each value, by channel: (3, 256)."""
    sums: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    """The sum of the images (height, width, 3) by (width, height); very large images are `reduced` first."""
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
        """The mean of red, green and blue, (3,), in 8-bit values."""
        return (self.values * np.arange(256)).sum(1) / self.values.sum(1)

    @property
    def channel_std(self) -> np.ndarray:
        """The standard deviation over all pixels of all images, (3,), in 8-bit values."""
        return np.sqrt((self.values * (np.arange(256) - self.channel_mean[:, None]) ** 2).sum(1) / self.values.sum(1))

    def mean_image(self) -> tuple[np.ndarray, int]:
        """The mean of the images of the most frequent size, (height, width, 3) uint8 and `reduced`, and the number of those images."""
        [(size, images)] = self.sizes.most_common(1)
        return (self.sums[size] / images).round().astype(np.uint8), images

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, in 8-bit values."""
        return {
            "images": self.images,
            "mean": self.means.to_json(),
            "std": self.stds.to_json(),
            "channel_mean": self.channel_mean.tolist(),
            "channel_std": self.channel_std.tolist(),
        }


@dataclass
class Lamps:
    """The lamps of one name: their number, the bounds of their positions, and their positions in the sampled images, in metres."""

    count: int = 0
    least: np.ndarray = field(default_factory=lambda: np.full(3, np.inf))
    most: np.ndarray = field(default_factory=lambda: np.full(3, -np.inf))
    shown: list[tuple[float, float, float]] = field(default_factory=list)
