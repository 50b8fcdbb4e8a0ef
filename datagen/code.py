"""Graphics code: written, and parsed without ever being run.

One statement per object, for example::

    add(loc=(1.234, -0.456, 0.495), color="cyan", material="metal", size="large", shape="cube", rotation=37.2)

The grammar is fixed and small: statements on lines of their own, keyword arguments in any order, double- or
single-quoted words, finite decimals without underscore, exponent or imaginary part; blank lines and ``#`` comments are skipped. Anything
else is a `CodeError` that names line, column and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from datagen.domain import Choice, Domain, Language, Number, Statement
from datagen.errors import CodeError
from datagen.scene import Object, Scene, Value

MAX_CHARACTERS = 100_000
MAX_STATEMENTS = 1_000

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r]+|\#[^\n]*)
  | (?P<newline>\n)
  | (?P<number>[+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?![0-9A-Za-z_.]))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})
  | (?P<string>"[^"\\\n]{0,64}"|'[^'\\\n]{0,64}')
  | (?P<mark>[(),=])
    """,
    re.VERBOSE,
)


def write_code(scene: Scene, domain: Domain) -> str:
    """The canonical graphics code of a scene: one line per object, each number to its declared precision."""
    return "".join(write_object(obj, domain) + "\n" for obj in domain.canonical(scene).objects)


def write_object(obj: Object, domain: Language) -> str:
    """The one line of code, without its end, that makes an object."""
    statement = domain.statement(obj.statement)
    arguments = (f"{a.name}={write_value(obj[a.name], a)}" for a in statement.arguments)
    return f"{statement.name}({', '.join(arguments)})"


def write_value(value: Value, argument: Choice | Number) -> str:
    """One argument's value as code."""
    if isinstance(argument, Choice):
        return f'"{value}"'
    digits = [f"{x:.{argument.decimals}f}" for x in argument.as_tuple(argument.rounded(value))]
    return digits[0] if argument.components == 1 else f"({', '.join(digits)})"


def parse_code(text: str, domain: Language) -> Scene:
    """The scene that graphics code describes, objects in the order written, numbers as written.

    Checks form, names and vocabulary; ranges are `Domain.violations`' business. Raises `CodeError`.
    """
    if len(text) > MAX_CHARACTERS:
        raise CodeError(1, 1, f"{len(text)} characters", f"at most {MAX_CHARACTERS}")
    tokens = _Tokens(text)
    objects: list[Object] = []
    while True:
        tokens.skip_newlines()
        if tokens.peek.kind == "end":
            return Scene(domain.name, tuple(objects))
        if len(objects) == MAX_STATEMENTS:
            raise tokens.error(f"at most {MAX_STATEMENTS} statements")
        objects.append(_statement(tokens, domain))
        if tokens.peek.kind not in ("newline", "end"):
            raise tokens.error("the end of the line")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int


def _lex(text: str) -> Iterator[_Token]:
    line, start, at, depth = 1, 0, 0, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        column = at - start + 1
        if match is None:
            raise CodeError(line, column, repr(text[at : at + 16]), "graphics code")
        kind, piece = str(match.lastgroup), match.group()
        at = match.end()
        if kind == "mark":
            depth += {"(": 1, ")": -1}.get(piece, 0)
        if kind == "newline":
            if depth <= 0:  # inside parentheses a line break is a space, as in Python
                yield _Token(kind, piece, line, column)
            line, start = line + 1, at
        elif kind != "space":
            yield _Token(kind, piece, line, column)
    yield _Token("end", "", line, at - start + 1)


class _Tokens:
    """The token stream with one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self._stream = _lex(text)
        self.peek = next(self._stream)

    def next(self) -> _Token:
        token = self.peek
        if token.kind != "end":
            self.peek = next(self._stream)
        return token

    def take(self, kind: str, expected: str, text: str | None = None) -> _Token:
        if self.peek.kind != kind or (text is not None and self.peek.text != text):
            raise self.error(expected)
        return self.next()

    def mark(self, text: str) -> None:
        self.take("mark", f"'{text}'", text)

    def at_mark(self, text: str) -> bool:
        return self.peek.kind == "mark" and self.peek.text == text

    def skip_newlines(self) -> None:
        while self.peek.kind == "newline":
            self.next()

    def error(self, expected: str) -> CodeError:
        return _error(self.peek, expected)


def _error(token: _Token, expected: str) -> CodeError:
    found = {"end": "the end of the code", "newline": "the end of the line"}.get(token.kind, token.text)
    return CodeError(token.line, token.column, found, expected)


def _one_of(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"


def _statement(tokens: _Tokens, domain: Language) -> Object:
    names = tuple(s.name for s in domain.statements)
    name = tokens.take("name", f"a statement, {_one_of(names)}")
    if name.text not in names:
        raise _error(name, f"a statement, {_one_of(names)}")
    statement = domain.statement(name.text)
    tokens.mark("(")
    values: dict[str, Value] = {}
    while not tokens.at_mark(")"):
        if values:
            tokens.mark(",")
            if tokens.at_mark(")"):
                break
        key, value = _argument(tokens, statement, values)
        values[key] = value
    missing = tuple(a.name for a in statement.arguments if a.name not in values)
    if missing:
        raise tokens.error(f"the missing {', '.join(missing)}")
    tokens.mark(")")
    return Object(statement.name, {a.name: values[a.name] for a in statement.arguments})


def _argument(tokens: _Tokens, statement: Statement, seen: dict[str, Value]) -> tuple[str, Value]:
    open_names = tuple(a.name for a in statement.arguments if a.name not in seen)
    expected = f"a keyword, {_one_of(open_names)}" if open_names else "')'"
    key = tokens.take("name", expected)
    if key.text not in open_names:
        raise _error(key, expected)
    tokens.mark("=")
    argument = statement.argument(key.text)
    if isinstance(argument, Choice):
        return key.text, _word(tokens, argument)
    if argument.components == 1:
        return key.text, _number(tokens)
    tokens.mark("(")
    components = []
    for i in range(argument.components):
        if i:
            tokens.mark(",")
        components.append(_number(tokens))
    if tokens.at_mark(","):
        tokens.next()
    tokens.mark(")")
    return key.text, tuple(components)


def _word(tokens: _Tokens, choice: Choice) -> str:
    expected = f"a quoted word, {_one_of(choice.words)}"
    token = tokens.take("string", expected)
    if token.text[1:-1] not in choice.words:
        raise _error(token, expected)
    return token.text[1:-1]


def _number(tokens: _Tokens) -> float:
    return float(tokens.take("number", "a decimal number").text)
