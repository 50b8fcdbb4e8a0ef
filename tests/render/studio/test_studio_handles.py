"""The 3-D view by a real mouse, and completion in the editor, in a real browser. Nothing here waits for Blender."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Browser, browser
from PIL import Image
from served import OneCode, Served, served, wait_until

from datagen.assets.own_textures import own_textures
from datagen.code.grammar import parse_code
from datagen.domains.own_assets import keep_domain
from datagen.domains.registry import get_domain
from datagen.samples.in_code import stated_shot
from render.studio.studio import Studio

pytestmark = pytest.mark.slow

CUBE = 'add(loc=(0.000, 0.000, 0.700), color="red", material="rubber", size="large", shape="cube", rotation=20.0)'
SOFA = 'add(loc=(0.000, 0.000, 1.000), scale=1.000, texture="{}", shape="sofa-1", rotation=(0.00, 0.00, 0.00))'
CAR = SOFA.format("own").replace("sofa", "car")
LINES = "[...document.querySelectorAll('.cm-line')].map((line) => line.textContent)"
CHOSEN = "[...document.querySelectorAll('#objects li')].findIndex((one) => one.ariaSelected === 'true')"
COMPLETIONS = (
    "[...document.querySelectorAll('.cm-tooltip-autocomplete li')]"
    ".filter((one) => one.getBoundingClientRect().bottom > 0).map((one) => one.innerText)"  # once the list has its place
)


@pytest.fixture
def view(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A page with the code in the editor that the test names, in CLEVR's domain or that of assets."""
    domain, code = request.param
    with served(Studio(OneCode(), [], domain)) as studio, browser() as page:
        begun(studio, page, code)
        yield page
        assert page.complaints == []


def begun(studio: Served, page: Browser, code: str) -> None:
    page.open(studio.address)
    page.wait("!document.body.inert")
    if code:
        page.key("e")
        page.type(code)
        page.key("Escape")
        page.wait("performance.getEntriesByName('edit to view').length")


def place(page: Browser, code: str, number: int = 0) -> tuple[float, float]:
    """Where an object's centre is in the window, in pixels, as the camera of the code sees it, or else the domain's own."""
    domain = get_domain("clevr" if "color" in code else "assets")
    scene = parse_code(code, domain)
    shot = stated_shot(scene, domain, domain.canonical_shot(320, 240, "draft"))
    x, y, *_ = domain.centres(scene.objects, shot)[number]
    left, top, wide, tall = page.eval(
        "(() => { const b = document.querySelector('#view .lens').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
    )
    return left + wide * x / shot.width, top + tall * y / shot.height


def click(page: Browser, place: tuple[float, float]) -> None:
    page.press(*place)
    page.release(*place)


def handle(page: Browser, start: tuple[float, float], step: tuple[float, float], most: int = 120) -> tuple[float, float]:
    """The first place from the start on, step by step, where the mouse is over a handle."""
    x, y = start
    for _ in range(most):
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if page.eval("document.querySelector('#view canvas').style.cursor") == "grab":
            return x, y
        x, y = x + step[0], y + step[1]
    raise AssertionError(f"no handle from {start} along {step}")


def drag(page: Browser, start: tuple[float, float], step: tuple[float, float], steps: int = 6) -> None:
    page.press(*start)
    for number in range(1, steps + 1):
        page.move(start[0] + number * step[0], start[1] + number * step[1])
    page.release(start[0] + steps * step[0], start[1] + steps * step[1])


def numbers(line: str) -> list[float]:
    return [float(found) for found in re.findall(r"(?<![\w-])-?\d+\.\d+", line)]


@pytest.mark.parametrize("view", [("clevr", CUBE)], indirect=True)
def test_an_object_is_selected_dragged_along_an_axis_turned_and_put_back(view: Browser) -> None:
    centre = place(view, CUBE)
    click(view, centre)
    view.wait(f"{CHOSEN} === 0 && document.querySelector('.cm-chosen')")

    # Along X: the arrow is met from beyond its tip, and X alone changes.
    tip = place(view, CUBE.replace("(0.000", "(2.500"))
    along = np.subtract(tip, centre) / np.linalg.norm(np.subtract(tip, centre))
    arrow = handle(view, tip, tuple(-along))
    drag(view, arrow, tuple(8 * along))
    view.wait(f"{LINES}[0] !== {CUBE!r}")
    moved = view.eval(LINES)[0]
    x, y, z, turn = numbers(moved)
    assert x > 0.2 and (y, z, turn) == (0.0, 0.7, 20.0)
    travelled = np.linalg.norm(np.subtract(place(view, moved), centre))
    assert travelled == pytest.approx(48, rel=0.25)  # less what the arrow is nearer than the object

    # The view has it there: a click on the old place selects nothing, one on the new place the object.
    view.key("Escape")
    view.wait(f"{CHOSEN} === -1")
    click(view, place(view, moved))
    view.wait(f"{CHOSEN} === 0")

    # The ring of Z turns it, and changes nothing else.
    view.key("r")
    x, y = place(view, moved)
    drag(view, handle(view, (x, y + 3), (0, 1)), (3, 0), 3)
    view.wait(f"{LINES}[0] !== {moved!r}")
    turned = view.eval(LINES)[0]
    assert numbers(turned)[:3] == numbers(moved)[:3] and numbers(turned)[3] != 20.0

    # A whole drag is one step back.
    view.key("z", "Ctrl")
    view.wait(f"{LINES}[0] === {moved!r}")
    view.key("z", "Ctrl")
    view.wait(f"{LINES}[0] === {CUBE!r}")
    view.key("z", "Ctrl", "Shift")
    view.wait(f"{LINES}[0] === {moved!r}")


ASIDE = CUBE.replace("(0.000, 0.000", "(1.500, 0.500")
HEADED = f"camera(loc=(2.000, 8.000, 4.000), target=(0.000, 0.000, 0.000), lens=30.00)\n{ASIDE}"


@pytest.mark.parametrize("view", [("clevr", HEADED)], indirect=True)
def test_the_view_has_the_camera_that_the_code_states_which_is_no_object(view: Browser) -> None:
    click(view, place(view, HEADED))
    view.wait(f"{CHOSEN} === 0")
    assert view.eval("document.querySelector('.cm-chosen').textContent") == ASIDE
    view.key("Escape")
    view.wait(f"{CHOSEN} === -1")
    view.key("e")
    view.key("Home", "Ctrl")
    view.key("Enter")
    view.key("ArrowUp")
    view.type("la")
    view.wait(f"{COMPLETIONS}.length")
    [offered] = view.eval(COMPLETIONS)
    assert offered.startswith("lamp")
    assert view.eval(CHOSEN) == -1


@pytest.mark.parametrize("view", [("assets", CAR)], indirect=True)
def test_an_asset_is_turned_about_each_axis_and_scaled_within_its_range(view: Browser) -> None:
    code = CAR
    centre = place(view, code)
    click(view, centre)
    view.wait(f"{CHOSEN} === 0")
    view.key("s")
    knob = handle(view, (centre[0], centre[1] - 90), (0, 1))  # that of Z
    drag(view, knob, (0, -12), 10)
    view.wait(f"{LINES}[0].includes('scale=1.200')")  # as far as it goes
    view.key("z", "Ctrl")
    view.wait(f"{LINES}[0] === {code!r}")
    view.key("r")
    x, y = place(view, code)
    drag(view, handle(view, (x, y + 4), (0, 1)), (4, 0), 4)
    view.wait(f"{LINES}[0] !== {code!r}")
    *place_and_scale, a, b, c = numbers(view.eval(LINES)[0])
    assert place_and_scale == numbers(code)[:4] and (a, b, c) != (0.0, 0.0, 0.0)


@pytest.mark.parametrize("view", [("clevr", CUBE)], indirect=True)
def test_orbiting_moves_the_view_and_not_the_scene(view: Browser) -> None:
    x, y = place(view, CUBE)
    drag(view, (x + 150, y), (10, 0))
    view.wait("document.querySelector('#view .lens').hidden")
    assert view.eval(LINES)[0] == CUBE
    view.key("c")
    view.wait("!document.querySelector('#view .lens').hidden")
    click(view, place(view, CUBE))
    view.wait(f"{CHOSEN} === 0")


@pytest.mark.parametrize("view", [("clevr", "")], indirect=True)
def test_statements_keywords_and_words_are_completed(view: Browser) -> None:
    view.key("e")
    view.type("a")
    view.wait(f"{COMPLETIONS}.length === 1")
    assert "add" in view.eval(COMPLETIONS)[0]
    view.click(".cm-tooltip-autocomplete li")
    view.wait("document.querySelectorAll('#objects li').length === 1")  # a whole statement, which can be read
    view.key("Enter")
    view.type("add(loc=(0.5, 0.5, 0.7), col")
    view.wait(f"{COMPLETIONS}.length === 1")
    view.click(".cm-tooltip-autocomplete li")
    view.wait(f"{COMPLETIONS}.length === 8")
    assert view.eval(COMPLETIONS) == ["blue", "brown", "cyan", "gray", "green", "purple", "red", "yellow"]
    view.type('"g')
    view.wait(f"{COMPLETIONS}.length === 2")
    assert view.eval(COMPLETIONS) == ["gray", "green"]
    view.key("Escape")
    view.wait(f"{COMPLETIONS}.length === 0")
    view.key(" ", "Ctrl")
    view.wait(f"{COMPLETIONS}.length === 2")
    view.type("re")
    view.wait(f"{COMPLETIONS}.length === 1")
    view.click(".cm-tooltip-autocomplete li")
    green = 'add(loc=(0.5, 0.5, 0.7), color="green"'
    view.wait(f"{LINES}[1] === {green!r}")
    view.type(", s")
    view.wait(f"{COMPLETIONS}.length === 2")
    assert [re.match("[a-z]+", one)[0] for one in view.eval(COMPLETIONS)] == ["shape", "size"]  # type: ignore[index]
    view.key("Escape")
    view.wait("document.querySelector('#problems .error')")
    assert view.eval("document.getElementById('problems').innerText").startswith("line 2, column")


def test_patterns_and_own_images_are_seen_on_the_solids(tmp_path: Path) -> None:
    (tmp_path / "paper").mkdir()
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, :32], halves[:, 32:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(halves).save(tmp_path / "paper" / "halves.png")
    textures = own_textures(tmp_path)
    domain, [word] = keep_domain(None, textures), textures.patterns
    with served(Studio(OneCode(), [], domain, [domain])) as studio, browser() as page:
        begun(studio, page, SOFA.format(word))
        wait_until(lambda: red_and_blue(page, tmp_path))
        assert page.complaints == []


def red_and_blue(page: Browser, folder: Path) -> bool:
    """Whether the 3-D view shows a solid that is red in part, and blue in part."""
    page.picture(folder / "seen.png")
    left, top, wide, tall = (
        round(side)
        for side in page.eval(
            "(() => { const b = document.getElementById('view').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
        )
    )
    pixels = np.asarray(Image.open(folder / "seen.png").convert("RGB"), int)[top : top + tall, left : left + wide]
    red, blue = pixels[..., 0] - pixels[..., 2], pixels[..., 2] - pixels[..., 0]
    return bool((red > 100).sum() > 300 and (blue > 100).sum() > 300)
