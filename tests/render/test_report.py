"""The report folder: its page opens from disk in a browser, shows text of predictions as text, and replaces reports alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, browser
from comparison_sets import make_samples, moved, save_loose, save_predictions, save_shards
from pages import Page, report_cards

from datagen.code.predictions import Prediction
from datagen.errors import UserError
from datagen.scene import Scene
from render.compare import compare
from render.report import CHUNK, check_report_folder, spread


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
    assert not {"link", "iframe"} & set(page.tags)
    assert page.tags.count("script") == 2
    assert "script-src 'self'" in source
    assert "<script>" not in source
    for link in page.links:
        assert link.startswith("#") or (report / link).is_file()
    shown = {
        picture[0]
        for card in report_cards(report)
        for picture in (card["input"], card["answers"][0]["picture"], card["answers"][0]["heat"])
    }
    assert len(shown) == 9
    assert {f"pictures/{path.name}" for path in (report / "pictures").iterdir()} == shown


def test_the_page_shows_the_scores_and_the_codes(report: Path) -> None:
    text = Page(report / "index.html").text
    for expected in ("Recall", "FLIP", "0.125 m", "mask IoU", "depth error", "<b>tiny</b>"):
        assert expected.lower() in text.lower()
    first, second, _ = report_cards(report)
    assert dict(first["answers"][0]["facts"])["mask IoU"] == "1.00"
    assert dict(second["answers"][0]["facts"])["mask IoU"] != "1.00"
    assert "off-" in json.dumps(second["answers"][0]["rows"])


def test_pictures_are_those_of_the_samples(report: Path) -> None:
    for sample, card in zip(make_samples(), report_cards(report), strict=True):
        path, width, height = card["input"]
        assert (report / path).read_bytes() == sample.image
        assert (width, height) == (32, 24)


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


def test_spread_keeps_both_ends() -> None:
    assert spread(range(5), 10) == [0, 1, 2, 3, 4]
    picked = spread(range(1000), 100)
    assert (len(set(picked)), picked[0], picked[-1]) == (100, 0, 999)


def test_the_report_can_be_read_by_others(report: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    for path in (report, report / "pictures", report / "data"):
        assert path.stat().st_mode & 0o777 == 0o777 & ~mask


# In a browser

ATTACK = "</pre><script>document.title = 'attacked'</script><img src=x onerror=\"document.title = 'attacked'\">\u202e"
KEY = '"><script>alert(2)<'


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as window:
        yield window


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of more than two chunks: every fourth prediction has a wrong color, the last one an extra object, one does not parse, one is
    missing, and one tries to be more than text."""
    folder = tmp_path_factory.mktemp("full")
    samples = make_samples(2 * CHUNK + 10)
    answers, predictions = [], []
    for number, sample in enumerate(samples):
        first, *rest = sample.scene.objects
        if number % 4 == 0:
            first = first.replaced(color="red" if first["color"] != "red" else "blue")
        extra = [first.replaced(loc=(0.0, 0.0, 3.0))] if number == len(samples) - 1 else []
        scene = Scene(sample.scene.domain, (first, *rest, *extra))
        answers.append(sample.__class__(sample.key, sample.image, _code(scene), sample.record))
    for number, answer in enumerate(answers):
        code = {5: ATTACK, 6: "sing()"}.get(number, answer.code)
        if number != 7:
            predictions.append(Prediction(answer.key, code))
    truth = [*samples, sample.__class__(KEY.replace("/", ""), samples[0].image, samples[0].code, samples[0].record)]
    save_shards(folder / "a", truth)
    save_predictions(folder / "pred.jsonl", [], *predictions)
    compare(folder / "a", folder / "pred.jsonl", folder / "report", title=ATTACK, heading={ATTACK: ATTACK})
    return folder / "report"


def _code(scene: Scene) -> str:
    from datagen.code.grammar import write_code
    from datagen.domains.registry import get_domain

    return write_code(scene, get_domain(scene.domain))


@pytest.fixture
def page(window: Browser) -> Browser:
    window.complaints.clear()
    window.requests.clear()
    window.resize(1400, 1000)
    return window


def opened(page: Browser, report: Path, asked: str = "") -> None:
    """Open a report and scroll to its samples."""
    page.open("about:blank")
    page.open(f"{(report / 'index.html').absolute().as_uri()}{asked}")
    page.wait("document.getElementById('count').textContent")
    page.eval("document.getElementById('samples').scrollIntoView()")


def shown(page: Browser) -> int:
    return int(page.eval("document.querySelectorAll('#cards > article').length"))


def test_the_browser_shows_all_samples_and_loads_only_what_it_needs(page: Browser, full: Path) -> None:
    opened(page, full)
    page.wait("document.querySelector('#cards > article h3')")
    assert shown(page) == 2 * CHUNK + 11
    assert page.eval("document.querySelectorAll('#cards h3').length") < CHUNK
    page.eval("document.querySelector('#cards > article:last-child').scrollIntoView()")
    page.wait("document.querySelector('#cards > article:last-child h3')")
    page.wait("!document.querySelector('#cards > article h3') || !document.querySelector('#cards > article').childElementCount")
    assert not page.complaints
    assert page.requests
    assert all(url.startswith(full.absolute().as_uri()) or url == "about:blank" for url in page.requests)


def test_what_a_prediction_says_is_text(page: Browser, full: Path) -> None:
    opened(page, full, "#show=unparsable")
    page.wait("document.querySelectorAll('#cards pre').length === 2")
    said = page.eval("[...document.querySelectorAll('#cards pre')].map((one) => one.textContent)")
    assert ATTACK.replace("\u202e", "\\u202e") in said
    assert page.eval("document.querySelectorAll('#cards script, #cards [onerror]').length") == 0
    opened(page, full, "#sort=key&find=alert")
    page.wait("document.querySelector('#cards h3')")
    assert page.eval("document.querySelector('#cards h3').textContent") == KEY.replace("/", "")
    assert "attacked" not in page.eval("document.title").replace(ATTACK.replace("\u202e", "\\u202e"), "")
    assert not page.complaints


def test_samples_are_chosen_and_ordered(page: Browser, full: Path) -> None:
    expected = {"word color": (2 * CHUNK + 10 + 3) // 4, "extra": 1, "missing": 2, "unparsable": 2, "word shape": 0}
    for show, count in expected.items():
        opened(page, full, f"#show={show.replace(' ', '+')}")
        assert shown(page) == (count or 2 * CHUNK + 11)  # there is no wrong shape, and so no such choice
    opened(page, full, "#sort=best")
    page.wait("document.querySelector('#cards h3')")
    assert page.eval("document.querySelector('#cards b').textContent") == "4 / 4"
    assert page.eval("document.querySelectorAll('.wrong-cell a').length") > 0
    page.eval("document.querySelector('.wrong-cell a').click()")
    page.wait(f"document.querySelectorAll('#cards > article').length < {CHUNK}")
    assert "confused" in page.eval("document.querySelector('[name=show]').value")
    assert not page.complaints


def visible(page: Browser, selector: str) -> bool:
    return bool(page.eval(f"document.querySelector('{selector}').getClientRects().length > 0"))


@pytest.mark.parametrize(("wide", "high"), [(1400, 900), (390, 844)])
def test_pictures_come_first_and_the_scores_are_one_click_away(page: Browser, report: Path, wide: int, high: int) -> None:
    page.resize(wide, high)
    page.open("about:blank")
    page.open((report / "index.html").absolute().as_uri())
    page.wait("document.querySelector('#cards img')")
    assert page.eval("document.querySelector('#cards img').getBoundingClientRect().top") < high / 2
    assert "recall" in page.eval("document.querySelector('.headline').innerText")
    assert not visible(page, "#scores table")
    page.click("#parts a[href='#part=scores']")
    page.wait("location.hash === '#part=scores'")
    assert visible(page, "#scores table")
    assert not visible(page, "#cards")
    page.click("#parts a[href='#']")
    page.wait("location.hash === ''")
    assert visible(page, "#cards img")
    page.resize(1400, 1000)


def test_the_scores_keep_what_is_chosen_and_lead_to_samples(page: Browser, full: Path) -> None:
    opened(page, full, "#show=unparsable&part=scores")
    assert visible(page, "#scores table")
    assert not visible(page, "#cards")
    page.key("j")  # which is of samples that are not there
    page.key("s")
    page.wait("document.querySelectorAll('#cards pre').length === 2")
    assert "unparsable" in page.eval("location.hash")
    assert not visible(page, "#scores table")
    page.eval("window.scrollTo(0, 300)")
    page.key("s")
    page.wait("document.body.dataset.part === 'scores'")
    page.key("s")
    page.wait("document.body.dataset.part === 'samples'")
    assert page.eval("window.scrollY") == 300
    page.key("s")
    page.eval("document.querySelector('.wrong-cell a').click()")
    page.wait("document.body.dataset.part === 'samples' && document.querySelector('#cards h3')")
    assert "confused" in page.eval("location.hash")
    page.open("about:blank")
    page.open(
        f"{(full / 'index.html').absolute().as_uri()}#part=scores&sample={make_samples(2)[1].key}"
    )  # which is asked for, and so shown
    page.wait("document.activeElement.matches('#cards > article') && document.activeElement.querySelector('h3')")
    assert visible(page, "#cards")
    assert not page.complaints


def test_without_its_script_the_page_shows_the_scores(page: Browser, report: Path) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open("about:blank")
        page.call("Page.navigate", url=(report / "index.html").absolute().as_uri())
        page.wait("document.readyState === 'complete' && document.querySelector('#scores table')")
        assert visible(page, "#scores table")
        assert "does not run" in page.eval("document.querySelector('#samples').innerText")
        assert not visible(page, "#parts")
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_keyboard_is_enough(page: Browser, full: Path) -> None:
    opened(page, full, "#sort=key")
    page.wait("document.querySelector('#cards h3')")
    for key, place in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.key(key)
        assert page.eval("[...document.querySelectorAll('#cards > article')].indexOf(document.activeElement)") == place
    page.wait("document.querySelectorAll('#cards canvas').length > 0")
    page.key("o")
    page.wait("document.querySelector('#cards h3') && document.querySelectorAll('#cards canvas').length === 0")
    page.key("/")
    assert page.eval("document.activeElement.name") == "find"
    page.key("j")
    assert page.eval("document.activeElement.value") == "j"
    assert not page.complaints


def test_pictures_are_compared_by_slider_and_by_blink(page: Browser, report: Path) -> None:
    opened(page, report, "#view=slider")
    page.wait("document.querySelectorAll('.slider .stack img').length === 6")
    clip = "getComputedStyle(document.querySelector('.stack img + img')).clipPath"
    assert "50%" in page.eval(clip)
    page.eval("(() => { const one = document.querySelector('[type=range]'); one.value = 20; one.dispatchEvent(new Event('input')); })()")
    assert "20%" in page.eval(clip)
    page.eval("document.querySelector('#cards > article').focus()")
    page.key("3")
    page.wait("document.querySelectorAll('.blink .stack img').length === 6")
    assert page.eval("getComputedStyle(document.querySelector('.stack img + img')).animationName") == "blink"
    assert not page.complaints


def test_objects_have_the_same_number_in_both_images_and_codes(page: Browser, report: Path) -> None:
    opened(page, report, "#sort=key")
    page.wait("document.querySelectorAll('#cards canvas').length === 6")
    canvas = "document.querySelectorAll('#cards canvas')[n]"
    pixels = f"{canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, {canvas}.height).data"
    assert page.eval(f"[0, 1].every((n) => {pixels}.some((value) => value))")
    badges = page.eval("[...document.querySelector('#cards .row.matched').querySelectorAll('.badge')].map((one) => one.textContent)")
    assert badges == ["1", "1"]


def test_a_phone_shows_the_whole_width(page: Browser, report: Path) -> None:
    page.resize(390, 800)
    opened(page, report)
    page.wait("document.querySelector('#cards .row')")
    assert page.eval("document.documentElement.scrollWidth") == 390
    texts = page.eval(
        "[...document.querySelectorAll('#cards .said')].filter((one) => one.offsetParent).map((one) => one.textContent.trim())"
    )
    assert {"true code", "predicted code"} <= set(texts)
    assert page.eval("document.querySelector('#cards .head').offsetParent") is None
    page.resize(1400, 1000)
