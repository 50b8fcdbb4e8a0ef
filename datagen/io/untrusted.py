"""Checks of plain data that anybody may have written: each raises a `UserError` with file, field, the value found and those allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from datagen.errors import UserError, did_you_mean

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
INNER_PATTERN = r"^(?!/)(?!(.*/)?\.\.(/|\Z))[^\0]+\Z"
INNER_IN_WORDS = "the path of a file in the folder, seen from there"
LONGEST_SHOWN = 80  # characters of a value in a message
NAME_IN_WORDS = "a name of at most 64 letters, digits, '.', '_' and '-', a letter or digit first"


def refuse(where: str, field: str, found: Any, allowed: str) -> NoReturn:
    """Raise the `UserError` for a field that holds `found`, which does not fit the description `allowed`."""
    raise UserError(f"{where}: {field} is {shortened(found)}, but must be {allowed}")


def shortened(found: Any) -> str:
    """A value as JSON for messages, cut to `LONGEST_SHOWN` characters; the rest of a long one is never encoded."""
    text = ""
    try:
        for chunk in json.JSONEncoder().iterencode(found):
            text += chunk
            if len(text) > LONGEST_SHOWN:
                return f"{text[: LONGEST_SHOWN - 3]}..."
    except (TypeError, ValueError, RecursionError):
        return repr(type(found))
    return text


def as_name(value: Any, where: str, field: str) -> str:
    """The value, if it is a name that files and keys can carry; `UserError` otherwise."""
    if not isinstance(value, str) or not re.search(NAME_PATTERN, value):
        refuse(where, field, value, NAME_IN_WORDS)
    return value


def only_keys(data: Mapping[str, Any], keys: Collection[str], where: str, field: str) -> None:
    """`UserError` if `data` has a key that is not among `keys`."""
    unknown = [key for key in data if key not in keys]
    if unknown:
        known = ", ".join(keys)
        raise UserError(f"{where}: {field} has the key {unknown[0]!r:.80}; known are {known}{did_you_mean(unknown[0], keys)}")
