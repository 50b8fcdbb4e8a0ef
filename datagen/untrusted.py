"""Plain data out of files that anybody may have written: every mistake is one `UserError` with the file, the field and what is allowed."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from datagen.errors import UserError, did_you_mean
from datagen.files import decode_text

MAX_BYTES = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def refuse(where: str, field: str, found: Any, allowed: str) -> NoReturn:
    """Raise the `UserError` for a field that holds something else than what is `allowed`, which is told in words."""
    raise UserError(f"{where}: {field} is {_short(found)}, but must be {allowed}")


def _short(found: Any) -> str:
    try:
        text = json.dumps(found)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(found))
    return text if len(text) <= 80 else f"{text[:77]}..."


def declared_as(error: Exception) -> str:
    """What msgspec says of a value that is not as declared, in words: the field, then what was expected there."""
    problem, _, field = str(error).replace("`", "").partition(" - at $")
    return f"{field.lstrip('.')}: {problem[0].lower()}{problem[1:]}" if field else problem


def read_object(path: Path, most: int = MAX_BYTES) -> dict[str, Any]:
    """The JSON object in a file of at most so many bytes, no key given twice; `UserError` naming the file otherwise."""
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(data) > most:
        raise UserError(f"{path}: has more than {most} bytes")
    text = decode_text(data, str(path))
    try:
        content = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON as expected ({error})") from None
    return as_object(content, str(path), "its content")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} is given twice")
    return found


def as_object(value: Any, where: str, field: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        refuse(where, field, value, "an object {...}")
    return dict(value)


def as_list(value: Any, where: str, field: str, items: str) -> list[Any]:
    """A JSON list that is not empty; `items` says of what, in words."""
    if not isinstance(value, list) or not value:
        refuse(where, field, value, f"a list of {items}")
    return value


def as_number(value: Any, where: str, field: str, unit: str = "") -> float:
    """A finite number that a float can hold."""
    fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    if not fine:
        refuse(where, field, value, "a finite number" + (f" in {unit}" if unit else ""))
    return float(value)


def as_integer(value: Any, where: str, field: str) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(where, field, value, "a whole number")
    return value


def as_flag(value: Any, where: str, field: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        refuse(where, field, value, "true or false")
    return value


def as_text(value: Any, where: str, field: str) -> str:
    """A string."""
    if not isinstance(value, str):
        refuse(where, field, value, "a string")
    return value


def as_name(value: Any, where: str, field: str) -> str:
    """A name that files and keys can carry."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        refuse(where, field, value, "a name of at most 64 letters, digits, '.', '_' and '-', a letter or digit first")
    return value


def as_numbers(value: Any, where: str, field: str, count: int, unit: str = "") -> tuple[float, ...]:
    """A list of `count` finite numbers."""
    if not isinstance(value, list) or len(value) != count:
        refuse(where, field, value, f"a list of {count} numbers" + (f" in {unit}" if unit else ""))
    return tuple(as_number(v, where, f"{field}[{i}]", unit) for i, v in enumerate(value))


def only_keys(data: Mapping[str, Any], keys: Collection[str], where: str, field: str) -> None:
    """Refuse keys that mean nothing."""
    unknown = [key for key in data if key not in keys]
    if unknown:
        known = ", ".join(keys)
        raise UserError(f"{where}: {field} has the key {unknown[0]!r:.80}; known are {known}{did_you_mean(unknown[0], keys)}")
