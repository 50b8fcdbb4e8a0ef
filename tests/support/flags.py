"""Changes a test's usual command line, in which no option may be given twice."""

from __future__ import annotations

from collections.abc import Sequence

REPEATABLE = ("--set",)


def with_flags(usual: Sequence[object], more: Sequence[object]) -> list[str]:
    """The usual flags, each with its one value, without those that `more` gives anew, and then `more`."""
    given = {flag for flag in map(str, more) if flag.startswith("--") and flag not in REPEATABLE}
    kept = [str(word) for at in range(0, len(usual), 2) if str(usual[at]) not in given for word in usual[at : at + 2]]
    return [*kept, *map(str, more)]
