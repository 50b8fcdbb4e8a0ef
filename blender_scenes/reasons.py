"""Errors of Blender's file readers, put into plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_USD = re.compile(r"Error in '.*?' at line \d+ in file \S+ : '(.*?)\s*'\s*(?:\n|$)", re.DOTALL)
"""An error message of OpenUSD; of several, the first names the file's problem."""
_CIRCLE, _MEMORY = "RecursionError", "MemoryError"
_LONGEST = 200  # characters


class Unreadable(Exception):
    """A file that gives no asset; the message is the reason, for its owner."""


@contextmanager
def reading(suffix: str) -> Iterator[None]:
    """A context in which any error of reading a file of that suffix becomes `Unreadable`."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as error:  # any that a file may cause
        raise Unreadable(reason(error, suffix)) from None


def reason(error: Exception, suffix: str) -> str:
    """An error in plain words: the first non-empty line of Blender's own errors, the last line of a traceback of Blender's scripts."""
    text = str(error)
    if found := _USD.search(text):
        problem = re.sub(r"parse error matching \S+", "not what is expected", " ".join(found[1].split()))
        return f"OpenUSD cannot read it ({problem})"[:_LONGEST]
    if isinstance(error, RuntimeError) and "Traceback (most recent call last)" not in text:
        lines = [line.removeprefix("Error: ").strip() for line in text.splitlines()]
        if any(line.startswith("PLY Importer: failed importing, unknown error") for line in lines):
            return "it is cut short, or damaged: it does not hold what its header says"
        return next((line for line in lines if line), "Blender cannot read it")[:_LONGEST]
    ended = f"{type(error).__name__}: {text}" if not isinstance(error, RuntimeError) else _last_line(text)
    if _CIRCLE in ended:
        return "it is nested too deeply, or contains itself in a circle"
    if _MEMORY in ended:
        return "it needs more memory than a model may take"
    return f"Blender's reader of {suffix} files cannot make sense of it ({' '.join(ended.split())})"[:_LONGEST]


def _last_line(text: str) -> str:
    """The last line of a traceback that is neither indented, as frames are, nor the location that Blender adds."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith((" ", "\t", "Location:"))]
    return lines[-1]
