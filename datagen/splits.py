"""Splits: which scenes of a domain a data set may hold. Built-in ones are declared by the domain, others come from a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from datagen.declared import MAX_BYTES, FileName, as_declared, to_plain
from datagen.errors import UserError, did_you_mean
from datagen.files import read_json
from datagen.untrusted import as_name, only_keys, refuse

if TYPE_CHECKING:
    from datagen.domain import Choice, Domain, Number

Combination = tuple[tuple[str, tuple[str, ...]], ...]
"""Allowed words by argument; an argument that is not named takes any of its words."""
ANYTHING: Combination = ()
Region = tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
"""Allowed intervals by component, both ends included; a component that is not named takes any value."""
Ends = tuple[float, float]
MOST_REGIONS = 1000  # and combinations of words
Intervals = Annotated[list[Ends], Meta(min_length=1, max_length=MOST_REGIONS)]


class SplitFile(Struct, forbid_unknown_fields=True):
    """The content of a split's file: see `Split`. What is left out is as in the domain's default split."""

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


@dataclass(frozen=True)
class Split:
    """What scenes may hold.

    An object is allowed if one of the ``combinations`` allows its words and, where there are ``regions``, one of them its numbers.
    ``ranges`` narrow numbers: (component, low, high), both ends included, in the declared unit, where a component is ``rotation`` or
    ``loc.x``. ``objects``: the fewest and the most a scene.
    """

    name: str
    combinations: tuple[Combination, ...] = (ANYTHING,)
    ranges: tuple[tuple[str, float, float], ...] = ()
    objects: tuple[int, int] = (3, 10)
    regions: tuple[Region, ...] = ()

    def range(self, component: str, low: float, high: float) -> tuple[float, float]:
        """The ends that a component is narrowed to; the domain's own, low and high, where it is not."""
        return next(((least, most) for name, least, most in self.ranges if name == component), (low, high))

    def allows(self, words: Mapping[str, str]) -> bool:
        """Whether an object may have these words, by argument, whatever its others are."""
        return any(all(word in dict(combination).get(name, (word,)) for name, word in words.items()) for combination in self.combinations)

    def holds(self, numbers: Mapping[str, float]) -> bool:
        """Whether an object's numbers, by component, are in one of the regions; those that are not given may be anything."""
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
        )
        plain: dict[str, Any] = to_plain(written)
        return plain

    @staticmethod
    def from_json(data: Any, domain: Domain, where: str, name: str | None = None) -> Split:
        """The inverse of `to_json`, checked against the domain.

        `name` is the split's if it does not give its own. Raises `UserError` that begins with `where` and names the field.
        """
        told = as_declared(data, SplitFile, where)
        split = Split(
            told.name or as_name(name, where, "name"),
            tuple(tuple((argument, tuple(words)) for argument, words in combination.items()) for combination in told.combinations or [{}]),
            tuple((component, *ends) for component, ends in (told.ranges or {}).items()),
            told.objects or domain.split("default").objects,
            tuple(tuple((component, tuple(intervals)) for component, intervals in region.items()) for region in told.regions or []),
        )
        check_split(split, domain, where)
        return split


def check_split(split: Split, domain: Domain, where: str) -> None:
    """Refuse what the domain does not declare, with a `UserError` that begins with `where` and names the field."""
    as_name(split.name, where, "name")
    if split != domain.splits.get(split.name, split):
        raise UserError(f"{where}: name {split.name!r} is that of a built-in split which allows something else; choose another name")
    if not split.combinations:
        refuse(where, "combinations", [], "a list of at least one combination")
    choices = {choice.name: choice for statement in domain.statements for choice in statement.choices}
    for i, combination in enumerate(split.combinations):
        only_keys(dict(combination), tuple(choices), where, f"combinations[{i}]")
        for argument, words in combination:
            _check_words(words, choices[argument], where, f"combinations[{i}].{argument}")
    declared = domain.drawn_ranges
    only_keys({component: None for component, _, _ in split.ranges}, tuple(declared), where, "ranges")
    for component, low, high in split.ranges:
        _check_range((low, high), declared[component], where, f"ranges.{component}")
    for i, region in enumerate(split.regions):
        only_keys(dict(region), tuple(declared), where, f"regions[{i}]")
        for component, intervals in region:
            if not intervals:
                refuse(where, f"regions[{i}].{component}", [], "a list of at least one interval")
            for j, ends in enumerate(intervals):
                _check_range(ends, declared[component], where, f"regions[{i}].{component}[{j}]")
    check_counts(split.objects, domain, where)


def _check_words(words: tuple[str, ...], choice: Choice, where: str, field: str) -> None:
    if not words or len(set(words)) < len(words):
        refuse(where, field, list(words), f"a list of different words out of {', '.join(choice.words)}")
    declared = set(choice.words)
    for i, word in enumerate(words):
        if word not in declared:
            refuse(where, f"{field}[{i}]", word, f"one of {', '.join(choice.words)}")


def _check_range(ends: tuple[float, float], declared: tuple[Number, int], where: str, field: str) -> None:
    number, component = declared
    low, high = number.low[component], number.high[component]
    if not low <= ends[0] <= ends[1] <= high or any(round(end, number.decimals) != end for end in ends):
        allowed = f"[low, high] within [{low:g}, {high:g}] {number.unit}, the lower first, of at most {number.decimals} decimals"
        refuse(where, field, list(ends), allowed)


def check_counts(objects: tuple[int, int], domain: Domain, where: str) -> None:
    """Refuse counts that the domain cannot have, with a `UserError`."""
    fewest, most = objects
    if not 0 <= fewest <= most <= domain.max_objects:
        why = f"{fewest} is more than {most}" if fewest > most else f"the {domain.name} domain places 0 to {domain.max_objects} in a scene"
        raise UserError(f"{where}: objects from {fewest} to {most}: {why}")


def load_split(text: str, domain: Domain) -> Split:
    """The split that a command line asks for: the name of a built-in one, or a JSON file."""
    if text in domain.splits:
        return domain.splits[text]
    if not text.endswith(".json"):
        known, meant = ", ".join(domain.splits), did_you_mean(text, domain.splits)
        raise UserError(f"the {domain.name} domain has no split {text!r}; choose one of {known}, or give a FILE.json{meant}")
    return Split.from_json(read_json(Path(text), MAX_BYTES), domain, text, Path(text).stem)


@lru_cache(maxsize=64)
def word_table(split: Split, choices: tuple[Choice, ...]) -> Mapping[tuple[str, ...], tuple[str, ...]]:
    """The words to draw the next of `choices` from, by the words drawn for those before: all that some combination allows beside them."""
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
