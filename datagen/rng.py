"""Random numbers that are the same with every version of NumPy.

NumPy guarantees the 64-bit words of its bit generators for all versions, but not the results of the methods of its `Generator` (NEP 19).
So data sets draw from the words by the rules in this file, which are those of NumPy 1.26 and faster for one number at a time.
"""

from __future__ import annotations

import numpy as np

_WORDS = 128  # fetched at a time
_HALF = 0xFFFFFFFF


class Stream:
    """The random numbers that belong to a sequence of whole numbers such as (seed, index, attempt)."""

    def __init__(self, *entropy: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))
        self._words: list[int] = []
        self._spare: int | None = None  # the upper half of a word whose lower half has been drawn

    def random(self) -> float:
        """Uniform in [0, 1): the upper 53 bits of a word."""
        return ((self._words or self._fetched()).pop() >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.random()

    def below(self, count: int) -> int:
        """A whole number, uniform from 0 to `count` - 1, by Lemire's method (2019) on half words; `count` is at most 2**32 - 1."""
        if count == 1:
            return 0
        product = self._half_word() * count
        if product & _HALF < count:
            least = (2**32 - count) % count
            while product & _HALF < least:
                product = self._half_word() * count
        return product >> 32

    def _half_word(self) -> int:
        if self._spare is not None:
            half, self._spare = self._spare, None
            return half
        word = (self._words or self._fetched()).pop()
        self._spare = word >> 32
        return word & _HALF

    def _fetched(self) -> list[int]:
        self._words = self._bits.random_raw(_WORDS).tolist()
        self._words.reverse()
        return self._words
