"""A strict reader of HTML pages, and of the data that a report's page loads."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """The tags and links of a page; fails on tags that do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text())
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def report_cards(report: Path) -> list[dict[str, Any]]:
    """The cards that a report's page shows, read out of the scripts that hold them."""
    found: list[dict[str, Any]] = []
    for number in range(len(list((report / "data").glob("[0-9]*.js")))):
        text = (report / "data" / f"{number:05d}.js").read_text()
        found += json.loads(text.removeprefix(f"igllm.chunk({number}, ").removesuffix(");\n"))
    return found
