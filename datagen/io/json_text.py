"""JSON that other people may have written: strict, of bounded depth, with the position of an error in its message."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from datagen.errors import UserError

MOST_LEVELS = 100  # of nested objects and lists
_TOO_DEEP = "it is nested too deeply"


def decode_json(text: str | bytes) -> Any:
    """The value of strict JSON: no NaN or infinity, no half of a surrogate pair, at most `MOST_LEVELS`, no key twice in an object.

    ValueError for anything else.
    """
    try:
        content = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(_clearer(text, error)) from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if isinstance(content, dict | list):
        # A colon follows each key, and a bracket begins each object and list. If the text has more of these signs than `_count` found, they
        # are in strings, in lists that it skipped, or of a key given twice: only then the full check is done, which doubles the cost.
        signs = (":", "[", "{") if isinstance(text, str) else (b":", b"[", b"{")
        if _count(content, MOST_LEVELS) != sum(map(text.count, signs)):  # type: ignore[arg-type]
            _check_levels(content)
            json.loads(text, object_pairs_hook=_refuse_twins)
    return content


def _count(content: dict[str, Any] | list[Any], levels: int) -> int:
    """The number of keys, objects and lists, without those in lists whose first item is neither an object nor a list."""
    if not levels:
        raise ValueError(_TOO_DEEP)
    count = 1
    inner: Iterable[Any] = content
    if isinstance(content, dict):
        count += len(content)
        inner = content.values()
    for value in inner:
        kind = type(value)
        if kind is dict or (kind is list and value and type(value[0]) in (dict, list)):
            count += _count(value, levels - 1)
        elif kind is list:
            count += 1
    return count


def _check_levels(content: Any) -> None:
    waiting = [(content, MOST_LEVELS)]
    while waiting:
        at, levels = waiting.pop()
        if isinstance(at, dict | list):
            if not levels:
                raise ValueError(_TOO_DEEP)
            waiting += [(value, levels - 1) for value in (at.values() if isinstance(at, dict) else at)]


def _clearer(text: str | bytes, error: msgspec.DecodeError) -> str:
    """The error in a text that is no JSON, and its position: Python's message if its parser fails, too, else msgspec's."""
    try:
        json.loads(text, parse_constant=_finite, parse_float=_finite)
    except json.JSONDecodeError as clearer:
        return str(clearer)
    except RecursionError:
        pass
    except ValueError as clearer:
        place = re.search(r"byte (\d+)", str(error))
        data = text.encode(errors="replace") if isinstance(text, str) else text
        return f"line {data[: int(place[1])].count(10) + 1}: {clearer}" if place else str(clearer)
    # Python's parser accepts the text, so the error is one of those that only msgspec finds.
    return "a string holds half of a surrogate pair" if "surrogate" in str(error) or "truncated" in str(error) else str(error)


def _finite(number: str) -> float:
    if not math.isfinite(float(number)):
        raise ValueError(f"{number:.80} is no finite number")
    return float(number)


def _refuse_twins(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r:.80} is given twice")


def decode_row(line: str, where: str) -> dict[str, Any]:
    """The JSON object in a line; `UserError` that begins with `where` if there is none."""
    try:
        row = decode_json(line)
    except ValueError as error:
        raise UserError(f"{where}: a JSON object is expected ({error})") from None
    if not isinstance(row, dict):
        raise UserError(f"{where}: a JSON object is expected, not {line.strip():.60}")
    return row
