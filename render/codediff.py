"""The code of two scenes side by side: matched objects in one row, every disagreement marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from datagen.code.grammar import write_value
from datagen.code.statements import Choice, Number
from datagen.domains.base import Domain
from datagen.metrics.matching import Pair
from datagen.scene import Object, Scene

LEVELS = 5
FULL_SHADE = 0.25  # of a number's span: an error this large gets the strongest shade


@dataclass(frozen=True)
class Span:
    """A piece of code. ``mark`` is its kind or its error, ``title`` an explanation of the error in words.

    Marks are ``word`` and ``number`` for values that agree, ``wrong`` for a word that does not and ``right`` for the true word on the
    other side, ``off-1`` to ``off-5`` for a number, by the size of its error; empty for all other code.
    """

    text: str
    mark: str = ""
    title: str = ""


@dataclass(frozen=True)
class DiffRow:
    """An object of either code, or a matched pair; an absent side is None. ``distance`` between matched objects, in the domain's unit;
    ``truth_index`` and ``guess_index`` are the objects' places in their scenes. A camera or a lamp of either code is such a row without a
    place, and ``alone`` if the true code states none at all."""

    kind: Literal["matched", "missed", "extra", "alone"]
    truth: tuple[Span, ...] | None
    guess: tuple[Span, ...] | None
    distance: float | None = None
    truth_index: int | None = None
    guess_index: int | None = None


def diff(truth: Scene, guess: Scene, pairs: Sequence[Pair], domain: Domain) -> list[DiffRow]:
    """Camera and lamps of both codes; the true objects in their order beside their matches; the guessed objects that match none."""
    by_truth = {p.truth: p for p in pairs}
    rows = _header_rows(truth, guess, domain)
    for i, obj in enumerate(truth.objects):
        pair = by_truth.get(i)
        if pair is None:
            rows.append(DiffRow("missed", statement_spans(obj, domain, {}), None, None, i))
        else:
            other = guess.objects[pair.guess]
            canonical = domain.canonical_object(obj), domain.canonical_object(other)
            rows.append(DiffRow("matched", *_beside(obj, other, canonical, domain), pair.distance, i, pair.guess))
    matched = {p.guess for p in pairs}
    extra = ((j, obj) for j, obj in enumerate(guess.objects) if j not in matched)
    return rows + [DiffRow("extra", None, statement_spans(obj, domain, {}), None, None, j) for j, obj in extra]


def _header_rows(truth: Scene, guess: Scene, domain: Domain) -> list[DiffRow]:
    """A row for each camera and lamp, in the order in which they are declared."""
    one, other = ({domain.statement(obj.statement).key(obj): obj for obj in scene.header} for scene in (truth, guess))
    rows = []
    for key in [key for statement in domain.header for key in statement.keys]:
        left, right = one.get(key), other.get(key)
        if left is not None and right is not None:
            rows.append(DiffRow("matched", *_beside(left, right, (left, right), domain), math.dist(left["loc"], right["loc"])))
        elif left is not None:
            rows.append(DiffRow("missed", statement_spans(left, domain, {}), None))
        elif right is not None:
            rows.append(DiffRow("extra" if truth.header else "alone", None, statement_spans(right, domain, {})))
    return rows


def _beside(truth: Object, guess: Object, canonical: tuple[Object, Object], domain: Domain) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Both statements of a matched pair, with their differences marked; numbers are compared in their ``canonical`` forms."""
    if truth.statement != guess.statement:
        wrong = {"": Span(guess.statement, "wrong", f"should be {truth.statement}")}
        return statement_spans(truth, domain, {"": Span(truth.statement, "right")}), statement_spans(guess, domain, wrong)
    left, right = {}, {}
    one, other = canonical
    for argument in domain.statement(truth.statement).arguments:
        name = argument.name
        text = write_value(guess[name], argument)
        if isinstance(argument, Number):
            right[name] = _number(text, argument, argument.as_tuple(one[name]), argument.as_tuple(other[name]))
        elif truth[name] != guess[name]:
            word = write_value(truth[name], argument)
            left[name], right[name] = Span(word, "right"), Span(text, "wrong", f"should be {word}")
    return statement_spans(truth, domain, left), statement_spans(guess, domain, right)


def statement_spans(obj: Object, domain: Domain, marks: Mapping[str, Span]) -> tuple[Span, ...]:
    """A statement as spans. ``marks`` holds the marked spans of some values by argument, and of the statement's name under ""."""
    spans = [marks.get("", Span(obj.statement)), Span("(")]
    for index, argument in enumerate(domain.statement(obj.statement).arguments):
        spans.append(Span(f"{', ' if index else ''}{argument.name}="))
        mark = "word" if isinstance(argument, Choice) else "number"
        spans.append(marks.get(argument.name, Span(write_value(obj[argument.name], argument), mark)))
    return (*spans, Span(")"))


def _number(text: str, number: Number, truth: tuple[float, ...], guess: tuple[float, ...]) -> Span:
    """A number, shaded by its error as a share of the widest declared range; for an angle, of half a period, its largest error."""
    steps = [a - b for a, b in zip(truth, guess, strict=True)]
    span = max(high - low for low, high in zip(number.low, number.high, strict=True))
    if number.period is not None:
        steps = [abs(s) % number.period for s in steps]
        steps = [min(s, number.period - s) for s in steps]
        span = number.period / 2
    error = math.hypot(*steps)
    if round(error, number.decimals) == 0:
        return Span(text, "number")
    level = math.ceil(LEVELS * math.sqrt(min(1.0, error / span / FULL_SHADE)))
    return Span(text, f"off-{level}", f"off by {error:.{number.decimals}f} {number.unit}")
