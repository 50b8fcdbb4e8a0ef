"""Command lines of tests: what they begin with, changed, and how they end."""

from __future__ import annotations

from collections.abc import Sequence

from igllm import main

REPEATABLE = ("--set",)


def with_flags(usual: Sequence[object], more: Sequence[object]) -> list[str]:
    """The usual flags, each with its one value, but for those that are given anew, and then these: no option may be given twice."""
    given = {flag for flag in map(str, more) if flag.startswith("--") and flag not in REPEATABLE}
    kept = [str(word) for at in range(0, len(usual), 2) if str(usual[at]) not in given for word in usual[at : at + 2]]
    return [*kept, *map(str, more)]


def status_of(arguments: Sequence[object]) -> int | str | None:
    """The status with which a call ends, whether igllm or the parser of its flags refuses it."""
    try:
        return main(list(map(str, arguments)))
    except SystemExit as stop:
        return stop.code
