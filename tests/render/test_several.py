"""Several candidates on one page, and which samples a comparison is of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from comparison_sets import make_samples, moved, save_loose, save_predictions, save_shards
from pages import Page, report_cards

from datagen.code.predictions import Prediction
from datagen.errors import UserError
from igllm import main
from render.compare import compare
from render.several import candidate_names, compare_several


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    """Eight samples; a candidate that places an object 0.3 m off in all of them, one 0.1 m off in the first four, one without images."""
    samples = make_samples(8)
    few = [moved(sample, 0.1) if number < 4 else sample for number, sample in enumerate(samples)]
    far = save_loose(tmp_path / "far", [moved(sample) for sample in samples])
    predictions = save_predictions(tmp_path / "codes.jsonl", samples[1:])
    return save_shards(tmp_path / "truth", samples), {"far": far, "few": save_loose(tmp_path / "few", few), "codes": predictions}


def test_each_candidate_has_the_scores_that_it_has_alone(sides: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    truth, candidates = sides
    metrics = compare_several(truth, candidates, tmp_path / "report")
    assert metrics == json.loads((tmp_path / "report" / "metrics.json").read_text())
    for number, (name, path) in enumerate(candidates.items()):
        alone = compare(truth, path, tmp_path / "alone")
        assert {**metrics, **metrics["candidates"][number]}["name"] == name
        assert metrics["candidates"][number] == {
            "name": name,
            **{k: v for k, v in alone.items() if k not in ("reference", "domain", "unit")},
        }


def test_differences_are_paired(sides: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    truth, candidates = sides
    few, codes = compare_several(truth, candidates, tmp_path / "report")["paired"]
    values = [json.loads((tmp_path / "report" / "metrics.json").read_text())["candidates"][i]["scene"]["location_l2"] for i in (0, 1)]
    apart = few["scene"]["location_l2"]
    assert apart["difference"] == pytest.approx(values[1] - values[0])
    assert apart["interval"][0] <= apart["difference"] <= apart["interval"][1] < 0
    # Every scene of the far candidate is off by the same, so what varies is the other one alone: the interval is as narrow as that one's.
    assert few["wins"]["location"] == {"wins": 8, "losses": 0, "ties": 0}
    assert few["wins"]["flip"] == {"wins": 4, "losses": 0, "ties": 4}
    assert codes["wins"]["location"] == {"wins": 7, "losses": 0, "ties": 0}  # of the one that it lacks there is no error
    assert "flip" not in codes["wins"]
    assert codes["means"]["mask_iou"]["difference"] > 0


def test_equal_candidates_differ_by_nothing(sides: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    truth, candidates = sides
    [row] = compare_several(truth, {"one": candidates["far"], "two": candidates["far"]}, tmp_path / "report")["paired"]
    assert row["scene"]["ap"]["0.25"] == {"difference": 0.0, "interval": [0.0, 0.0]}
    assert row["means"]["flip"] == {"difference": 0.0, "interval": [0.0, 0.0]}
    assert row["wins"]["flip"] == {"wins": 0, "losses": 0, "ties": 8}


def test_the_page_has_a_column_for_each(sides: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    truth, candidates = sides
    compare_several(truth, candidates, tmp_path / "report")
    text = Page(tmp_path / "report" / "index.html").text
    assert all(name in text for name in candidates)
    first, *_ = report_cards(tmp_path / "report")
    far, few, codes = first["answers"]
    assert far["picture"] and far["heat"] and few["picture"] and few["heat"]
    assert "picture" not in codes
    assert codes["problem"] == "there is no prediction for this sample"
    rows = [json.loads(line) for line in (tmp_path / "report" / "samples.jsonl").read_text().splitlines()]
    assert [one["status"] for one in rows[0]["candidates"]] == ["compared", "compared", "missing"]


def test_the_command_takes_any_number(sides: tuple[Path, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, candidates = sides
    asked = [word for path in candidates.values() for word in ("--candidate", str(path))]
    report = ["--out", str(tmp_path / "report")]
    assert main(["compare", "--reference", str(truth), *asked, *report, "--predicted-only", "--num", "3"]) == 0
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (metrics["samples"], [one["missing"] for one in metrics["candidates"]]) == (3, [0, 0, 0])
    assert "codes.jsonl:" in capsys.readouterr().out
    twice = ["--candidate", str(candidates["far"])] * 2
    assert main(["compare", "--reference", str(truth), *twice, *report]) == 2
    assert "is given twice" in capsys.readouterr().err


def test_samples_are_named_by_keys_or_by_a_file(
    sides: tuple[Path, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, candidates = sides
    call = ["compare", "--reference", str(truth), "--candidate", str(candidates["far"]), "--out", str(tmp_path / "report")]
    (tmp_path / "keys.txt").write_text("000000005\n\n000000002\n")
    for keys in ("000000005,000000002", str(tmp_path / "keys.txt")):
        assert main([*call, "--keys", keys]) == 0
        rows = [json.loads(line) for line in (tmp_path / "report" / "samples.jsonl").read_text().splitlines()]
        assert [row["key"] for row in rows] == ["000000005", "000000002"]
    capsys.readouterr()
    for wrong, message in (
        (["--keys", "nobody"], "has no sample nobody"),
        (["--num", "9"], "there are 8 samples to compare"),
        (["--keys", ","], "names no key"),
    ):
        assert main([*call, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_a_round_trips_folder_can_be_a_candidate(tmp_path: Path) -> None:
    samples = make_samples()
    report = tmp_path / "report"
    save_loose(report / "rendered", samples)
    save_predictions(report / "pred.jsonl", samples[:2], Prediction(samples[2].key, "sing()"))
    (report / "index.html").write_text("a page")
    metrics = compare(save_shards(tmp_path / "truth", samples), report, tmp_path / "out")
    assert (metrics["unparsable"], metrics["image"]["samples"]) == (1, 3)


def test_candidates_are_named_by_as_much_of_their_paths_as_it_takes() -> None:
    assert candidate_names([Path("/a/x/run"), Path("/a/y/run"), Path("/a/z")]) == ["x/run", "y/run", "z"]
    with pytest.raises(UserError, match="twice"):
        candidate_names([Path("a"), Path("./a")])
    assert np.unique(candidate_names([Path("/a/b"), Path("/c/a/b"), Path("/c/b")])).size == 3
