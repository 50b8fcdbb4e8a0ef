"""Plain data that anybody may have written: what is wrong with it is one `UserError` with file, field, what is there and what may be."""

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
    """Raise the `UserError` for a field that holds something else than what is `allowed`, which is told in words."""
    raise UserError(f"{where}: {field} is {shortened(found)}, but must be {allowed}")


def shortened(found: Any) -> str:
    """A value as messages show it; a long one is not written out whole before it is cut."""
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
    """A name that files and keys can carry."""
    if not isinstance(value, str) or not re.search(NAME_PATTERN, value):
        refuse(where, field, value, NAME_IN_WORDS)
    return value


def only_keys(data: Mapping[str, Any], keys: Collection[str], where: str, field: str) -> None:
    """Refuse keys that mean nothing."""
    unknown = [key for key in data if key not in keys]
    if unknown:
        known = ", ".join(keys)
        raise UserError(f"{where}: {field} has the key {unknown[0]!r:.80}; known are {known}{did_you_mean(unknown[0], keys)}")
