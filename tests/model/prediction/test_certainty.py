"""Calibration on held-out scenes: shares that are right as often as they say, intervals, and images that are no scenes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from constant_scenes import SETTINGS
from drawn_samples import HEIGHT, WIDTH, draw_sample
from PIL import Image
from small_models import CLEVR, setting

from datagen.code.grammar import parse_code
from datagen.code.predictions import read_predictions
from datagen.metrics.certainty import LEVEL
from datagen.shards.pictures import DatasetImages
from datagen.shards.reader import Samples
from datagen.shards.writer import open_dataset
from igllm import main
from model.declared import StatedMap
from model.load import load_model
from model.prediction import calibrate
from model.prediction.certainty.calibration import CALIBRATION_FILE
from model.prediction.certainty.look import LEAST_IMAGES, distances, doubt, fit_look
from model.prediction.certainty.maps import fit_map, mapped
from model.prediction.certainty.spans import sampled_spans
from model.prediction.certainty.stretch import Cases, fit_stretch, half_widths
from model.ship import ship
from model.tokens.prompts import prompt_tokens

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Bench:
    """Folders: an untrained ``model`` with a dense read-out, a ``calibrated`` copy, 100 ``scenes`` whose images are noise, and twenty
    images
    of one colour each, ``plain``."""

    model: Path
    calibrated: Path
    scenes: Path
    plain: Path

    def calibrate(self, folder: Path) -> int:
        return main(["calibrate", "--model", str(folder), "--data", str(self.scenes), "--others", str(self.plain), "--device", "cpu"])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    home = tmp_path_factory.mktemp("bench")
    found = Bench(*(home / name for name in ("model", "calibrated", "scenes", "plain")))
    small = setting("words", "cells")
    small.model.config.prefix_token_ids = prompt_tokens(small.codec.tokenizer).prefix
    small.model.save_pretrained(found.model)
    small.codec.tokenizer.save_pretrained(found.model)
    with open_dataset(found.scenes, SETTINGS, LEAST_IMAGES, None) as writer:
        for index in writer.missing():
            writer.put(draw_sample(index))
        writer.close()
    found.plain.mkdir()
    for index in range(20):
        Image.new("RGB", (WIDTH, HEIGHT), (index * 12, 200, 255 - index * 12)).save(found.plain / f"{index}.png")
    shutil.copytree(found.model, found.calibrated)
    assert found.calibrate(found.calibrated) == 0
    assert not list(found.calibrated.glob(".*.partial"))
    return found


# The parts


@pytest.mark.parametrize(("slope", "offset"), [(0.5, 0.0), (2.0, 1.0), (1.0, -2.0)])
def test_a_map_undoes_what_a_model_says_too_surely(slope: float, offset: float) -> None:
    said = RNG.normal(1.5, 1.5, 8000)  # log-odds
    share = 1 / (1 + np.exp(-(slope * said + offset)))
    right = RNG.random(8000) < share
    found = fit_map((-np.logaddexp(0, -said)).tolist(), right.tolist(), list(range(8000)))
    assert np.abs(mapped(found, -np.logaddexp(0, -said)) - share).mean() < 0.015


def test_a_map_of_another_form_takes_knots_and_never_falls() -> None:
    said = RNG.uniform(-4, 4, 6000)
    share = np.where(said < 1, 0.2, 0.9)
    right = RNG.random(6000) < share
    found = fit_map((-np.logaddexp(0, -said)).tolist(), right.tolist(), list(range(6000)))
    assert found.knots
    shares = mapped(found, (-np.logaddexp(0, -np.sort(said))).tolist())
    assert (np.diff(shares) >= 0).all()
    assert abs(shares[0] - 0.2) < 0.05
    assert abs(shares[-1] - 0.9) < 0.05


def test_no_map_says_none_or_all() -> None:
    for found in (fit_map([-1e-9] * 500, [True] * 500, list(range(500))), StatedMap(slope=1000.0)):
        assert 0 < mapped(found, [-1e-12])[0] < 1
        assert 0 < mapped(found, [-50.0])[0] < 1
    assert fit_map([], [], []) == StatedMap()


def test_intervals_hold_nine_in_ten_of_new_numbers_of_the_sure_and_the_unsure() -> None:
    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        sure = -RNG.exponential(0.5, count)
        return sure, RNG.laplace(0, 0.02 * (1 - 3 * sure))  # the less sure, the farther off

    sure, offs = drawn(4000)
    spans = [(0.046, 0.046)] * 4000  # one spread for all
    stretch = fit_stretch(Cases(offs.tolist(), spans, sure.tolist(), list(range(4000))), 6.0)
    assert len(stretch.factors) > 1
    sure, offs = drawn(8000)
    inside = np.array([abs(off) <= half_widths(stretch, 0.046, 0.046, one)[0] for off, one in zip(offs, sure, strict=True)])
    for which in (sure > np.quantile(sure, 0.9), sure < np.quantile(sure, 0.1), np.ones(8000, bool)):
        assert abs(inside[which].mean() - LEVEL) < 0.04


def test_images_of_another_kind_are_far() -> None:
    mixing = RNG.normal(size=(6, 80))
    true = RNG.normal(size=(600, 6)) @ mixing + 0.1 * RNG.normal(size=(600, 80))
    other = RNG.normal(size=(200, 80)) * true.std()
    look = fit_look(true[:300], [0.1] * 300)
    assert (distances(look, true[300:]) <= look.farthest).mean() > 0.99
    assert (distances(look, other) > look.farthest).mean() > 0.99
    assert fit_look(true[:300], [0.1] * 300, true[300:400] * 1.3).farthest <= look.farthest


def test_doubt_beyond_that_of_true_images_is_none() -> None:
    true = RNG.normal(size=(200, 10))
    assert fit_look(true, [0.01 * (i % 50) for i in range(200)]).doubt == pytest.approx(0.49, abs=0.01)
    assert fit_look(true, [0.0] * 200).doubt == 0.2  # a model that is never in doubt may begin to be
    assert (doubt([]), doubt([0.5, 1.0])) == (1.0, 0.25)


def test_spans_are_as_wide_as_what_was_written_is_spread() -> None:
    small = setting("words", "cells")
    for one in small.decode():
        spreads = [spread for spread in one.text.spreads if spread > 0]
        scene = parse_code(one.code, CLEVR)
        assert len(spreads) == 4 * len(scene)
        spans = list(sampled_spans(small.codec, one.text))
        for place, (obj, found) in enumerate(zip(scene.objects, spans, strict=True)):
            for axis, half in enumerate((3.0, 3.0, 0.5)):
                low, high = found["loc"][axis]
                expected = spreads[4 * place + axis] * half * np.log(10)  # 90 % of a Laplace distribution on either side
                assert low <= obj["loc"][axis] <= high
                assert high - low == pytest.approx(2 * expected, rel=0.1, abs=0.005)


# The verb, and what it leaves


def test_a_calibrated_model_says_more(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = [samples_image(bench.scenes, index, tmp_path) for index in range(20)]
    for model, flags in ((bench.model, []), (bench.calibrated, ["--intervals"])):
        words = ["predict", "--model", str(model), "--images", *pictures, "--device", "cpu", "--out", str(tmp_path / f"{model.name}.jsonl")]
        assert main([*words, *flags]) == 0
    before, now = (read_predictions(tmp_path / f"{name}.jsonl") for name in ("model", "calibrated"))
    assert {key: one.code for key, one in now.items()} == {key: one.code for key, one in before.items()}
    assert all((one.words, one.intervals, one.looks_like_domain) == (None, None, None) for one in before.values())
    for one in now.values():
        scene = parse_code(one.code, CLEVR)
        assert len(one.confidence) == len(one.words) == len(one.intervals) == len(scene)
        assert all(set(words) == {"color", "material", "size", "shape"} for words in one.words)
        for obj, intervals in zip(scene.objects, one.intervals, strict=True):
            assert all(low < value < high for value, (low, high) in zip(obj["loc"], intervals["loc"], strict=True))
            ((low, high),) = intervals["rotation"]
            assert low < high if obj["shape"] == "cube" else low == high == 0
    assert np.mean([one.looks_like_domain for one in now.values()]) > 0.9
    capsys.readouterr()
    assert main(["predict", "--model", str(bench.calibrated), "--images", str(bench.plain), "--out", str(tmp_path / "plain.jsonl")]) == 0
    assert "20 of 20 images do not look like scenes of clevr" in capsys.readouterr().err
    strange = read_predictions(tmp_path / "plain.jsonl").values()
    assert all(one.looks_like_domain is False and one.domain_distance > 1 and one.words is None for one in strange)


def samples_image(data: Path, index: int, folder: Path) -> str:
    """The image of a sample as a file."""
    sample = Samples(data).at(index)
    path = folder / f"{sample.key}{sample.suffix}"
    path.write_bytes(sample.image)
    return str(path)


@pytest.mark.slow
def test_an_interrupted_calibration_goes_on(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(bench.model, tmp_path / "model"))
    (folder / CALIBRATION_FILE).write_text("{}")  # of another model, or damaged: it is made anew

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(calibrate, "fit_look", interrupt)
        with pytest.raises(KeyboardInterrupt):
            calibrate.calibrate(folder, DatasetImages(bench.scenes), device="cpu")
    assert (folder / CALIBRATION_FILE).read_text() == "{}"
    assert len((folder / f".{CALIBRATION_FILE}.partial").read_text().splitlines()) == LEAST_IMAGES + 1
    capsys.readouterr()
    assert bench.calibrate(folder) == 0
    assert "100 readings taken up" in capsys.readouterr().err
    assert (folder / CALIBRATION_FILE).read_bytes() == (bench.calibrated / CALIBRATION_FILE).read_bytes()


def test_a_shipped_copy_is_calibrated_too(bench: Bench, tmp_path: Path) -> None:
    ship(bench.calibrated, tmp_path / "shipped")
    one, other = (json.loads((folder / CALIBRATION_FILE).read_text()) for folder in (bench.calibrated, tmp_path / "shipped"))
    assert one.pop("model") != other["model"]
    assert other.pop("model") == load_model(tmp_path / "shipped", "cpu").digest
    assert one == other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stated: stated.update(model="0" * 64), "is of another model"),
        (lambda stated: stated.pop("look"), "look"),
        (lambda stated: stated["numbers"].pop("loc.x"), r"lacks the number loc\.x"),
        (lambda stated: stated["words"].update(hue={}), "has words of hue"),
        (lambda stated: stated["objects"].update(knots=[[1, 0.5], [0, 0.6]]), "the knots of a map must rise"),
        (lambda stated: stated["look"]["axes"].append([0.0]), "as many scales as means"),
        (lambda stated: stated["numbers"]["rotation"]["factors"].append(2.0), "a factor more than edges"),
    ],
)
def test_a_damaged_calibration_is_refused(
    change: Callable[[dict], object], message: str, bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(bench.calibrated, tmp_path / "model"))
    stated = json.loads((folder / CALIBRATION_FILE).read_text())
    change(stated)
    (folder / CALIBRATION_FILE).write_text(json.dumps(stated))
    assert main(["predict", "--model", str(folder), "--images", str(bench.plain / "0.png")]) == 2
    told = capsys.readouterr().err
    assert CALIBRATION_FILE in told
    assert re.search(message, told)


def test_what_cannot_be_is_said_in_one_message(bench: Bench, four_shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (
            ["predict", "--model", str(bench.model), "--images", str(bench.plain / "0.png"), "--intervals", "--out", "p.jsonl"],
            "igllm calibrate",
        ),
        (["predict", "--model", str(bench.calibrated), "--images", str(bench.plain / "0.png"), "--intervals"], "--intervals needs --out"),
        (["calibrate", "--model", str(bench.model), "--data", str(four_shards)], "at least 100"),
    ):
        assert main(words) == 2
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1
