"""The distributions of drawn samples that docs/data.md promises, and a check that the tests notice a generator a few points off.

Seeds are fixed, so a test gives the same answer every time. The level is 1e-4: with other seeds, a right generator fails so rarely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from datagen.domains.clevr import CAMERA, COLORS, MATERIALS, SHAPES, SIZES
from datagen.domains.registry import get_domain
from datagen.domains.splits import Split
from datagen.samples.draw import Drawn, draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Object

CLEVR = get_domain("clevr")
LEVEL = 1e-4


def sample(num: int, seed: int = 1, **options: object) -> list[Drawn]:
    settings = DatasetSettings(seed=seed, width=48, height=36, **options)  # type: ignore[arg-type]
    return [draw(settings, index) for index in range(num)]


def single(num: int, split: Split | None = None, seed: int = 1) -> list[Object]:
    """The objects of `num` scenes of one object."""
    return [drawn.scene.objects[0] for drawn in sample(num, seed, rules=split, min_objects=1, max_objects=1)]


@pytest.fixture(scope="module")
def crowded() -> list[Drawn]:
    return sample(1200)


@pytest.fixture(scope="module")
def alone() -> list[Object]:
    return single(3000)


def evenness(found: Iterable[object], values: Iterable[object]) -> float:
    """The chi-square p-value of equally frequent values."""
    counts = Counter(found)
    expected = list(values)
    assert set(counts) <= set(expected)
    return float(chisquare([counts[value] for value in expected]).pvalue)


def uniformity(found: Iterable[float], low: float, high: float) -> float:
    """The Kolmogorov-Smirnov p-value of uniform numbers in [low, high]."""
    return float(kstest(np.fromiter(found, float), "uniform", (low, high - low)).pvalue)


def test_counts_are_even_although_crowded_scenes_are_refused_more_often(crowded: list[Drawn]) -> None:
    assert sum(drawn.attempt for drawn in crowded) > len(crowded)
    assert evenness((len(drawn.scene) for drawn in crowded), range(3, 11)) > LEVEL


@pytest.mark.parametrize(("argument", "words"), [("material", MATERIALS), ("color", COLORS)])
def test_what_no_rule_looks_at_is_even_in_every_scene(argument: str, words: Iterable[str], crowded: list[Drawn]) -> None:
    assert evenness((obj[argument] for drawn in crowded for obj in drawn.scene), words) > LEVEL


def test_attributes_of_a_single_object_are_even_and_independent(alone: list[Object]) -> None:
    for argument, words in (("shape", SHAPES), ("size", SIZES), ("material", MATERIALS), ("color", COLORS)):
        assert evenness((obj[argument] for obj in alone), words) > LEVEL
    kinds = [(shape, size, color) for shape in SHAPES for size in SIZES for color in COLORS]
    assert evenness(((obj["shape"], obj["size"], obj["color"]) for obj in alone), kinds) > LEVEL


def test_a_single_object_stands_anywhere_at_any_angle(alone: list[Object]) -> None:
    for axis in (0, 1):
        assert uniformity((obj["loc"][axis] for obj in alone), -3, 3) > LEVEL
    corners = [(obj["loc"][0] > 0, obj["loc"][1] > 0) for obj in alone]
    assert evenness(corners, [(a, b) for a in (False, True) for b in (False, True)]) > LEVEL
    assert uniformity((obj["rotation"] for obj in alone if obj["shape"] == "cube"), 0, 90) > LEVEL


def test_a_custom_split_is_even_in_what_it_allows() -> None:
    split = Split(
        "mine",
        ((("shape", ("cube",)), ("color", ("red", "blue"))), (("shape", ("sphere",)), ("size", ("small",)))),
        (("loc.x", -1.5, 0.5), ("rotation", 10.0, 40.0)),
    )
    objects = single(2000, split)
    cubes = [obj for obj in objects if obj["shape"] == "cube"]
    assert evenness((obj["shape"] for obj in objects), ("cube", "sphere")) > LEVEL
    assert evenness(((obj["color"], obj["size"]) for obj in cubes), [(c, s) for c in ("red", "blue") for s in SIZES]) > LEVEL
    assert evenness((obj["color"] for obj in objects if obj["shape"] == "sphere"), COLORS) > LEVEL
    assert uniformity((obj["loc"][0] for obj in objects), -1.5, 0.5) > LEVEL
    assert uniformity((obj["rotation"] for obj in cubes), 10, 40) > LEVEL


@pytest.mark.parametrize("name", ["cogent-a", "cogent-b"])
def test_cogent_is_even_in_shapes_and_in_the_colors_of_each(name: str) -> None:
    objects = single(2000, CLEVR.splits[name])
    assert evenness((obj["shape"] for obj in objects), SHAPES) > LEVEL
    for shape in SHAPES:
        palette = next(dict(c).get("color", tuple(COLORS)) for c in CLEVR.splits[name].combinations if dict(c)["shape"] == (shape,))
        assert evenness((obj["color"] for obj in objects if obj["shape"] == shape), palette) > LEVEL


def test_lamps_move_evenly(crowded: list[Drawn]) -> None:
    lamps = CLEVR.canonical_shot(48, 36, "draft").lamps
    for lamp, standard in enumerate(lamps):
        for axis in range(3):
            moves = (drawn.shot.lamps[lamp].location[axis] - standard.location[axis] for drawn in crowded)
            assert uniformity(moves, -1, 1) > LEVEL


def test_cameras_come_and_move_evenly() -> None:
    other = Camera((-7.0, -6.5, 5.0), name="left")
    stands = {camera.name: camera.location for camera in (CAMERA, other)}
    shots = [drawn.shot.camera for drawn in sample(1500, cameras=(CAMERA, other), camera_jitter=0.5, min_objects=1, max_objects=2)]
    assert evenness((camera.name for camera in shots), stands) > LEVEL
    for axis in range(3):
        assert uniformity((camera.location[axis] - stands[camera.name][axis] for camera in shots), -0.5, 0.5) > LEVEL


def test_a_generator_that_is_wrong_in_one_scene_of_ten_would_be_caught(alone: list[Object], crowded: list[Drawn]) -> None:
    """The shares of large objects and of the right half are off by five points, of a color by 1.25."""
    tenth = len(alone) // 10
    rest = alone[tenth:]
    large = rest + single(tenth, Split("large", ((("size", ("large",)),),)), seed=2)
    right = rest + single(tenth, Split("right", ranges=(("loc.x", 0.0, 3.0),)), seed=2)
    turned = rest + single(tenth, Split("turned", ranges=(("rotation", 0.0, 20.0),)), seed=2)
    warm = rest + single(tenth, Split("warm", ((("color", ("red", "brown", "yellow", "purple")),),)), seed=2)
    counts = [3 if index % 10 == 0 else len(drawn.scene) for index, drawn in enumerate(crowded)]
    assert evenness((obj["size"] for obj in large), SIZES) < LEVEL
    assert uniformity((obj["loc"][0] for obj in right), -3, 3) < LEVEL
    assert uniformity((obj["rotation"] for obj in turned if obj["shape"] == "cube"), 0, 90) < LEVEL
    assert evenness((obj["color"] for obj in warm), COLORS) < LEVEL
    assert evenness(counts, range(3, 11)) < LEVEL
