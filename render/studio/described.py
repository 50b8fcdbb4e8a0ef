"""A domain as the page needs it: what its code may say, for completion, and which of its numbers move and turn an object."""

from __future__ import annotations

from typing import Any

from datagen.code.grammar import write_object
from datagen.code.statements import Choice, Number, Statement
from datagen.domains.base import Domain, PaintedDomain
from datagen.domains.staged import StagedDomain
from datagen.scene import Object, Value

FRAME = 320, 240  # pixels of a picture where no image says another size


def describe(domain: Domain) -> dict[str, Any]:
    """Plain JSON: the domain's statements with their arguments, those of the ``header`` apart, its standard shot, whether it has a
    ``ground`` and is ``flat``."""
    return {
        "name": domain.name,
        "unit": domain.unit,
        "flat": isinstance(domain, PaintedDomain),
        "ground": domain.ground is not None,
        "most": domain.max_objects,
        "statements": [_statement(statement, domain) for statement in domain.statements],
        "header": [_header_statement(statement, domain) for statement in domain.header],
        "shot": domain.canonical_shot(*FRAME, "draft").to_json(),
    }


def _statement(statement: Statement, domain: Domain) -> dict[str, Any]:
    middle = _middle(statement)
    return {
        "name": statement.name,
        "arguments": [_argument(argument) for argument in statement.arguments],
        "example": write_object(middle, domain),
        "moves": _moving(statement, middle, domain),
        "turns": next((n.name for n in statement.numbers if n.unit == "degrees" and n.components in (1, 3)), None),
        "scales": next((n.name for n in statement.numbers if n.name in domain.sizes and n.components == 1), None),
    }


def _header_statement(statement: Statement, domain: Domain) -> dict[str, Any]:
    """As `_statement`, for one before the objects; its example is of the domain's standard shot."""
    standard = domain.header_of(domain.canonical_shot(*FRAME, "draft")) if isinstance(domain, StagedDomain) else ()
    first = next((obj for obj in standard if obj.statement == statement.name), None) or _middle(statement)
    arguments = [_argument(argument) for argument in statement.arguments]
    return {"name": statement.name, "arguments": arguments, "example": write_object(first, domain)}


def _argument(argument: Choice | Number) -> dict[str, Any]:
    if isinstance(argument, Choice):
        return {"name": argument.name, "words": argument.words}
    return {
        "name": argument.name,
        "low": argument.low,
        "high": argument.high,
        "decimals": argument.decimals,
        "unit": argument.unit,
        "period": argument.period,
    }


def _middle(statement: Statement) -> Object:
    """An object with the first word of every choice, and every number in the middle of its range."""
    values: dict[str, Value] = {choice.name: choice.words[0] for choice in statement.choices}
    for number in statement.numbers:
        values[number.name] = number.rounded(number.as_value([(a + b) / 2 for a, b in zip(number.low, number.high, strict=True)]))
    return Object(statement.name, values)


def _moving(statement: Statement, middle: Object, domain: Domain) -> str | None:
    """The argument whose components are an object's location along X, Y and, if there are three, Z; None if there is none."""
    for number in statement.numbers:
        if number.components not in (2, 3):
            continue
        aside = number.as_value([x + step for x, step in zip(number.as_tuple(middle[number.name]), (0.25, 0.125, 0.0625), strict=False)])
        moved = domain.location(middle.replaced(**{number.name: aside}))
        if moved[: number.components] == number.as_tuple(aside):
            return number.name
    return None
