"""Tables and words of the documentation's Markdown."""

from __future__ import annotations

import re


def table(text: str, *heads: str) -> list[list[str]]:
    """The rows of the first Markdown table whose head begins with these cells, head and rule left out."""
    pattern = r"^\| *" + r" \| ".join(map(re.escape, heads)) + r" .*\n\|[-|]+\|\n((?:\|.*\n)+)"
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, heads
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in found[1].splitlines()]


def words(cell: str) -> list[str]:
    """The texts between backticks."""
    return re.findall(r"`([^`]+)`", cell)
