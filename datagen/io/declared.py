"""Files that anybody may have written, checked once against their declared types: values returned by this module have those types.

A declaration is a msgspec ``Struct`` beside the code that writes such files; `datagen.kinds` lists them. Types are strict: true and "3" are
no numbers, 3.0 is no whole number.
"""

from __future__ import annotations

import bisect
import copy
import json
import re
from collections.abc import Callable, Hashable, Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, TypeVar, cast

import msgspec
import msgspec.inspect

from datagen.errors import UserError, did_you_mean
from datagen.io.files import read_json, read_lines
from datagen.io.json_text import decode_row
from datagen.io.untrusted import INNER_IN_WORDS, INNER_PATTERN, NAME_IN_WORDS, NAME_PATTERN, shortened

T = TypeVar("T")

_ANALYSING = Lock()

MAX_BYTES = 1_000_000  # of a small file, such as people write by hand
MAX_INDEX = 2**53  # whole numbers that every reader of JSON holds exactly
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INDEX)]
FileName = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
"""A name that files and keys can carry."""
InnerPath = Annotated[str, msgspec.Meta(pattern=INNER_PATTERN)]
"""The path of a file below a folder, relative to the folder and without ``..``."""
DIGEST_PATTERN = r"^[0-9a-f]{64}\Z"
Digest = Annotated[str, msgspec.Meta(pattern=DIGEST_PATTERN)]
"""A SHA-256 in hexadecimal."""
SHORT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}\Z"
ShortText = Annotated[str, msgspec.Meta(pattern=SHORT_PATTERN)]
"""A version, or the name of a device, which is safe to show anywhere as it is."""
PATTERNS = {
    NAME_PATTERN: NAME_IN_WORDS,
    INNER_PATTERN: INNER_IN_WORDS,
    DIGEST_PATTERN: "a SHA-256 in hexadecimal",
    SHORT_PATTERN: "at most 64 letters, digits, spaces, '.', '_', '+' and '-', a letter or digit first",
}
"""A description of each pattern, for messages."""


def as_declared(content: Any, kind: type[T], where: str) -> T:
    """Plain data as the type `kind`, declared with msgspec; `UserError` that begins with `where` and names the field if they do not fit."""
    _analyse(cast(Hashable, kind))
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_described(content, kind, error)}") from None


@cache
def _analyse(kind: Any) -> None:
    """Have msgspec analyse a type before its first use: it crashes if one thread converts to a type that another is having it analyse."""
    with _ANALYSING:
        msgspec.json.Decoder(kind)


def to_plain(declared: Any) -> Any:
    """An object of a type declared with msgspec as plain data, as decoded from its JSON: with lists for tuples."""
    return msgspec.json.decode(msgspec.json.encode(declared))


def read_declared(path: Path, kind: type[T], most: int = MAX_BYTES) -> T:
    """The content of a JSON file of at most `most` bytes; `UserError` that names the file and the field if it is not as declared."""
    return as_declared(read_json(path, most), kind, str(path))


def read_rows(path: Path, kind: type[T]) -> Iterator[tuple[str, T]]:
    """The rows of a JSONL file, one by one, each with its file and line as text for messages; a `UserError` names both, and the field."""
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        yield where, as_declared(decode_row(line, where), kind, where)


_TYPES = {
    "array": "a list",
    "bool": "true or false",
    "float": "a finite number",
    "int": "a whole number",
    "object": "an object {...}",
    "str": "a string",
}
"""Descriptions of types by msgspec's names for them."""
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
"""A message of msgspec's."""


def _described(content: Any, kind: Any, error: msgspec.ValidationError) -> str:
    """The message for an error of msgspec's: the field, its value, and what is expected there."""
    problem, path = _problem_and_path(content, error)
    of_key = path.startswith("key` in `")
    steps = re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path.removeprefix("key` in `").rstrip("`"))
    field, found = _at(content, kind, str(error), [*steps, ("", "...")] if of_key else steps)
    if of_key:
        field, found = "a key", field.rpartition(".")[2]
    expected = re.fullmatch(r"Expected `([a-z |]+)`(.*?)(?:, got .*)?", problem)
    if expected:
        types = " or ".join(_TYPES.get(name, name) for name in expected[1].split(" | "))
        allowed = next((words for pattern, words in PATTERNS.items() if repr(pattern) in problem), f"{types}{expected[2]}")
        return f"{field} is {shortened(found)}, but must be {allowed}"
    if problem.endswith("out of range"):
        return f"{field} is {shortened(found)}, but must be a finite number"
    if problem.startswith("Invalid enum value "):
        words = " or ".join(json.dumps(word) for word in _words(msgspec.inspect.type_info(kind), steps))
        return f"{field} is {shortened(found)}, but must be {words}"
    unknown = _UNKNOWN.fullmatch(problem)
    if unknown:
        known = _fields(msgspec.inspect.type_info(kind), steps)
        return f"{field} has the key {unknown[1]!r:.80}; known are {', '.join(known)}{did_you_mean(unknown[1], known)}"
    missing = re.fullmatch(r"Object missing required field `(.*)`", problem)
    if missing:
        return f"{field}: {missing[1]} is missing" if steps else f"{missing[1]} is missing"
    return f"{field}: {problem[0].lower()}{problem[1:]}".replace("`", "") if steps else problem


def _problem_and_path(content: Any, error: msgspec.ValidationError) -> tuple[str, str]:
    """The two parts of msgspec's message. The first may quote a key or word that looks like the second, which an error of the outermost
    object does not have."""
    message = str(error)
    if error.__cause__:  # raised by a `__post_init__`
        problem = str(error.__cause__)
        return problem, message.removeprefix(problem).removeprefix(" - at `")
    unknown = _UNKNOWN.fullmatch(message)
    if unknown and isinstance(content, dict) and unknown[1] in content:
        return message, ""
    problem, parted, path = message.rpartition(" - at `")
    return (problem, path) if parted else (message, "")


def _at(content: Any, kind: Any, message: str, steps: list[tuple[str, str]]) -> tuple[str, Any]:
    """The field that msgspec refused in `content`, and its value. A mapping's key, which msgspec does not report, is found by trying."""
    if any(item == "..." for _, item in steps):  # the search for the key changes it
        content = copy.deepcopy(content)
    at, field = content, ""
    for name, item in steps:
        if item == "...":
            key, at = _first_faulty(at, lambda: _refusal(content, kind) == message)
            field += f".{key:.80}" if field else f"{key:.80}"
        elif item:
            at, field = at[int(item)], f"{field}[{item}]"
        else:
            at, field = at[name], f"{field}.{name}" if field else name
    return field or "its content", at


def _first_faulty(mapping: dict[str, Any], is_faulty: Callable[[], bool]) -> tuple[str, Any]:
    """The first faulty entry of a mapping, by bisection, because msgspec checks entries in order; those after it are removed from it."""
    entries = list(mapping.items())

    def with_first(count: int) -> bool:
        mapping.clear()
        mapping.update(entries[:count])
        return is_faulty()

    count = bisect.bisect_left(range(1, len(entries)), True, key=with_first) + 1
    with_first(count)
    return entries[count - 1]


def _refusal(content: Any, kind: Any) -> str | None:
    try:
        msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _fields(info: msgspec.inspect.Type, steps: list[tuple[str, str]]) -> list[str]:
    """The names of the fields of the object to which `steps` lead from a declared type."""
    info = _plain(_type_at(info, steps))
    assert isinstance(info, msgspec.inspect.StructType)
    return [field.encode_name for field in info.fields]


def _words(info: msgspec.inspect.Type, steps: list[tuple[str, str]]) -> list[Any]:
    """The values of the field to which `steps` lead from a declared type, one of which it must have."""
    info = _type_at(info, steps)
    types = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return [value for one in types if isinstance(one, msgspec.inspect.LiteralType) for value in one.values]


def _type_at(info: msgspec.inspect.Type, steps: list[tuple[str, str]]) -> msgspec.inspect.Type:
    """The type to which `steps` lead from a declared type."""
    for name, item in steps:
        info = _plain(info)
        if isinstance(info, msgspec.inspect.StructType):
            info = next(field.type for field in info.fields if field.encode_name == name)
        elif isinstance(info, msgspec.inspect.TupleType):
            info = info.item_types[int(item)]
        elif isinstance(info, msgspec.inspect.DictType):
            info = info.value_type
        else:
            assert isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType)
            info = info.item_type
    return info


def _plain(info: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """Of several possible types, the one that is an object or a list; a single type as it is."""
    if isinstance(info, msgspec.inspect.UnionType):
        simple = (msgspec.inspect.NoneType, msgspec.inspect.StrType, msgspec.inspect.FloatType, msgspec.inspect.IntType)
        return next(_plain(one) for one in info.types if not isinstance(one, simple))
    return info
