"""The order of examples in training: a function of seed and position, so that a run can resume anywhere.

An epoch of a source is a permutation of it. Epochs follow one another without a break: a batch may hold the end of one and the beginning
of the next. Nothing is dropped, and nothing comes twice within an epoch. Permutations are computed number by number and not stored, so
memory does not grow with the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from datagen.errors import UserError

ROUNDS = 8
WINDOW = 4  # how many shards behind a URL are shuffled together
_MASK = (1 << 64) - 1


class ExampleSource(Protocol):
    """Examples numbered from 0. ``far_shards``: see `datagen.shards.reader.Samples`."""

    far_shards: Sequence[int] | None

    def __len__(self) -> int: ...

    def example(self, number: int, rng: np.random.Generator | None) -> dict[str, Any]:
        """The example with this number, varied by ``rng``; not varied without it."""


class Permutation:
    """A pseudo-random permutation of range(count), determined by ``key``: a Feistel network over the bits of the index.

    The network permutes the numbers below the next power of two. A result outside the range is permuted again until it is inside (cycle
    walking), which makes a permutation of the range.
    """

    def __init__(self, count: int, *key: int) -> None:
        bits = (count - 1).bit_length()
        self.count = count
        self._low = bits // 2
        self._low_mask, self._high_mask = (1 << self._low) - 1, (1 << (bits - self._low)) - 1
        self._keys = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64).tolist()

    def __call__(self, index: int) -> int:
        """The number to which the permutation maps an index."""
        index = self._permuted(index)
        while index >= self.count:
            index = self._permuted(index)
        return index

    def _permuted(self, index: int) -> int:
        low, high = index & self._low_mask, index >> self._low
        for i in range(0, ROUNDS, 2):
            high ^= _mixed(low ^ self._keys[i]) & self._high_mask
            low ^= _mixed(high ^ self._keys[i + 1]) & self._low_mask
        return high << self._low | low


def _mixed(word: int) -> int:
    """The finaliser of SplitMix64: every bit of the result depends on every bit of the word."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _MASK
    return word ^ word >> 31


class Shuffle:
    """An epoch over ``count`` numbers, all shuffled together."""

    def __init__(self, count: int, *key: int) -> None:
        self._permutation = Permutation(count, *key)

    def __call__(self, position: int) -> int:
        """The number at a position of the epoch."""
        return self._permutation(position)


class WindowedShuffle:
    """An epoch over the samples of shards with ``counts`` samples: shards are permuted, and samples shuffled within ``window`` shards.

    While an epoch is read in order, only the shards of one window and the first ones of the next are thus needed at a time.
    """

    def __init__(self, counts: Sequence[int], window: int, *key: int) -> None:
        shards = Permutation(len(counts), *key, 0)
        permuted = [shards(i) for i in range(len(counts))]
        firsts = [0, *accumulate(counts)]
        self._windows = [permuted[i : i + window] for i in range(0, len(permuted), window)]
        self._starts = np.cumsum([0, *(sum(counts[shard] for shard in shards) for shards in self._windows)])
        self._counts, self._firsts, self._key = counts, firsts, key

    def __call__(self, position: int) -> int:
        """The number at a position of the epoch."""
        window = int(np.searchsorted(self._starts, position, "right")) - 1
        start, end = int(self._starts[window]), int(self._starts[window + 1])
        within = Permutation(end - start, *self._key, 1 + window)(position - start)
        for shard in self._windows[window]:
            if within < self._counts[shard]:
                return self._firsts[shard] + within
            within -= self._counts[shard]
        raise AssertionError("a position beyond its window")


class Interleaving:
    """Assigns each position of the training order to a source, in proportion to the sources' weights.

    In any run of positions each source has its share, to within about one for each source. Sources choose positions one after the other:
    of those that earlier sources left, numbered q = 0, 1, …, a source with the share s of the weights left takes those for which a whole
    number is above q s and at most (q + 1) s.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        exact = [Fraction(weight) for weight in weights]
        self._shares = [weight / sum(exact[i:]) for i, weight in enumerate(exact)]

    def __call__(self, position: int) -> tuple[int, int]:
        """The source at a position, and the number of earlier positions that have this source."""
        for source, share in enumerate(self._shares):
            before = position * share.numerator // share.denominator
            if (position + 1) * share.numerator // share.denominator > before:
                return source, before
            position -= before
        raise AssertionError("the last source's share is one")


def check_weights(weights: Sequence[float], data_sets: int) -> None:
    """`UserError` unless there is a positive number for each data set."""
    if len(weights) != data_sets:
        raise UserError(f"{len(weights)} weights for {data_sets} data sets: give one for each")
    if not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise UserError(f"the weights of the data sets are {', '.join(map(str, weights))}: they must be positive numbers")


class Mixture(Dataset):
    """``length`` examples of several sources in the order of training, by position. Each source is shuffled anew for each of its epochs.

    A source's share is its weight over the sum of all. The example at a position depends on ``seed``, sources and weights alone, not on
    ``length``: so training can resume at any position, and a sequential sampler splits the work among ranks and workers. The variation of
    an example is a function of seed, source, epoch and number in the source. `UserError` as from `check_weights`.
    """

    def __init__(self, sources: Sequence[ExampleSource], weights: Sequence[float], seed: int, length: int) -> None:
        check_weights(weights, len(sources))
        self.sources, self.seed, self.length = list(sources), seed, length
        self._interleaving = Interleaving(weights)
        self._epochs: dict[tuple[int, int], Shuffle | WindowedShuffle] = {}

    def __len__(self) -> int:
        return self.length

    def at(self, position: int) -> tuple[int, int, int]:
        """The source of the example at a position, the source's epoch, and the example's number in it."""
        source, passed = self._interleaving(position)
        epoch, within = divmod(passed, len(self.sources[source]))
        return source, epoch, self._epoch(source, epoch)(within)

    def __getitem__(self, position: int) -> dict[str, Any]:
        if not 0 <= position < self.length:
            raise IndexError(position)
        source, epoch, number = self.at(position)
        return self.sources[source].example(number, np.random.default_rng((self.seed, source, epoch, number)))

    def _epoch(self, source: int, epoch: int) -> Shuffle | WindowedShuffle:
        if (source, epoch) not in self._epochs:
            if len(self._epochs) >= 2 * len(self.sources):  # a batch may need two epochs
                self._epochs.pop(next(iter(self._epochs)))
            key, counts = (self.seed, source, epoch), self.sources[source].far_shards
            shuffle = Shuffle(len(self.sources[source]), *key) if counts is None else WindowedShuffle(counts, WINDOW, *key)
            self._epochs[source, epoch] = shuffle
        return self._epochs[source, epoch]


class InOrder(Dataset):
    """All examples of a source in its own order, not varied, for evaluation."""

    def __init__(self, source: ExampleSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not 0 <= number < len(self.source):
            raise IndexError(number)
        return self.source.example(number, None)
