"""Splits read from JSON files and checked against their domain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from datagen.domains.camera_ranges import CameraRanges, check_ranges
from datagen.domains.splits import Split, SplitFile
from datagen.errors import UserError, did_you_mean
from datagen.io.declared import MAX_BYTES, as_declared
from datagen.io.files import read_json
from datagen.io.untrusted import as_name, only_keys, refuse

if TYPE_CHECKING:
    from datagen.code.statements import Choice, Number
    from datagen.domains.base import Domain


def split_from_json(data: Any, domain: Domain, where: str, name: str | None = None) -> Split:
    """The inverse of `Split.to_json`, checked against the domain.

    `name` is used if the file has no name. Raises `UserError` that begins with `where` and names the field.
    """
    stated = as_declared(data, SplitFile, where)
    split = Split(
        stated.name or as_name(name, where, "name"),
        tuple(tuple((argument, tuple(words)) for argument, words in combination.items()) for combination in stated.combinations or [{}]),
        tuple((component, *ends) for component, ends in (stated.ranges or {}).items()),
        stated.objects or domain.split("default").objects,
        tuple(tuple((component, tuple(intervals)) for component, intervals in region.items()) for region in stated.regions or []),
        CameraRanges(**structs.asdict(stated.camera)) if stated.camera else None,
    )
    check_split(split, domain, where)
    return split


def check_split(split: Split, domain: Domain, where: str) -> None:
    """Raise `UserError`, beginning with `where` and naming the field, for a split that the domain's declaration does not permit."""
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
    if split.camera is not None:
        if domain.canonical_shot(320, 240, "draft").camera is None:
            refuse(where, "camera", "ranges", f"none, because the {domain.name} domain has no camera")
        check_ranges(split.camera, where)


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
    """Raise `UserError` for a range of object counts that the domain's scenes cannot have."""
    fewest, most = objects
    if not 0 <= fewest <= most <= domain.max_objects:
        why = f"{fewest} is more than {most}" if fewest > most else f"the {domain.name} domain places 0 to {domain.max_objects} in a scene"
        raise UserError(f"{where}: objects from {fewest} to {most}: {why}")


def load_split(text: str, domain: Domain) -> Split:
    """The split named on a command line: a built-in split's name, or the path of a JSON file. `UserError` if there is none."""
    if text in domain.splits:
        return domain.splits[text]
    if not text.endswith(".json"):
        known, meant = ", ".join(domain.splits), did_you_mean(text, domain.splits)
        raise UserError(f"the {domain.name} domain has no split {text!r}; choose one of {known}, or give a FILE.json{meant}")
    return split_from_json(read_json(Path(text), MAX_BYTES), domain, text, Path(text).stem)
