"""Functions that build the objects of a scene by hand, one for each statement of a language; each checks its arguments::

clevr = Constructors(get_domain("clevr"))
clevr.cube(loc=(1, 0, 0.7), color="red", material="metal", size="large", rotation=30)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from datagen.code.statements import Argument, Choice, Language, Statement
from datagen.errors import UserError, did_you_mean
from datagen.scene import Object, Value

SHAPE = "shape"
"""The argument whose words are also names of constructors."""


class Constructors:
    """The constructors of a language as attributes: one for each statement (``add``), and one for each word of its argument ``shape``
    (``cube`` is ``add`` with that shape).

    A constructor takes the statement's other arguments by keyword and returns an `Object`. It raises `UserError` for a missing or unknown
    argument, a word outside the vocabulary, and numbers that are not finite, too few, too many or out of range (angles, which are
    periodic, may have any value). AttributeError for a constructor that the language does not have.
    """

    def __init__(self, language: Language) -> None:
        self._language = language.name
        self._constructors: dict[str, Callable[..., Object]] = {}
        for statement in language.statements:
            for choice in statement.choices:
                if choice.name == SHAPE:
                    self._constructors |= {word: partial(_construct, word, statement, {SHAPE: word}) for word in choice.words}
        self._constructors |= {each.name: partial(_construct, each.name, each, {}) for each in language.statements}

    def __getattr__(self, name: str) -> Callable[..., Object]:
        constructors = self.__dict__.get("_constructors", {})
        if name not in constructors:
            raise AttributeError(f"{self.__dict__.get('_language')} has no {name}(...){did_you_mean(name, constructors)}")
        return constructors[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._constructors]


def _construct(name: str, statement: Statement, word: Mapping[str, str], /, **values: Value | list[float]) -> Object:
    """The object of a statement from its values. ``name`` is that of the constructor; ``word`` holds its shape, if it has one."""
    asked = [argument.name for argument in statement.arguments if argument.name not in word]
    for key in values:
        if key not in asked:
            raise UserError(f"{name}(...) has no {key}{did_you_mean(key, asked)}")
    if missing := [key for key in asked if key not in values]:
        raise UserError(f"{name}(...) lacks {' and '.join(missing)}")
    given = {**values, **word}
    return Object(statement.name, {each.name: _checked(name, each, given[each.name]) for each in statement.arguments})


def _checked(name: str, argument: Argument, given: Value | list[float]) -> Value:
    """A value in the form that scenes store; `UserError` if it is invalid."""
    value = tuple(given) if isinstance(given, list) else given
    if not argument.fits(value):
        raise UserError(f"{name}(...): {argument.name} is {given!r}, not {argument.form}")
    if isinstance(argument, Choice):
        if value not in argument.words:
            raise UserError(f"{name}(...): {argument.name} has no word {value!r}{did_you_mean(str(value), argument.words)}")
        return value
    numbers = argument.as_tuple(value)
    for number, low, high in zip(numbers, argument.low, argument.high, strict=True):
        if argument.period is None and not low <= number <= high:
            raise UserError(f"{name}(...): {argument.name} {number:g} is outside [{low:g}, {high:g}] {argument.unit}")
    return argument.as_value([float(number) for number in numbers])
