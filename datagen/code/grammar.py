"""The writer and the parser of graphics code. Parsing never runs the code.

One statement per object, for example::

    add(loc=(1.234, -0.456, 0.495), color="cyan", material="metal", size="large", shape="cube", rotation=37.2)

In a domain whose scenes are photographed, a header may stand before them: the camera and some of the lamps, each at most once::

    camera(loc=(7.481, -6.508, 5.344), target=(0.000, 0.000, 0.000), lens=35.00)
    lamp(name="key", loc=(6.447, -2.905, 4.258), power=78.50)

The grammar is fixed and small: each statement on its own line, keyword arguments in any order, double- or single-quoted words, finite
decimals without underscore, exponent or imaginary part; blank lines and ``#`` comments are skipped. Anything else raises a `CodeError`
with line, column and problem.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from datagen.code.statements import Canonical, Choice, Language, Number, Statement
from datagen.errors import CodeError, did_you_mean
from datagen.scene import Object, Scene, Value

MAX_CHARACTERS = 100_000
MAX_STATEMENTS = 1_000
MOST_LISTED = 12  # words that a message lists
AFTER_VALUE = "a value is followed by a comma or by the closing )"
_COUNTS = {0: "none", 1: "one", 2: "two", 3: "three", 4: "four"}

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


def write_code(scene: Scene, domain: Canonical) -> str:
    """The canonical graphics code of a scene: its header, then one line per object, each number to its declared precision."""
    canonical = domain.canonical(scene)
    return "".join(write_object(obj, domain) + "\n" for obj in (*canonical.header, *canonical.objects))


def write_object(obj: Object, domain: Language) -> str:
    """The statement that creates an object: one line of code without its line break."""
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

    Raises `CodeError` for wrong form, names or vocabulary. Ranges are checked by `datagen.domains.base.Domain.violations`.
    """
    if len(text) > MAX_CHARACTERS:
        raise CodeError(1, 1, f"{len(text):,} characters, at most {MAX_CHARACTERS:,} are read")
    tokens = _Tokens(text)
    header: dict[tuple[str, ...], Object] = {}
    objects: list[Object] = []
    while True:
        tokens.skip_newlines()
        begin = tokens.peek
        if begin.kind == "end":
            return Scene(domain.name, tuple(objects), tuple(header.values()))
        if len(objects) == MAX_STATEMENTS:
            raise tokens.error(f"one statement too many: at most {MAX_STATEMENTS:,} are read")
        obj = _statement(tokens, domain)
        if obj.statement in (statement.name for statement in domain.header):
            key = domain.statement(obj.statement).key(obj)
            if objects:
                raise _error(begin, f"{obj.statement}(...) stands before the objects")
            if key in header:
                raise _error(begin, f"{' '.join(key)} is given twice")
            header[key] = obj
        else:
            objects.append(obj)
        if tokens.peek.kind not in ("newline", "end"):
            raise tokens.error("one ) too many") if tokens.at_mark(")") else tokens.unexpected("each statement has a line of its own")


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
            raise CodeError(line, column, _unreadable(text, at))
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


def _unreadable(text: str, at: int) -> str:
    """The message for text where no token begins."""
    character, line = text[at], text[at:].partition("\n")[0]
    if character in "\"'":
        return f"{_cut(line)} is no word in quotes: it ends with the quote it begins with, on its line, after at most 64 characters"
    if number := re.match(r"[+-]?\.?[0-9][0-9A-Za-z_.]*", line):
        return f"{_cut(number.group())} is no number for graphics code: a plain decimal is, of at most 12 digits, then 15 decimals"
    if character in "[]{}":
        return f"{character} has no place in graphics code: several numbers of one argument stand between ( and )"
    if character.isascii() and character.isprintable():
        return f"{character} has no place in graphics code"
    name = unicodedata.name(character, "a control character")
    return f"the character U+{ord(character):04X} ({name}) has no place in graphics code"


def _cut(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:24]}…"


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

    def expect(self, kind: str, rule: str, text: str | None = None) -> _Token:
        """Consume and return the next token. `CodeError` with ``rule`` unless it has this kind and, if given, this text."""
        if self.peek.kind != kind or (text is not None and self.peek.text != text):
            raise self.unexpected(rule)
        return self.next()

    def at_mark(self, text: str) -> bool:
        return self.peek.kind == "mark" and self.peek.text == text

    def skip_newlines(self) -> None:
        while self.peek.kind == "newline":
            self.next()

    def unexpected(self, rule: str) -> CodeError:
        """A `CodeError` for the next token, which breaks this rule."""
        found = {"end": "the end of the code", "newline": "the end of the line"}.get(self.peek.kind, self.peek.text)
        return self.error(f"found {found}, but {rule}")

    def error(self, problem: str) -> CodeError:
        return _error(self.peek, problem)


def _error(token: _Token, problem: str) -> CodeError:
    return CodeError(token.line, token.column, problem)


def _listed(words: tuple[str, ...]) -> str:
    """Words for a message, at most `MOST_LISTED` of them."""
    more = f", … ({len(words)} in all)" if len(words) > MOST_LISTED else ""
    return ", ".join(words[:MOST_LISTED]) + more


def _statement(tokens: _Tokens, domain: Language) -> Object:
    names = tuple(s.name for s in (*domain.statements, *domain.header))
    known = _listed(tuple(f"{name}(...)" for name in names))
    name = tokens.expect("name", f"a statement begins with its name: {known}")
    if name.text not in names:
        raise _error(name, f"{name.text} is no statement of the {domain.name} domain, which has {known}{did_you_mean(name.text, names)}")
    statement = domain.statement(name.text)
    tokens.expect("mark", f"{name.text} must be followed by (", "(")
    values: dict[str, Value] = {}
    while not tokens.at_mark(")"):
        if values:
            tokens.expect("mark", AFTER_VALUE, ",")
            if tokens.at_mark(")"):
                break
        key, value = _argument(tokens, statement, values)
        values[key] = value
    missing = [f"{a.name}=…" for a in statement.arguments if a.name not in values]
    if missing:
        raise tokens.error(f"{name.text}(...) lacks {' and '.join(missing)}")
    tokens.next()
    return Object(statement.name, {a.name: values[a.name] for a in statement.arguments})


def _argument(tokens: _Tokens, statement: Statement, seen: dict[str, Value]) -> tuple[str, Value]:
    names = tuple(a.name for a in statement.arguments)
    key = tokens.expect("name", f"every value of {statement.name}(...) follows its keyword: {_listed(names)}")
    if key.text in seen:
        raise _error(key, f"{key.text} is given twice")
    if key.text not in names:
        raise _error(key, f"{statement.name}(...) has no {key.text}: its keywords are {_listed(names)}{did_you_mean(key.text, names)}")
    tokens.expect("mark", f"{key.text} must be followed by =", "=")
    argument = statement.argument(key.text)
    if isinstance(argument, Choice):
        return key.text, _word(tokens, argument)
    return key.text, _number(tokens, argument) if argument.components == 1 else _numbers(tokens, argument)


def _word(tokens: _Tokens, choice: Choice) -> str:
    token = tokens.peek
    if token.kind != "string":
        raise tokens.unexpected(f'{choice.name} needs a word in quotes, such as {choice.name}="{choice.words[0]}"')
    word = tokens.next().text[1:-1]
    if word not in choice.words:
        raise _error(token, f'"{word}" is no {choice.name}: known are {_listed(choice.words)}{did_you_mean(word, choice.words)}')
    return word


def _numbers(tokens: _Tokens, argument: Number) -> tuple[float, ...]:
    """Parse as many numbers as the argument has components, in parentheses."""
    begin, needed = tokens.peek, f"{argument.name} needs {_count(argument.components)}"
    tokens.expect("mark", f"{needed} in parentheses", "(")
    found: list[float] = []
    while not tokens.at_mark(")"):
        if found:
            tokens.expect("mark", AFTER_VALUE, ",")
            if tokens.at_mark(")"):
                break
        found.append(_number(tokens, argument))
    tokens.next()
    if len(found) != argument.components:
        raise _error(begin, f"{needed}, found {_COUNTS.get(len(found), len(found))}")
    return tuple(found)


def _number(tokens: _Tokens, argument: Number) -> float:
    return float(tokens.expect("number", f"{argument.name} needs {_count(argument.components)}").text)


def _count(numbers: int) -> str:
    return "a number" if numbers == 1 else f"{_COUNTS.get(numbers, numbers)} numbers"
