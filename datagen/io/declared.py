"""Files that anybody may have written, held once against what is declared of them: what comes out of here is as its type says.

A declaration is a msgspec ``Struct`` beside the code that writes such files; `datagen.kinds` lists them. Types are taken at their word:
true is no number, "3" none and 3.0 no whole one.
"""

from __future__ import annotations

import bisect
import copy
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

_LEARNING = Lock()

MAX_BYTES = 1_000_000  # of a small file, such as people write by hand
MAX_INDEX = 2**53  # whole numbers that every reader of JSON holds exactly
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INDEX)]
FileName = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
"""A name that files and keys can carry."""
InnerPath = Annotated[str, msgspec.Meta(pattern=INNER_PATTERN)]
"""The path of a file in a folder, from there, which leads nowhere else."""
DIGEST_PATTERN = r"^[0-9a-f]{64}\Z"
Digest = Annotated[str, msgspec.Meta(pattern=DIGEST_PATTERN)]
"""A SHA-256 in hexadecimal."""
SHORT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}\Z"
ShortText = Annotated[str, msgspec.Meta(pattern=SHORT_PATTERN)]
"""A version, or what a device is called, which may be shown anywhere as it is."""
PATTERNS = {
    NAME_PATTERN: NAME_IN_WORDS,
    INNER_PATTERN: INNER_IN_WORDS,
    DIGEST_PATTERN: "a SHA-256 in hexadecimal",
    SHORT_PATTERN: "at most 64 letters, digits, spaces, '.', '_', '+' and '-', a letter or digit first",
}
"""What patterns ask for, in words."""


def as_declared(content: Any, kind: type[T], where: str) -> T:
    """Plain data as the `kind` that is declared of it with msgspec. `UserError` that begins with `where` and names the field."""
    _learn(cast(Hashable, kind))
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_described(content, kind, error)}") from None


@cache
def _learn(kind: Any) -> None:
    """Have msgspec know a kind before it reads any: it crashes where one thread reads what another has it learn."""
    with _LEARNING:
        msgspec.json.Decoder(kind)


def to_plain(declared: Any) -> Any:
    """What is declared with msgspec as plain data, with lists for tuples, as its JSON says it."""
    return msgspec.json.decode(msgspec.json.encode(declared))


def read_declared(path: Path, kind: type[T], most: int = MAX_BYTES) -> T:
    """What is in a JSON file of at most so many bytes; `UserError` that names the file and the field if it is not as declared."""
    return as_declared(read_json(path, most), kind, str(path))


def read_rows(path: Path, kind: type[T]) -> Iterator[tuple[str, T]]:
    """The rows of a JSONL file, one after the other, each with file and line for messages; `UserError` that names both, and the field."""
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
"""What msgspec calls a type, in words."""


def _described(content: Any, kind: Any, error: msgspec.ValidationError) -> str:
    """What is wrong, in words: the field, what is in it, and what is expected there."""
    problem, _, path = str(error).partition(" - at `")
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
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL)
    if unknown:
        known = _fields(msgspec.inspect.type_info(kind), steps)
        return f"{field} has the key {unknown[1]!r:.80}; known are {', '.join(known)}{did_you_mean(unknown[1], known)}"
    missing = re.fullmatch(r"Object missing required field `(.*)`", problem)
    if missing:
        return f"{field}: {missing[1]} is missing" if steps else f"{missing[1]} is missing"
    return f"{field}: {problem[0].lower()}{problem[1:]}".replace("`", "") if steps else problem


def _at(content: Any, kind: Any, message: str, steps: list[tuple[str, str]]) -> tuple[str, Any]:
    """Where msgspec found fault with `content`, and what is there. It does not tell the keys of a mapping, but it reads them in order."""
    if any(item == "..." for _, item in steps):  # where it is changed, to find the key
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
    """The first entry with which a mapping is faulty; those behind it are left out of it from now on."""
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
    """The names of an object's fields, where `steps` lead to in what is declared."""
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
    info = _plain(info)
    assert isinstance(info, msgspec.inspect.StructType)
    return [field.encode_name for field in info.fields]


def _plain(info: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """What can be an object or a list, of several possible types."""
    if isinstance(info, msgspec.inspect.UnionType):
        simple = (msgspec.inspect.NoneType, msgspec.inspect.StrType, msgspec.inspect.FloatType, msgspec.inspect.IntType)
        return next(_plain(one) for one in info.types if not isinstance(one, simple))
    return info
