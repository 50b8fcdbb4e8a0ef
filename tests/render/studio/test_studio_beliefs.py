"""What a model said of an image, in the scene that its code was edited into, and in its refinement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from served import Served

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.images.encoding import encode_image
from datagen.scene import Scene
from render.refine.refine import Refined, RefineSettings

CUBE = 'add(loc=({}, -0.500, 0.700), color="{}", material="metal", size="large", shape="cube", rotation=37.2)\n'
RED, BLUE = CUBE.format("1.000", "red"), CUBE.format("-2.000", "blue")
READING = {"code": RED + BLUE, "confidence": [0.9, 0.4], "candidates": [RED + CUBE.format("-2.000", "purple"), "no code"]}


def shown(page: Served, code: str, reading: Any = READING) -> list[float | None]:
    """How sure the page says the model was of each object of a code."""
    view = page.ask("/api/look", {"domain": "clevr", "code": code, "reading": reading}).json
    return [one.get("confidence") for one in view["objects"]]


@pytest.mark.parametrize(
    ("code", "sure"),
    [
        (RED + BLUE, [0.9, 0.4]),
        (BLUE + RED, [0.4, 0.9]),
        (CUBE.format("2.500", "red") + BLUE, [0.9, 0.4]),  # moved
        (RED + CUBE.format("-2.000", "green"), [0.9, None]),  # painted
        (BLUE, [0.4]),  # the other is removed
        (CUBE.format("0.000", "blue") + BLUE + RED, [None, 0.4, 0.9]),  # one more
    ],
)
def test_how_sure_the_model_was_follows_an_object_until_its_words_change(page: Served, code: str, sure: list[float | None]) -> None:
    assert shown(page, code) == sure


@pytest.mark.parametrize("confidence", [None, [0.5], [0.5] * 3])
def test_nothing_is_said_where_the_model_said_nothing(page: Served, confidence: list[float] | None) -> None:
    assert shown(page, RED + BLUE, READING | {"confidence": confidence}) == [None, None]
    assert shown(page, RED + BLUE, None) == [None, None]


@pytest.mark.parametrize(
    "reading", [{"code": 3}, READING | {"confidence": [2.0]}, READING | {"candidates": [""] * 100}, READING | {"more": 1}]
)
def test_a_reading_that_is_none_is_refused(page: Served, reading: Any) -> None:
    answer = page.ask("/api/look", {"domain": "clevr", "code": RED, "reading": reading})
    assert answer.status == 400
    assert answer.json["problem"].startswith("the request: reading")


def test_refinement_gets_what_the_model_said_and_the_words_of_the_person_are_sure(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Scene, RefineSettings]] = []

    def refine(_: np.ndarray, scene: Scene, shot: Any, settings: RefineSettings, *__: Any, **___: Any) -> Refined:
        asked.append((scene, settings))
        green = replace(
            scene, objects=(*scene.objects[:1], scene.objects[1].replaced(color="green"), scene.objects[0].replaced(color="gray"))
        )
        return Refined(green, shot, 0.1, 0.2, 3, 0.5, (0, 1, None))

    monkeypatch.setattr("render.studio.studio.refine_scene", refine)
    image = page.ask("/api/image", encode_image(np.zeros((30, 40, 3), np.uint8))).json["image"]
    request = {"domain": "clevr", "code": RED + CUBE.format("-2.000", "yellow"), "image": image, "free_camera": True}
    [end] = page.ask("/api/refine", request | {"reading": READING}).lines
    domain = get_domain("clevr")
    [(scene, settings)] = asked
    assert settings.free_camera
    assert settings.candidates == (parse_code(READING["candidates"][0], domain),)  # type: ignore[arg-type]
    assert settings.confidence is not None
    assert dict(zip([obj["color"] for obj in scene], settings.confidence, strict=True)) == {"red": 0.9, "yellow": 1.0}
    assert end["reading"]["code"] == end["code"]
    assert end["reading"]["confidence"] == pytest.approx([*settings.confidence, 0.95])
    assert end["reading"]["candidates"] == READING["candidates"]

    [end] = page.ask("/api/refine", request).lines
    assert (asked[-1][1].candidates, asked[-1][1].confidence, end["reading"]) == ((), None, None)
