"""Faults that damage or an attacker may put into a file: other values and structure in plain data, and damaged text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from guard import CANARY


class Raw(str):
    """Text that is written into JSON unchanged, valid or not."""


class Pairs(list):
    """The (key, value) pairs of an object that may have the same key twice."""


HUGE = (2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**15, 10**30)
PAYLOADS = (
    f"__import__('os').system('touch {CANARY}')",
    f"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}}{CANARY}",
    f"<script>{CANARY}()</script><img src=x onerror={CANARY}()>",
    f"$(touch {CANARY})`touch {CANARY}`;touch {CANARY}",
    f"cos\nsystem\n(S'touch {CANARY}'\ntR.",
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    "%s%n%x{0.__class__}",
)
PLACES = (
    *(
        "../outside/secret",
        "../../outside/secret",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "..\\outside\\secret",
        "C:\\windows\\win.ini",
        "file:///etc/passwd",
    ),
    *(
        "http://127.0.0.1:9/x",
        "//127.0.0.1/share/x",
        "~/.ssh/id_rsa",
        ".",
        "..",
        "/",
        "/dev/zero",
        "/dev/stdin",
        "NUL",
        "a/../../outside/secret",
    ),
    "%2e%2e/outside/secret",
)
LIKE_MESSAGES = ("` - at `$.x[7].x", "' - at `key` in `$.x", "%(name)s {0} \\1 \\g<1>")
"""Texts that look like the end of a message of msgspec's, or like placeholders in a template."""
TEXTS = (
    *("", " ", "\0", "\x1b[2J\x1b]0;x\x07", "\n", "\u202e", "\ud800", "x" * 300, "x" * 100_000, "Ａ", "é", "true", "1", "nan", "None"),
    *LIKE_MESSAGES,
)
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, -1e308, 5e-324, *HUGE, *(-number for number in HUGE)),
    *(
        Raw("NaN"),
        Raw("Infinity"),
        Raw("-Infinity"),
        Raw("1e400"),
        Raw("1" * 5000),
        Raw("01"),
        Raw("0x10"),
        Raw("1_000"),
        Raw("+1"),
        Raw(".5"),
    ),
    *(
        Raw("1.0"),
        Raw("-0"),
        Raw("'x'"),
        Raw("undefined"),
        Raw(""),
        Raw('"\\ud800"'),
        Raw('"\\udc00\\ud800"'),
        Raw('"\\u0000"'),
        Raw('"\x01"'),
    ),
    *TEXTS,
    *PAYLOADS,
    *PLACES,
    *([], {}, [[]], [{}], [None], {"": None}, {"__proto__": 1}, [0] * 2000, ["x"] * 2000, {"auto_map": {"AutoConfig": "evil.Evil"}}),
    *(Raw("[" * depth + "]" * depth) for depth in (10, 1_000, 100_000)),
    *(Raw('{"a":' * depth + "1" + "}" * depth) for depth in (10, 1_000, 20_000)),
)
"""Values that have a wrong type, lie outside of any range, or are not valid JSON."""


def text_of(value: Any) -> str:
    """JSON of plain data, in which `Raw` is written unchanged and `Pairs` with its repeated keys."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {text_of(inner)}" for key, inner in value) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {text_of(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return json.dumps(value)


def _owners(value: Any) -> list[Any]:
    """The objects and lists in plain data that are not empty, the outermost first."""
    found, at = [], 0
    waiting = [value]
    while at < len(waiting):
        inner = waiting[at]
        at += 1
        if isinstance(inner, dict | Pairs):
            found.append(inner)
            waiting += [each for _, each in inner] if isinstance(inner, Pairs) else list(inner.values())
        elif isinstance(inner, list):
            found.append(inner)
            waiting += inner[:64]  # later rows have the same fields
    return [owner for owner in found if len(owner)]


def faulty(value: Any, where: int, sort: int, strange: Any) -> Any:
    """Plain data with one fault: ``where`` picks a field or an item, or one time in 32 the whole, ``sort`` the fault.

    ``strange`` is the value that replaces or is added. ``value`` is changed in place and returned, unless it is replaced as a whole.
    """
    owners = _owners(value)
    if not owners or where % 32 == 31:
        return strange
    owner = owners[where % len(owners)]
    if isinstance(owner, Pairs):
        owner.append((owner[0][0], strange))
        return value
    keys = list(owner) if isinstance(owner, dict) else range(len(owner))
    key = keys[(where // len(owners)) % len(keys)]
    return (_FAULTS[sort % len(_FAULTS)])(value, owner, key, strange)


def _replaced(value: Any, owner: Any, key: Any, strange: Any) -> Any:
    owner[key] = strange
    return value


def _removed(value: Any, owner: Any, key: Any, strange: Any) -> Any:
    del owner[key]
    return value


def _added(value: Any, owner: Any, key: Any, strange: Any) -> Any:
    if isinstance(owner, dict):
        owner[strange if type(strange) is str else f"{key}_"[:40]] = strange
    else:
        owner.append(strange)
    return value


def _retyped(value: Any, owner: Any, key: Any, strange: Any) -> Any:
    """The value as another type: a boolean as a number, a number as text, text as a list, a list as an object, an object as pairs."""
    inner = owner[key]
    if isinstance(inner, bool):
        owner[key] = int(inner)
    elif isinstance(inner, int | float):
        owner[key] = f"{inner}"
    elif isinstance(inner, str):
        owner[key] = [inner]
    elif isinstance(inner, list):
        owner[key] = {str(number): each for number, each in enumerate(inner)}
    elif isinstance(inner, dict):
        owner[key] = list(inner.items())
    return value


def _moved(value: Any, owner: Any, key: Any, strange: Any) -> Any:
    """A number plus ``strange``, or plus 1 if ``strange`` is no number; any other value is replaced."""
    inner = owner[key]
    if isinstance(inner, int | float):
        owner[key] = inner + (strange if isinstance(strange, int | float) else 1)
    else:
        owner[key] = strange
    return value


def _repeated(value: Any, owner: Any, key: Any, strange: Any) -> Any:
    """An object's key a second time, with ``strange``, or a list's item 50 more times."""
    if isinstance(owner, list):
        owner += [owner[key]] * 50
        return value
    pairs = Pairs([*owner.items(), (key, strange)])
    return pairs if owner is value else _put(value, owner, pairs)


def _put(value: Any, old: Any, new: Any) -> Any:
    """``value`` with ``new`` wherever it held ``old``."""
    for owner in _owners(value):
        for key in list(owner) if isinstance(owner, dict) else range(len(owner)) if not isinstance(owner, Pairs) else ():
            if owner[key] is old:
                owner[key] = new
    return value


_FAULTS: tuple[Callable[[Any, Any, Any, Any], Any], ...] = (_replaced, _replaced, _removed, _moved, _retyped, _added, _repeated)


def dressed(data: bytes, dress: str, at: int) -> bytes:
    """The bytes of a text file, plain or with the damage that ``dress`` names (`DRESSES`); ``at`` determines the place of some."""
    place = at % (len(data) + 1)
    return {
        "plain": lambda: data,
        "cut": lambda: data[:place],
        "bom": lambda: b"\xef\xbb\xbf" + data,
        "utf-16": lambda: data.decode(errors="replace").encode("utf-16"),
        "utf-32": lambda: data.decode(errors="replace").encode("utf-32"),
        "byte": lambda: data[:place] + b"\xff" + data[place:],
        "nul": lambda: data[:place] + b"\0" + data[place:],
        "behind": lambda: data + b"garbage",
        "twice": lambda: data + data,
        "lines": lambda: data.replace(b", ", b",\r\n"),
        "flip": lambda: data[:place] + bytes([data[place] ^ (1 << at % 8)]) + data[place + 1 :] if place < len(data) else data,
        "hole": lambda: data[:place] + data[place + 1 + at % 7 :],
        "empty": lambda: b"",
    }[dress]()


DRESSES = ("plain", "cut", "bom", "utf-16", "utf-32", "byte", "nul", "behind", "twice", "lines", "flip", "hole", "empty")

CODE = (
    *(*PAYLOADS, *PLACES, "\0", "\x1b[2J", "\u202e", "\ud800", "é", "Ａ", "\n", "\r", "\t", "\\", '"', "'", '"""', "#", ";", "("),
    *(
        ")",
        ",",
        "=",
        "==",
        "[",
        "]",
        "{",
        "}",
        ".",
        "-",
        "--1",
        "+",
        "1e400",
        "1_000",
        "1j",
        "0x10",
        "nan",
        "inf",
        "1" * 400,
        "." * 40,
        "f''",
    ),
    *(
        "lambda: 0",
        "import os",
        "__import__",
        "dot",
        "add",
        "loc",
        "None",
        "True",
        "*x",
        "**x",
        "(" * 5000,
        "1," * 5000,
        "x" * 70,
        "\ufeff",
        "\u2028",
        "\x0c",
    ),
)
"""Pieces of text to put into graphics code, which are foreign to it or out of place."""

TEMPLATES = (
    "{{ messages }}",
    "{% for i in range(10**9) %}{{ i }}{% endfor %}",
    "{{ 'x' * 10**10 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.system('touch " + CANARY + "') }}",
    "{% include '/etc/passwd' %}",
    "{% if %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "",
    "\0",
)
"""Chat templates: endless, large, reaching for files and Python's internals, invalid or trivial."""
