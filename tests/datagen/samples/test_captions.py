"""Captions: every sentence is true of its scene and expresses its claim."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.domains.registry import get_domain
from datagen.geometry.camera import look_at
from datagen.samples.captions import Claim, Words, caption, sentences
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Object, Scene

CLEVR = get_domain("clevr")
CAMERAS = (CLEVR.canonical_shot(1, 1, "draft").camera, Camera((-6.0, -5.0, 4.0)), Camera((0.5, 8.0, 6.0), (0.0, 1.0, 0.0)))
VOCABULARY = {word: choice.name for statement in CLEVR.statements for choice in statement.choices for word in choice.words}
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
DIRECTIONS = {"left": "left|leftmost", "right": "right|rightmost", "front": "front|frontmost", "behind": "behind|rearmost"}


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Any canonical CLEVR scene, including twins and overlapping objects."""
    place, word = st.floats(-3, 3), {c.name: st.sampled_from(c.words) for c in CLEVR.statements[0].choices}
    objects = st.builds(
        lambda x, y, words: Object("add", {**words, "loc": (x, y, 0.35), "rotation": 0.0}), place, place, st.fixed_dictionaries(word)
    )
    found = draw(st.lists(objects, max_size=10))
    return CLEVR.canonical(Scene("clevr", tuple(found + found[: draw(st.integers(0, 1))])[:10]))


def holds(claim: Claim, scene: Scene, camera: Camera) -> bool:
    """Whether a claim is true of a scene that a camera looks at, by its definition."""
    meant = [obj for obj in scene if all(obj[name] == word for name, word in claim.subject.items())]
    if claim.kind == "count":
        return len(meant) == claim.number
    if claim.kind == "there":
        return len(meant) > 0
    axes = look_at(camera.location, camera.target)
    behind = np.array([-axes[0, 2], -axes[1, 2], 0.0]) / math.hypot(axes[0, 2], axes[1, 2])
    axis = {"right": axes[:, 0], "left": -axes[:, 0], "behind": behind, "front": -behind}[claim.direction]
    along = {id(obj): float(np.dot(CLEVR.location(obj), axis)) for obj in scene}
    if claim.kind == "relation":
        assert claim.other is not None
        others = [obj for obj in scene if all(obj[name] == word for name, word in claim.other.items())]
        return any(along[id(one)] - along[id(other)] > 0.2 for one in meant for other in others)
    assert claim.kind == "extreme"
    return max(scene, key=lambda obj: along[id(obj)]) in meant


def words_of(text: str) -> Words:
    """The domain's words in a piece of text, shapes in the singular."""
    found = [word.removesuffix("s") if word.removesuffix("s") in VOCABULARY else word for word in re.findall(r"[a-z]+", text.lower())]
    return {VOCABULARY[word]: word for word in found if word in VOCABULARY}


@given(scenes(), st.sampled_from(CAMERAS), st.integers(0, 2**32))
def test_every_sentence_is_true_and_says_its_claim(scene: Scene, camera: Camera, seed: int) -> None:
    made = sentences(scene, CLEVR, camera, np.random.default_rng(seed))
    assert len({repr(sentence.claim) for sentence in made}) == len(made)
    for claim, text in ((sentence.claim, sentence.text) for sentence in made):
        assert holds(claim, scene, camera), text
        assert re.fullmatch(r"[A-Z][a-z ]+\.", text)
        halves = re.split(r"to the left of|to the right of|in front of|behind", text)
        assert words_of(halves[0]) == claim.subject
        assert (words_of(halves[1]) if len(halves) == 2 else None) == claim.other
        words = re.findall(r"[a-z]+", text.lower())
        if claim.kind == "count":
            assert NUMBERS[claim.number] in words
        for name, forms in DIRECTIONS.items():
            assert bool(re.search(rf"\b({forms})\b", text)) == (claim.direction == name)
        for phrase in re.findall(rf"\bthe ((?:(?:{'|'.join(VOCABULARY)}|object) ?)+)", text.lower()):
            # the definite article requires exactly one such object
            assert sum(all(obj[name] == word for name, word in words_of(phrase).items()) for obj in scene) == 1
        for phrase in re.findall(rf"\ba ((?:(?:{'|'.join(VOCABULARY)}|object) ?)+)", text.lower()):
            assert any(all(obj[name] == word for name, word in words_of(phrase).items()) for obj in scene)


@given(scenes(), st.integers(0, 2**32))
def test_a_caption_depends_on_its_stream_alone(scene: Scene, seed: int) -> None:
    once, again = (caption(scene, CLEVR, CAMERAS[0], np.random.default_rng(seed)) for _ in range(2))
    assert once == again
    assert "\n" not in once


def test_captions_vary_and_use_every_kind() -> None:
    settings = DatasetSettings(width=64, height=48, min_objects=3, max_objects=6)
    drawn = [draw(settings, i).scene for i in range(20)]
    streams = [(scene, np.random.default_rng((i, k))) for i, scene in enumerate(drawn) for k in range(5)]
    made = [sentence for scene, rng in streams for sentence in sentences(scene, CLEVR, CAMERAS[0], rng)]
    assert {sentence.claim.kind for sentence in made} == {"count", "there", "relation", "extreme"}
    assert {sentence.claim.direction for sentence in made} == {"", *DIRECTIONS}
    assert len({sentence.text for sentence in made}) > 0.7 * len(made)


def test_an_empty_scene_has_a_caption() -> None:
    assert "no " in caption(Scene("clevr", ()), CLEVR, CAMERAS[0], np.random.default_rng(0))


def test_objects_without_words_have_captions() -> None:
    statement = replace(CLEVR.statements[0], arguments=CLEVR.statements[0].numbers)
    wordless = replace(CLEVR, statements=(statement,))
    scene = Scene("clevr", tuple(Object("add", {"loc": (x, 0.0, 0.35), "rotation": 0.0}) for x in (-2.0, 0.0, 2.0)))
    found = {s.claim.kind: s.text for seed in range(30) for s in sentences(scene, wordless, CAMERAS[0], np.random.default_rng(seed))}
    assert set(found) == {"count", "there", "relation", "extreme"}
    assert re.fullmatch(r"An object (is|stands|lies) .* an object\.", found["relation"])
