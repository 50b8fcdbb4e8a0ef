"""The report folder: its page opens from disk and escapes the text of predictions, and it replaces reports alone."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from comparison_sets import make_samples, moved, save_loose, save_predictions, save_shards
from pages import VOID, Page

from datagen.code.predictions import Prediction
from datagen.errors import UserError
from render.compare import compare
from render.report import MAX_SHOWN, check_report_folder, spread


@pytest.fixture
def report(tmp_path: Path) -> Path:
    samples = make_samples()
    save_shards(tmp_path / "a", samples)
    save_loose(tmp_path / "b", [samples[0], moved(samples[1]), moved(samples[2])])
    compare(tmp_path / "a", tmp_path / "b", tmp_path / "report", heading={"Model": "<b>tiny</b>"})
    return tmp_path / "report"


def test_the_page_needs_nothing_but_its_folder(report: Path) -> None:
    page = Page(report / "index.html")
    source = (report / "index.html").read_text()
    assert "://" not in source
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert page.tags.count("img") == 9
    for link in page.links:
        assert link.startswith("#") or (report / link).is_file()
    assert {p.name for p in (report / "pictures").iterdir()} == {Path(link).name for link in page.links if link.endswith(".png")}


def test_the_page_shows_the_scores_and_the_codes(report: Path) -> None:
    text = Page(report / "index.html").text
    for expected in ("Recall", "FLIP", "0.125 m", "000000001", "<b>tiny</b>", "add(", 'shape="'):
        assert expected.lower() in text.lower()
    assert 'class="off-' in (report / "index.html").read_text()


class Shown(HTMLParser):
    """The text that a page shows on a screen of some width, by the rules of its style that hide classes."""

    def __init__(self, source: str, width: int) -> None:
        super().__init__()
        self.hidden: set[str] = set()
        self.text = ""
        self._open: list[bool] = []
        style = source.partition("<style>")[2].partition("</style>")[0]
        plain = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", style)
        narrow = [
            block for most, block in re.findall(r"@media \(max-width: (\d+)px\) \{((?:[^{}]*\{[^{}]*\})*)", style) if width <= int(most)
        ]
        for rules in (plain, *narrow):
            for name, value in re.findall(r"\.([\w-]+) \{[^}]*display: (\w+)", rules):
                (self.hidden.add if value == "none" else self.hidden.discard)(name)
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append(tag in ("style", "title") or bool(self.hidden & set((dict(attrs).get("class") or "").split())))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text += "" if any(self._open) else data


def test_whose_code_is_whose_is_said_on_every_screen(report: Path) -> None:
    """Side by side under one heading, or, on a telephone, one below the other, each with its name."""
    source = (report / "index.html").read_text()
    wide, narrow = Shown(source, 1280), Shown(source, 390)
    cards, rows = source.count("<article"), source.count('<div class="row matched') + source.count('<div class="row missed')
    assert rows > cards > 0
    for words in ("true code", "predicted code"):
        assert wide.text.count(words) == cards
        assert narrow.text.count(words) >= rows
    assert narrow.text.count("add(") == wide.text.count("add(") > 0


def test_what_a_prediction_says_is_escaped(tmp_path: Path) -> None:
    samples = make_samples(2)
    attack = "</pre><script>alert('x')</script><img src=x onerror=alert(1)>"
    key = '"><script>alert(2)<'
    one = save_predictions(tmp_path / "one.jsonl", samples, Prediction(key, samples[0].code))
    bad = [Prediction(samples[1].key, attack), Prediction(key, samples[0].code)]
    compare(one, save_predictions(tmp_path / "pred.jsonl", samples[:1], *bad), tmp_path / "report", title=attack, heading={attack: attack})
    page = Page(tmp_path / "report" / "index.html")
    assert not {"script", "img"} & set(page.tags)
    assert attack in page.text
    assert key in page.text


def test_only_a_report_is_replaced(report: Path, tmp_path: Path) -> None:
    (report / "notes.txt").write_text("mine")
    compare(tmp_path / "a", tmp_path / "b", report, keys=["000000000"])
    assert json.loads((report / "metrics.json").read_text())["samples"] == 1
    assert len(list((report / "pictures").iterdir())) == 3
    assert (report / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "report"]
    with pytest.raises(UserError, match="something other than a report"):
        compare(tmp_path / "a", tmp_path / "b", tmp_path / "a")
    with pytest.raises(UserError, match="a file is in the place"):
        check_report_folder(report / "notes.txt")
    (tmp_path / "empty").mkdir()
    check_report_folder(tmp_path / "empty")


def test_a_report_without_pictures_drops_the_old_ones(report: Path, tmp_path: Path) -> None:
    predictions = save_predictions(tmp_path / "pred.jsonl", make_samples())
    compare(tmp_path / "a", predictions, report)
    # The page still shows the reference's images.
    assert len(list((report / "pictures").iterdir())) == 3
    compare(predictions, predictions, report)
    assert not (report / "pictures").exists()


def test_a_failure_leaves_the_old_report(report: Path, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in report.rglob("*")}
    with pytest.raises(UserError):
        compare(tmp_path / "a", tmp_path / "b", report, keys=["nobody"])
    assert {p: p.stat().st_mtime_ns for p in report.rglob("*")} == before


def test_many_samples_are_spread_over_the_scores(tmp_path: Path) -> None:
    samples = make_samples(MAX_SHOWN + 20)
    predictions = save_predictions(tmp_path / "pred.jsonl", samples[:60])
    metrics = compare(save_predictions(tmp_path / "one.jsonl", samples), predictions, tmp_path / "report")
    page = Page(tmp_path / "report" / "index.html")
    assert metrics["samples"] == len((tmp_path / "report" / "samples.jsonl").read_text().splitlines()) == MAX_SHOWN + 20
    assert page.tags.count("article") == MAX_SHOWN
    assert f"{MAX_SHOWN} of {MAX_SHOWN + 20} samples, evenly spaced" in page.text


def test_spread_keeps_both_ends() -> None:
    assert spread(range(5), 10) == [0, 1, 2, 3, 4]
    picked = spread(range(1000), 100)
    assert (len(set(picked)), picked[0], picked[-1]) == (100, 0, 999)


def test_the_report_can_be_read_by_others(report: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    for path in (report, report / "pictures"):
        assert path.stat().st_mode & 0o777 == 0o777 & ~mask
