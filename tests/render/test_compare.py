"""Comparison: every pair of kinds of side, missing and unparsable predictions, and refused input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_sets import DOMAIN, make_samples, moved, save_loose, save_predictions, save_shards, with_objects
from pages import report_cards

import datagen.images.reduced
from datagen.code.predictions import Prediction, write_predictions
from datagen.errors import UserError
from datagen.images.encoding import decode_image
from datagen.samples.sample import make_sample
from igllm import main
from render.compare import compare

SAVERS = {"shards": save_shards, "loose": save_loose, "predictions": save_predictions}
BAD_CODE = 'add(shape="<script>alert(1)</script>")'


def lines(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (report / "samples.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("candidate", SAVERS)
@pytest.mark.parametrize("reference", SAVERS)
def test_every_pair_of_kinds(tmp_path: Path, reference: str, candidate: str) -> None:
    samples = make_samples()
    one, other = SAVERS[reference](tmp_path / "one", samples), SAVERS[candidate](tmp_path / "other", samples)
    metrics = compare(one, other, tmp_path / "report")
    assert metrics == json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (metrics["samples"], metrics["missing"], metrics["unparsable"], metrics["domain"]) == (3, 0, 0, "clevr")
    assert metrics["scene"]["ap"]["0.125"] == 1.0
    assert metrics["intervals"]["ap"]["0.125"] == [1.0, 1.0]
    if "predictions" in (reference, candidate):
        assert metrics["image"] is None
    else:
        assert metrics["image"] == {"samples": 3, "psnr": 100.0, "ssim": 1.0, "flip": 0.0, "same": 1.0}
    assert [row["key"] for row in lines(tmp_path / "report")] == [s.key for s in samples]


def test_a_file_without_predictions_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, empty = save_predictions(tmp_path / "truth", make_samples()), tmp_path / "empty.jsonl"
    for text in ("", "\n\n"):
        empty.write_text(text)
        assert main(["compare", "--reference", str(truth), "--candidate", str(empty), "--out", str(tmp_path / "report")]) == 2
        assert f"{empty}: there are no predictions in it" in capsys.readouterr().err


def test_a_page_shows_so_many_objects_of_a_sample_and_says_how_many_more(tmp_path: Path) -> None:
    write_predictions(tmp_path / "pred.jsonl", [Prediction("many", "dot(loc=(0.5, 0.5))\n" * 203)])
    metrics = compare(tmp_path / "pred.jsonl", tmp_path / "pred.jsonl", tmp_path / "report", kind="dot2d")
    [card] = report_cards(tmp_path / "report")
    assert (metrics["scene"]["matched"], len(card["answers"][0]["rows"]), card["answers"][0]["more"]) == (203, 200, 3)


def test_differences_are_seen(tmp_path: Path) -> None:
    samples = make_samples()
    metrics = compare(save_shards(tmp_path / "a", samples), save_loose(tmp_path / "b", [moved(s) for s in samples]), tmp_path / "report")
    assert metrics["scene"]["location_l2"] == pytest.approx(0.3 / 4, abs=1e-3)
    assert metrics["scene"]["ap"]["0.25"] < metrics["scene"]["ap"]["0.5"] == 1.0
    low, high = metrics["intervals"]["location_l2"]
    assert low <= metrics["scene"]["location_l2"] <= high
    assert metrics["image"]["flip"] > 0.1
    assert metrics["image"]["same"] == 0


def test_very_large_images_are_compared_and_the_report_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagen.images.reduced, "MOST_PIXELS", 32 * 24 // 2)
    [large] = make_samples(1)
    one, other = save_loose(tmp_path / "a", [large]), save_loose(tmp_path / "b", [moved(large)])
    assert main(["compare", "--reference", str(one), "--candidate", str(other), "--out", str(tmp_path / "report")]) == 0
    assert "large       1 of the pairs have over two million pixels, and SSIM and FLIP are of smaller copies" in capsys.readouterr().out
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["images_reduced"] == 1
    assert lines(tmp_path / "report")[0]["image"]["reduced"] is True
    assert "SSIM and FLIP are of smaller copies" in (tmp_path / "report" / "index.html").read_text()
    for picture in (tmp_path / "report" / "pictures").iterdir():
        assert decode_image(picture.read_bytes(), picture.name).shape == (12, 16, 3)


def test_missing_and_unparsable_count_as_missed(tmp_path: Path) -> None:
    whole, _, broken = samples = make_samples()
    predictions = save_predictions(tmp_path / "pred.jsonl", [whole], Prediction(broken.key, BAD_CODE, confidence=(0.5,)))
    metrics = compare(save_shards(tmp_path / "a", samples), predictions, tmp_path / "report")
    assert (metrics["missing"], metrics["unparsable"]) == (1, 1)
    assert metrics["scene"]["recall"] == pytest.approx(1 / 3)
    assert metrics["scene"]["accuracy_all"]["color"] == pytest.approx(1 / 3)
    assert metrics["scene"]["accuracy_matched"]["color"] == 1
    assert metrics["scene"]["ap"]["1"] == pytest.approx(1 / 3)
    assert [row["status"] for row in lines(tmp_path / "report")] == ["compared", "missing", "unparsable"]
    _, missing, unparsable = (card["answers"][0] for card in report_cards(tmp_path / "report"))
    assert missing["problem"] == "there is no prediction for this sample"
    assert unparsable["problem"].startswith('line 1, column 11: "<script>alert(1)</script>" is no shape')
    assert unparsable["code"] == BAD_CODE


def test_keys_restrict_both_sides(tmp_path: Path) -> None:
    samples = make_samples(4)
    one = save_shards(tmp_path / "a", samples[:3])
    other = save_loose(tmp_path / "b", samples[1:])
    with pytest.raises(UserError, match=r"has no sample 000000003: .* predicted from"):
        compare(one, other, tmp_path / "report")
    metrics = compare(one, other, tmp_path / "report", keys=[samples[0].key, samples[1].key])
    assert (metrics["samples"], metrics["missing"]) == (2, 1)
    with pytest.raises(UserError, match="has no sample nobody"):
        compare(one, other, tmp_path / "report", keys=["nobody"])
    with pytest.raises(UserError, match="nothing to compare"):
        compare(one, other, tmp_path / "report", keys=[])


def test_predictions_behind_a_rendered_folder_give_code_and_confidence(tmp_path: Path) -> None:
    (sample,) = make_samples(1)
    first, *rest = sample.scene.objects
    stray = first.replaced(loc=(0.0, 0.0, 9.0))
    rendered = with_objects(sample, [stray, first, *rest])
    order = [first, stray, *rest]  # the model's order, which the folder's canonical code no longer has
    code = "".join(with_objects(sample, [o]).code for o in order)
    write_predictions(tmp_path / "pred.jsonl", [Prediction(sample.key, code, confidence=(0.9, 0.1, 0.9, 0.9, 0.9))])
    one, other = save_shards(tmp_path / "a", [sample]), save_loose(tmp_path / "b", [rendered])
    metrics = compare(one, other, tmp_path / "report", predictions=tmp_path / "pred.jsonl")
    assert metrics["image"]["samples"] == 1
    assert metrics["scene"]["ap"]["0.125"] == 1.0
    assert metrics["scene"]["extra"] == 1
    write_predictions(tmp_path / "pred.jsonl", [Prediction(sample.key, code, confidence=(0.1, 0.9, 0.1, 0.1, 0.1))])
    assert compare(one, other, tmp_path / "report", predictions=tmp_path / "pred.jsonl")["scene"]["ap"]["0.125"] < 1.0
    write_predictions(tmp_path / "pred.jsonl", [Prediction(sample.key, code, confidence=(0.1,))])
    with pytest.raises(UserError, match="1 confidences for 5 statements"):
        compare(one, other, tmp_path / "report", predictions=tmp_path / "pred.jsonl")


def test_unequal_frames_are_refused_with_the_remedy(tmp_path: Path) -> None:
    one, other = save_shards(tmp_path / "a", make_samples()), save_shards(tmp_path / "b", make_samples(width=64, height=48))
    with pytest.raises(UserError, match=r"has 64x48 pixels, its reference 32x24; render the candidate with --width 32 --height 24"):
        compare(one, other, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_tiny_frames_are_refused(tmp_path: Path) -> None:
    (sample,) = make_samples(1)
    tiny = make_sample("a", sample.scene, DOMAIN.canonical_shot(16, 8, "draft"), np.zeros((8, 16, 3), np.uint8))
    with pytest.raises(UserError, match="at least 11 each way"):
        compare(save_loose(tmp_path / "a", [tiny]), save_loose(tmp_path / "b", [tiny]), tmp_path / "report")


def test_a_reference_must_parse(tmp_path: Path) -> None:
    samples = make_samples(1)
    one = save_predictions(tmp_path / "one.jsonl", [], Prediction(samples[0].key, BAD_CODE))
    with pytest.raises(UserError, match="cannot be a reference"):
        compare(one, save_loose(tmp_path / "b", samples), tmp_path / "report")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    one = save_shards(tmp_path / "a", make_samples(1))
    with pytest.raises(UserError, match="nowhere"):
        compare(one, tmp_path / "nowhere", tmp_path / "report")


def test_the_command_ends_with_a_few_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = make_samples()
    one = save_shards(tmp_path / "a", samples)
    for name, candidate in (("b", save_loose(tmp_path / "b", [moved(s) for s in samples])), ("p", tmp_path / "p.jsonl")):
        if name == "p":
            save_predictions(candidate, samples[:1], Prediction(samples[1].key, BAD_CODE))
        assert main(["compare", "--reference", str(one), "--candidate", str(candidate), "--out", str(tmp_path / "report")]) == 0
        captured = capsys.readouterr()
        lines = {line.split()[0]: line for line in captured.out.splitlines()}
        assert len(lines) == len(captured.out.splitlines()) <= 9
        assert ("images" in lines) == (name == "b")
        assert "warning" not in captured.err
    assert "1 without an answer, 1 whose code cannot be read" in lines["scenes"]
    assert lines["attributes"].count("33.3 %") == 4
    assert "33.3 % within 1 m" in lines["AP"]
    assert lines["all"].endswith("/report/metrics.json")


@pytest.mark.parametrize("count", [1, 3])
def test_the_command_says_if_no_object_is_named(tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    samples = make_samples(count)
    empty = save_predictions(tmp_path / "p.jsonl", [], *(Prediction(s.key, "") for s in samples))
    one = save_shards(tmp_path / "a", samples)
    assert main(["compare", "--reference", str(one), "--candidate", str(empty), "--out", str(tmp_path / "report")]) == 0
    expected = "the one code is empty" if count == 1 else "all 3 codes are empty"
    assert f"igllm compare: warning: {expected}: no object is named" in capsys.readouterr().err


def test_what_predictions_say_of_their_certainty_is_judged(tmp_path: Path) -> None:
    samples = make_samples(3)
    one = save_shards(tmp_path / "a", samples)
    wide = {"loc": ((-9.0, 9.0),) * 3, "rotation": ((-45.0, 45.0),)}
    narrow = {"loc": ((8.0, 9.0),) * 3, "rotation": ((0.0, 0.0),)}

    def predictions(certain: float, intervals: dict) -> Path:
        found = []
        for sample in samples:
            count, words = len(sample.scene), {"color": certain, "shape": 1.0}
            found.append(Prediction(sample.key, sample.code, None, (certain,) * count, None, (words,) * count, (intervals,) * count))
        write_predictions(tmp_path / "pred.jsonl", found)
        return tmp_path / "pred.jsonl"

    honest = compare(one, predictions(1.0, wide), tmp_path / "report")["certainty"]
    assert honest["calibration_error"] == {"object": 0.0, "color": 0.0, "shape": 0.0}
    assert honest["inside"]["loc.x"] == 1.0
    assert honest["width"]["loc.x"] == 18.0
    modest = compare(one, predictions(0.75, narrow), tmp_path / "report")["certainty"]
    assert modest["calibration_error"] == {"object": 0.25, "color": 0.25, "shape": 0.0}
    assert modest["ends"]["calibration_error"]["object"] == pytest.approx([0.25, 0.25])
    assert modest["inside"]["loc.x"] == 0.0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "How sure it is" in page
    assert "75.00 % sure: 100.00 % right" in page
    bare = compare(one, save_predictions(tmp_path / "bare.jsonl", samples), tmp_path / "report")
    assert bare["certainty"] is None
    assert "How sure it is" not in (tmp_path / "report" / "index.html").read_text()
    with pytest.raises(UserError, match="has 2 intervals of loc, which has 3"):
        compare(one, predictions(1.0, {"loc": ((0.0, 1.0),) * 2}), tmp_path / "report")
