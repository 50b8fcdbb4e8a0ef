"""Refinement: predicted scenes become better explanations of their images, by what a user sees of them, and never worse ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datagen.code.grammar import parse_code, write_code
from datagen.code.predictions import Prediction, read_predictions, write_predictions
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.generate import generate
from datagen.images.encoding import encode_image
from datagen.io.files import read_jsonl
from datagen.metrics.matching import match
from datagen.samples.record import CameraRecord
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Object, Scene, Shot
from datagen.shards.reader import Samples
from igllm import main
from render.refine.frames import OwnFrames
from render.refine.partial import Partial
from render.refine.refine import Progress, Refined, RefineSettings, refine_scene
from render.refine.task import Task, carry_out
from render.refined import RefinedPrediction

CLEVR, DOT2D = get_domain("clevr"), get_domain("dot2d")
PLENTY = RefineSettings(seconds=600.0)


@pytest.fixture(scope="module")
def frames() -> Iterator[OwnFrames]:
    with OwnFrames() as own:
        yield own


def solid(x: float, y: float, color: str = "red", size: str = "large", shape: str = "cube") -> Object:
    values = {"color": color, "material": "rubber", "size": size, "shape": shape, "rotation": 0.0}
    return CLEVR.settled(Object("add", {"loc": (x, y, 0.0), **values}))


def scene_of(*objects: Object) -> Scene:
    return CLEVR.canonical(Scene("clevr", objects))


TRUTH = scene_of(solid(-1.0, -1.0), solid(1.2, 0.6, "cyan", "small", "cylinder"))


@pytest.fixture(scope="module")
def shot() -> Shot:
    """A shot under lamps that nobody is told of."""
    standard = CLEVR.canonical_shot(64, 48, "draft")
    moved = [replace(lamp, location=(lamp.location[0] + 0.6, lamp.location[1] - 0.5, lamp.location[2] + 0.4)) for lamp in standard.lamps]
    return replace(standard, lamps=tuple(moved), noise_seed=7)


@pytest.fixture(scope="module")
def image(frames: OwnFrames, shot: Shot) -> np.ndarray:
    return (frames.draw(TRUTH, shot, 16) * 255).round().astype(np.uint8)


def refined(image: np.ndarray, given: Scene, frames: OwnFrames, settings: RefineSettings = PLENTY) -> Refined:
    return refine_scene(image, given, CLEVR.canonical_shot(64, 48, "draft"), settings, frames)


def distance(scene: Scene, truth: Scene = TRUTH) -> float:
    """The greatest distance between matched objects."""
    return max(pair.distance for pair in match(truth, scene, get_domain(truth.domain)))


def words(scene: Scene) -> list[tuple[str, ...]]:
    return sorted((obj["color"], obj["material"], obj["size"], obj["shape"]) for obj in scene.objects)


def test_objects_go_where_the_image_has_them(image: np.ndarray, frames: OwnFrames) -> None:
    given = scene_of(solid(-0.85, -1.1), solid(1.05, 0.5, "cyan", "small", "cylinder"))
    found = refined(image, given, frames)
    assert distance(given) > 0.15
    assert distance(found.scene) < 0.05
    assert found.error < 0.8 * found.first_error
    assert words(found.scene) == words(given)


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        scene_of(solid(-1.0, -1.0, "yellow"), TRUTH.objects[1]),
        scene_of(solid(-1.0, -1.0, size="small"), TRUTH.objects[1]),
        scene_of(solid(-1.0, -1.0, shape="cylinder"), TRUTH.objects[1]),
        scene_of(*TRUTH.objects, solid(2.0, -2.0, "green", "small", "sphere")),
        scene_of(TRUTH.objects[0]),
    ],
    ids=["color", "size", "shape", "made up", "missed"],
)
def test_wrong_words_made_up_objects_and_missed_ones_are_mended(given: Scene, frames: OwnFrames) -> None:
    standard = CLEVR.canonical_shot(160, 120, "draft")
    image = (frames.draw(TRUTH, replace(standard, noise_seed=7), 16) * 255).round().astype(np.uint8)
    found = refine_scene(image, given, standard, PLENTY, frames)
    assert words(found.scene) == words(TRUTH)
    assert distance(found.scene) < 0.05
    assert found.origins.count(None) == max(0, len(TRUTH) - len(given))


def test_what_cannot_be_bettered_is_returned_as_it_was_given(image: np.ndarray, frames: OwnFrames) -> None:
    """Stopped at once, nothing has been found, and the frames that judge are all that is spent."""
    given = scene_of(solid(-0.9, -1.0))
    found = refine_scene(image, given, CLEVR.canonical_shot(64, 48, "draft"), PLENTY, frames, stop=lambda: True)
    assert found.scene == given
    assert found.error == found.first_error
    assert found.origins == (0,)
    assert 1 <= found.renders <= 4


def test_a_budget_of_renders_is_kept(image: np.ndarray, frames: OwnFrames) -> None:
    found = refined(image, scene_of(solid(-0.9, -1.0)), frames, RefineSettings(seconds=600.0, renders=20))
    assert 10 < found.renders <= 20
    assert found.error <= found.first_error


def test_progress_is_told_in_order(frames: OwnFrames) -> None:
    truth, shot = Scene("dot2d", (Object("dot", {"loc": (0.4, 0.6)}),)), DOT2D.canonical_shot(64, 48, "draft")
    image = (frames.draw(truth, shot, 1) * 255).round().astype(np.uint8)
    told: list[Progress] = []
    start = Scene("dot2d", (Object("dot", {"loc": (0.37, 0.63)}),))
    found = refine_scene(image, start, shot, PLENTY, frames, told.append)
    assert distance(found.scene, truth) < 0.005
    assert [one.renders for one in told] == sorted(one.renders for one in told)
    assert told[-1].error < told[0].error


# The verb, on painted scenes, which need no Blender


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refine") / "dots"
    generate(DatasetSettings(domain="dot2d", seed=3, width=64, height=48), 3, folder, workers=1)
    return folder


def guesses(dots: Path, out: Path) -> Path:
    """Predictions in which each dot is off by 0.04 of the square's side."""
    rows = []
    for sample in Samples(dots):
        [dot] = sample.scene.objects
        x, y = dot["loc"]
        off = Scene("dot2d", (dot.replaced(loc=(x + (0.04 if x < 0.5 else -0.04), y)),))
        rows.append(Prediction(sample.key, write_code(off, DOT2D), confidence=(0.5,)))
    write_predictions(out, rows)
    return out


def call(dots: Path, code: Path, out: Path, *more: str) -> int:
    return main(["refine", "--code", str(code), "--data", str(dots), "--out", str(out), "--workers", "1", *more])


def test_the_verb_writes_predictions_with_what_they_cost(dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = guesses(dots, tmp_path / "pred.jsonl"), tmp_path / "refined.jsonl"
    assert call(dots, code, out) == 0
    assert "3 refined predictions" in capsys.readouterr().out
    for key, prediction in read_predictions(out).items():
        assert distance(parse_code(prediction.code, DOT2D), Samples(dots)[key].scene) < 0.005
        assert prediction.confidence == (0.5,)
    for row in read_jsonl(out):
        how = row["refinement"]
        assert how["error"] < how["first_error"]
        assert how["renders"] > 0
        assert Shot.from_json(how["shot"]).width == 64
    assert main(["compare", "--reference", str(dots), "--candidate", str(out), "--out", str(tmp_path / "report")]) == 0


def test_it_goes_on_where_it_stopped(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a call that ends after its first scene, this scene is kept."""
    code, out = guesses(dots, tmp_path / "pred.jsonl"), tmp_path / "refined.jsonl"
    add, added = Partial.add, []

    def add_one(partial: Partial, row: RefinedPrediction, made_from: str) -> None:
        if added:
            raise UserError("the power is gone")
        added.append(row.key)
        add(partial, row, made_from)

    with monkeypatch.context() as patched:
        patched.setattr(Partial, "add", add_one)
        assert call(dots, code, out) == 2
    assert not out.exists()
    assert call(dots, code, out) == 0
    assert "1 of 3 scenes taken up" in capsys.readouterr().err
    assert list(read_predictions(out)) == Samples(dots).keys


def test_code_that_does_not_parse_is_named_and_left(dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = guesses(dots, tmp_path / "pred.jsonl"), tmp_path / "refined.jsonl"
    first, *others = read_predictions(code).values()
    write_predictions(code, [replace_code(first, "dot(nowhere)"), *others])
    assert call(dots, code, out) == 0
    assert f"{first.key}: left as it is" in capsys.readouterr().err
    assert read_predictions(out)[first.key].code == "dot(nowhere)"
    assert "refinement" not in json.loads(out.read_text().splitlines()[0])


def replace_code(prediction: Prediction, code: str) -> Prediction:
    return Prediction(prediction.key, code)


def test_what_the_code_states_of_camera_and_lamps_becomes_what_was_found(image: np.ndarray, frames: OwnFrames) -> None:
    """Here the search is stopped at once: what was found is where it began, but rounded; a camera without lamps stays without."""
    standard = CLEVR.canonical_shot(64, 48, "draft")
    given = parse_code("camera(loc=(7, -6, 5), target=(0, 0, 0.5), lens=33)\n" + write_code(scene_of(solid(-0.9, -1.0)), CLEVR), CLEVR)
    known = replace(standard, camera=Camera((7.4811, -6.508, 5.344)))
    found = refine_scene(image, given, known, PLENTY, frames, stop=lambda: True)
    assert found.scene.objects == given.objects
    assert write_code(found.scene, CLEVR).startswith("camera(loc=(7.481, -6.508, 5.344), target=(0.000, 0.000, 0.000), lens=35.00)\nadd(")


def test_a_task_begins_at_the_camera_that_is_known_or_else_at_the_one_that_the_code_states(frames: OwnFrames, image: np.ndarray) -> None:
    code = 'camera(loc=(7, -6, 5), target=(0, 0, 0.5), lens=33)\nlamp(name="key", loc=(6, -3, 4), power=70)\n' + write_code(TRUTH, CLEVR)
    stated = "camera(loc=(7.000, -6.000, 5.000), target=(0.000, 0.000, 0.500), lens=33.00)"
    recorded = "camera(loc=(7.481, -6.508, 5.344), target=(0.000, 0.000, 0.000), lens=35.00)"
    png = encode_image(image)
    for camera, first in ((None, stated), (CameraRecord((7.481, -6.508, 5.344)), recorded)):
        outcome = carry_out(Task(Prediction("a", code), "clevr", png, "a.png", camera, False, 600.0, 1), frames, stop=lambda: True)
        assert outcome.problem == ""
        lines = outcome.row.code.splitlines()
        assert lines[0] == first
        assert [line.partition("(")[0] for line in lines] == ["camera", "lamp", "add", "add"]
        assert outcome.row.shot is not None and [lamp.name for lamp in outcome.row.shot.lamps] == ["key"]
