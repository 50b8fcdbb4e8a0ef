"""Splits: which scenes of a domain a data set may hold. Built-in ones are declared by the domain, others come from a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from datagen.domains.camera_ranges import CameraRanges, RangesFields
from datagen.io.declared import FileName, to_plain

if TYPE_CHECKING:
    from datagen.code.statements import Choice

Combination = tuple[tuple[str, tuple[str, ...]], ...]
"""Allowed words by argument; an argument that is not named takes any of its words."""
ANYTHING: Combination = ()
Region = tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
"""Allowed intervals by component, both ends included; a component that is not named takes any value."""
Ends = tuple[float, float]
MOST_REGIONS = 1000  # also of combinations, and of intervals in a region
Intervals = Annotated[list[Ends], Meta(min_length=1, max_length=MOST_REGIONS)]


class SplitFile(Struct, forbid_unknown_fields=True):
    """The content of a split's file: see `Split`. An omitted field is as in the domain's default split, an omitted name the file's."""

    name: FileName | UnsetType = UNSET
    combinations: Annotated[list[dict[str, list[str]]], Meta(min_length=1, max_length=MOST_REGIONS)] | UnsetType = UNSET
    ranges: dict[str, Ends] | UnsetType = UNSET
    objects: tuple[int, int] | UnsetType = UNSET
    """The fewest and the most objects of a scene."""
    regions: (
        Annotated[
            list[dict[str, Annotated[list[Ends], Meta(min_length=1, max_length=MOST_REGIONS)]]], Meta(min_length=1, max_length=MOST_REGIONS)
        ]
        | UnsetType
    ) = UNSET
    camera: RangesFields | UnsetType = UNSET


@dataclass(frozen=True)
class Split:
    """What a scene may contain.

    An object is allowed if one of the ``combinations`` allows its words and, if there are ``regions``, one of them contains its numbers.
    ``ranges`` narrow numbers: (component, low, high), both ends included, in the declared unit, where a component is ``rotation`` or
    ``loc.x``. ``objects``: the fewest and the most objects of a scene. ``camera``: where the cameras of scenes stand, each drawn anew;
    None for the cameras of the data set's settings.
    """

    name: str
    combinations: tuple[Combination, ...] = (ANYTHING,)
    ranges: tuple[tuple[str, float, float], ...] = ()
    objects: tuple[int, int] = (3, 10)
    regions: tuple[Region, ...] = ()
    camera: CameraRanges | None = None

    def range(self, component: str, low: float, high: float) -> tuple[float, float]:
        """The range that the split narrows a component to; (low, high), the domain's own range, if it does not."""
        return next(((least, most) for name, least, most in self.ranges if name == component), (low, high))

    def allows(self, words: Mapping[str, str]) -> bool:
        """Whether some allowed object has these words, given by argument; arguments that are not given may have any word."""
        return any(all(word in dict(combination).get(name, (word,)) for name, word in words.items()) for combination in self.combinations)

    def holds(self, numbers: Mapping[str, float]) -> bool:
        """Whether numbers, given by component, lie in one of the regions, or there are none; components not given may have any value."""
        return not self.regions or any(
            all(any(low <= numbers[name] <= high for low, high in intervals) for name, intervals in region if name in numbers)
            for region in self.regions
        )

    def to_json(self) -> dict[str, Any]:
        """The content of a split's file."""
        written = SplitFile(
            self.name,
            [{argument: list(words) for argument, words in combination} for combination in self.combinations],
            {component: (low, high) for component, low, high in self.ranges},
            self.objects,
            [{component: list(intervals) for component, intervals in region} for region in self.regions] or UNSET,  # older sets have none
            self.camera.to_fields() if self.camera else UNSET,
        )
        plain: dict[str, Any] = to_plain(written)
        return plain


@lru_cache(maxsize=64)
def word_table(split: Split, choices: tuple[Choice, ...]) -> Mapping[tuple[str, ...], tuple[str, ...]]:
    """By the words drawn for the first of `choices`: the words that the next may have, each allowed with them by some combination."""
    combinations = [{name: frozenset(words) for name, words in combination} for combination in split.combinations]
    table: dict[tuple[str, ...], tuple[str, ...]] = {}
    drawn: dict[tuple[str, ...], tuple[int, ...]] = {(): tuple(range(len(combinations)))}  # by words, which combinations allow them
    for choice in choices:
        taking = {word: {i for i, c in enumerate(combinations) if word in c.get(choice.name, (word,))} for word in choice.words}
        allowed = {open_to: tuple(w for w in choice.words if not taking[w].isdisjoint(open_to)) for open_to in set(drawn.values())}
        table |= {words: allowed[open_to] for words, open_to in drawn.items()}
        if choice is not choices[-1]:
            drawn = {
                (*words, word): tuple(i for i in open_to if i in taking[word])
                for words, open_to in drawn.items()
                for word in allowed[open_to]
            }
    return table
