"""The studio's page in a real browser, used as a person uses it: by mouse, by keyboard, at a desk and on a phone."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chromium import Browser, browser
from served import OneCode, Served, served, wait_until

from datagen.generate import generate
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples
from render.studio.readers import Readers
from render.studio.studio import Studio

DRAFT, STANDARD = ("document.getElementById('quality').dataset.shown === " + f"'{name}'" for name in ("draft", "standard"))
OBJECTS = "document.querySelectorAll('#objects li').length"
MESSAGES = "document.getElementById('toasts').innerText"


def code_of(page: Browser) -> str:
    """The code in the editor, as its lines show it."""
    return page.eval("[...document.querySelectorAll('.cm-line')].map((line) => line.textContent).join('\\n')")


def numbers(line: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+\.\d+", line)]


def begun(page: Browser, address: str) -> None:
    page.open(address)
    page.wait("!document.body.inert && !document.getElementById('ready').textContent.includes('load')")


@pytest.fixture
def dots(dots: Path) -> Iterator[Served]:
    """A studio of dots, which need neither Blender nor a model."""
    with served(Studio(OneCode(dot2d="dot(loc=(0.2500, 0.7500))\n"), [Samples(dots)], "dot2d")) as studio:
        yield studio


@pytest.mark.slow
def test_a_scene_is_drawn_edited_moved_undone_and_opened_again_by_its_link(dots: Served) -> None:
    with browser() as page:
        begun(page, dots.address)
        page.click("#random")
        page.wait(STANDARD)
        drawn = code_of(page)
        assert re.fullmatch(r"dot\(loc=\(0\.\d{4}, 0\.\d{4}\)\)\n", drawn)

        # The handle in the plane moves the number in the code.
        x, y = page.eval("(() => { const b = document.querySelector('.handle').getBoundingClientRect(); return [b.x + 13, b.y + 13]; })()")
        page.press(x, y)
        for step in range(1, 6):
            page.move(x, y + 4 * step)
        page.release(x, y + 20)
        page.wait(f"document.querySelector('.cm-line').textContent !== {drawn.strip()!r}")
        before, after = numbers(drawn), numbers(code_of(page))
        assert after[0] == pytest.approx(before[0], abs=1e-3)
        assert after[1] < before[1]
        page.wait(STANDARD)

        # By keys: select, move, undo one step after the other.
        page.key("]")
        page.key("ArrowRight")
        page.wait(f"Number(document.querySelector('.cm-line').textContent.match(/[\\d.]+/)[0]) > {after[0]}")
        page.key("z", "Ctrl")
        page.key("z", "Ctrl")
        page.wait(f"document.querySelector('.cm-line').textContent === {drawn.strip()!r}")

        # What is wrong is said at its place, and the picture stays.
        page.key("e")
        page.type("dot(loc=(0.5, ")
        page.wait("document.querySelector('#problems .error')")
        assert "line 1, column" in page.eval("document.getElementById('problems').innerText")
        assert page.eval("document.querySelector('.cm-lint-marker-error') !== null")
        page.key("z", "Ctrl")
        page.wait("!document.querySelector('#problems .error')")

        # The link opens the same scene in another page.
        page.wait(f"location.hash.length > 20 && {STANDARD}")
        link = page.eval("new Promise((done) => setTimeout(() => done(location.href), 600))")
        page.open("about:blank")
        begun(page, link)
        page.wait(f"{OBJECTS} === 1")
        assert code_of(page) == drawn
        page.open("about:blank")
        begun(page, dots.address + "#nonsense")
        assert "holds no scene" in page.eval(MESSAGES)

        assert page.complaints == []
        hosts = {urlsplit(request).netloc for request in page.requests} - {""}
        assert hosts == {urlsplit(dots.address).netloc}  # no request to any other host


@pytest.mark.slow
def test_a_sample_is_read_scored_and_compared_in_every_way(dots: Served, tmp_path: Path) -> None:
    with browser() as page:
        begun(page, dots.address)
        page.key("n")
        page.wait(f"{STANDARD} && document.getElementById('scores').innerText.includes('FLIP')")
        assert numbers(code_of(page)) == [0.25, 0.75]
        assert "1 of 1 found" in page.eval("document.getElementById('scores').innerText")
        shown = {}
        for key, mode in zip("12345", ("render", "image", "slider", "blink", "difference"), strict=True):
            page.key(key)
            page.wait(f"document.querySelector('[data-mode={mode}]').getAttribute('aria-checked') === 'true'")
            shown[mode] = page.eval("[...document.querySelectorAll('#frame img')].filter((one) => !one.hidden).map((one) => one.id).join()")
        assert shown["render"] == "shown-render" and shown["image"] == "shown-image" and shown["difference"] == "shown-difference"
        assert shown["slider"] == "shown-image,shown-render"
        page.key("4")
        for part in ("image", "render"):  # blink shows both in turn
            page.wait(f"!document.getElementById('shown-{part}').hidden")
        page.click("#truth")
        page.wait("document.getElementById('truth').hidden")
        assert "0.000" in page.eval("document.getElementById('scores').innerText")
        assert page.complaints == []


@pytest.mark.slow
def test_a_reload_keeps_what_was_typed_last_and_a_link_takes_no_image_of_another_scene(dots: Served, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(dots.studio.data[0].at(0).image)
    with browser() as page:
        begun(page, dots.address)
        page.choose_file("#file", image)
        page.wait(f"{STANDARD} && location.hash.length > 20")
        page.key("]")
        page.eval("dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight' })), location.reload()")  # before the address has it
        page.wait(f"document.readyState === 'complete' && !document.body.inert && {OBJECTS} === 1")
        assert numbers(code_of(page))[0] > 0.25
        assert page.eval("document.getElementById('refining').hidden") is False  # with its image

        begun(page, f"{dots.address}#{link_to(page, domain='dot2d', code='dot(loc=(0.1000, 0.1000))', size=320)}")
        page.wait(f"document.querySelector('.cm-line').textContent.includes('0.1000') && {STANDARD}")
        assert page.eval("document.getElementById('refining').hidden") is True


@pytest.mark.slow
def test_a_link_of_anybody_is_a_scene_or_one_message(dots: Served) -> None:
    with browser() as page:
        begun(page, dots.address)
        for scene, said in (
            ({"domain": "nowhere", "code": ""}, "there is no domain 'nowhere'"),
            ({"domain": "dot2d", "code": "", "shot": {"width": 1}}, "holds no scene"),
            ({"domain": "dot2d", "code": 3}, "holds no scene"),
            ({"domain": "dot2d", "code": "", "size": 1e9}, "shot.width is 1000000000"),
        ):
            page.eval("document.getElementById('toasts').replaceChildren()")
            page.eval(f"location.hash = {link_to(page, **scene)!r}")
            page.wait(f"{MESSAGES}.includes({said!r})")
        for code in ("a" * 90_000, "a " * 45_000, "dot(" * 20_000, '"' * 90_000):  # which the editor colours while the page goes on
            page.eval(f"location.hash = {link_to(page, domain='dot2d', code=code)!r}")
            page.wait(
                f"document.querySelector('.cm-line').textContent.startsWith({code[:8]!r}) && document.querySelector('#problems .error')"
            )


def link_to(page: Browser, **scene: Any) -> str:
    """The part of a link that holds a scene."""
    return page.eval(f"import('/static/link.js').then((link) => link.pack({json.dumps(scene)}))")


@pytest.mark.slow
def test_nothing_is_lost_when_the_studio_ends(dots: Served) -> None:
    with browser() as page:
        begun(page, dots.address)
        page.click("#random")
        page.wait(STANDARD)
        code = code_of(page)
        dots.end()
        page.key("x")
        page.wait("document.getElementById('toasts').innerText.includes('does not answer')")
        assert code_of(page) == code


@pytest.fixture(scope="module")
def clevr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio with the shipped model, Blender, and a data set of two scenes."""
    settings = DatasetSettings(seed=11, width=160, height=120, quality="draft", min_objects=3, max_objects=4)
    samples = generate(settings, 2, tmp_path_factory.mktemp("studio") / "data", workers=1)
    readers = Readers([], "cpu")
    with served(Studio(readers, [samples], "clevr")) as studio:
        for reader in readers.all:
            assert reader.done.wait(300)
        yield studio


@pytest.mark.slow
def test_an_image_goes_all_the_way_to_an_edited_blend(clevr: Served, tmp_path: Path) -> None:
    """What the studio is for: image, code, 3-D, picture, comparison, edit, undo, file."""
    image = tmp_path / "photo.png"
    image.write_bytes(clevr.studio.data[0].at(0).image)
    with browser() as page:
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        begun(page, clevr.address)
        page.choose_file("#file", image)
        page.wait(f"{STANDARD} && {OBJECTS} > 0")
        said = code_of(page)
        assert page.eval(OBJECTS) == len(clevr.studio.data[0].at(0).scene)
        assert page.eval("document.querySelectorAll('#objects small').length") == page.eval(OBJECTS)  # how sure the model is of each
        assert json.loads(page.eval("sessionStorage.getItem('input')"))["reading"]["candidates"]
        assert "FLIP" in page.eval("document.getElementById('scores').innerText")

        # A click in the 3-D view selects; the list and the editor follow.
        spot = clevr.studio.data[0].at(0).domain.centres(clevr.studio.data[0].at(0).scene.objects, clevr.studio.data[0].at(0).shot)[0]
        x, y = page.eval(
            "(() => { const b = document.querySelector('#view .lens').getBoundingClientRect();"
            f" return [b.x + b.width * {spot[0] / 160}, b.y + b.height * {spot[1] / 120}]; }})()"
        )
        page.press(x, y)
        page.release(x, y)
        page.wait("document.querySelector('#objects [aria-selected=true]') && document.querySelector('.cm-chosen')")
        chosen = page.eval("[...document.querySelectorAll('#objects li')].findIndex((one) => one.ariaSelected === 'true')")

        # Keys move it.
        page.key("v")
        page.key("PageUp")
        page.wait(f"document.querySelectorAll('.cm-line')[{chosen}].textContent !== {said.splitlines()[chosen]!r}")
        raised = numbers(code_of(page).splitlines()[chosen])
        assert raised[2] == pytest.approx(numbers(said.splitlines()[chosen])[2] + 0.1, abs=2e-3)
        page.wait(f"{STANDARD}")

        # Two pages at once do not meet.
        other = clevr.ask("/api/render", {"domain": "clevr", "code": "", "qualities": ["draft"]}).lines
        assert "png" in other[0]

        begins = {"scene.py": b"add(", "scene.png": b"\x89PNG", "scene.blend": b"", "scene.glb": b"glTF", "scene.blender.py": b'"""'}
        for kind, (name, start) in zip(("code", "png", "blend", "glb", "script"), begins.items(), strict=True):
            page.click(f"[data-take={kind}]")
            wait_until((tmp_path / name).exists)
            assert (tmp_path / name).read_bytes().startswith(start) and (tmp_path / name).stat().st_size > 100
        page.key("z", "Ctrl")
        page.wait(f"document.querySelectorAll('.cm-line')[{chosen}].textContent === {said.splitlines()[chosen]!r}")
        page.picture(tmp_path / "desk.png")
        page.resize(390, 844, dark=True)
        page.wait("document.documentElement.scrollWidth <= innerWidth")
        page.click("[data-pane=space]")
        page.wait("document.getElementById('view').clientHeight > 150")
        page.picture(tmp_path / "phone.png")
        assert page.complaints == []
        assert {urlsplit(request).netloc for request in page.requests if not request.startswith("data:")} <= {
            urlsplit(clevr.address).netloc,
            "",
        }


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(clevr: Served) -> None:
    code = clevr.studio.data[0].at(0).code
    asked = clevr.begin("/api/render", {"domain": "clevr", "code": code})
    response = asked.getresponse()
    assert b'"quality":"draft"' in response.readline()
    for pid in clevr.studio.blender.pool.pids:
        os.kill(pid, signal.SIGKILL)
    assert b'"quality":"standard"' in response.readline()
    asked.close()
