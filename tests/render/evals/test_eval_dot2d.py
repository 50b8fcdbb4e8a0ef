"""The evaluation of one dot: run for real in miniature, what it measures beside the scores, and its maps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from flags import with_flags
from pages import Page
from PIL import Image
from places import MINI

from datagen.code.predictions import Prediction, read_predictions, write_predictions
from datagen.domains.registry import get_domain
from datagen.metrics.scores import score_scene
from datagen.scene import Object, Scene
from datagen.shards.reader import Samples
from igllm import main
from render.evals.catalogue import asked
from render.evals.declaration import Shown
from render.evals.dot2d import distinct
from render.evals.maps import error_maps
from render.sides import Side

WHAT = ("--sizes", "6,9", "--preset", MINI, "--budget", 48, "--width", 48, "--height", 36, "--test-scenes", 6, "--device", "cpu")
DOT2D = get_domain("dot2d")


def run(out: Path, *more: object) -> int:
    return main(["eval", "dot2d", *with_flags(("--out", out, *WHAT), more)])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evals") / "dot2d"
    assert run(out) == 0
    return out


def test_models_learn_from_the_cells_and_are_tested_on_both_sides_of_their_edges(done: Path) -> None:
    checkerboard = DOT2D.split("checkerboard")
    for name, inside in (("train-9", True), ("val", True), ("test-inside", True), ("test-outside", False)):
        for sample in Samples(done / "data" / name):
            x, y = sample.scene.objects[0]["loc"]
            assert checkerboard.holds({"loc.x": x, "loc.y": y}) == inside


def test_cells_count_the_answers_that_differ(done: Path) -> None:
    records = [json.loads(path.read_text()) for path in (done / "cells").iterdir()]
    assert sorted((record["asked"]["method"], record["asked"]["size"]) for record in records) == [
        ("char", 6),
        ("char", 9),
        ("head", 6),
        ("head", 9),
    ]
    for record in records:
        assert record["training"]["images"] == 48
        for condition in ("inside", "outside"):
            predicted = read_predictions(done / "predictions" / f"{record['asked']['method']}-{record['digest']}-{condition}.jsonl")
            whole = {prediction.code.strip() for prediction in predicted.values()}
            assert record["scores"][condition]["distinct"]["positions"] == len(whole - {""})


def test_what_is_distinct() -> None:
    scenes = [Scene("dot2d", (Object("dot", {"loc": spot}),)) for spot in ((0.1, 0.2), (0.1, 0.3), (0.1, 0.2))]
    assert distinct([*scenes, None, Scene("dot2d", ())]) == {"distinct": {"x": 1, "y": 2, "positions": 2}}


def test_table_plots_maps_and_page_are_there(done: Path) -> None:
    table = (done / "table.md").read_text()
    assert "| within 0.02 |" in table
    assert table.count("| IG-LLM, characters | 9 | 0 |") == 3
    for name in ("plots.png", "maps.png"):
        with Image.open(done / name) as picture:
            assert min(picture.size) > 300
    page = Page(done / "pictures.html")
    assert page.tags.count("article") == 2 * 2 * 6
    assert "evenly spaced from the best read to the worst" in " ".join(page.text.split())


def test_finished_cells_are_not_run_again(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--cells", done / "cells") == 0
    assert capsys.readouterr().err.count("is there") == 4
    assert (tmp_path / "table.md").read_text() == (done / "table.md").read_text()


def test_each_prediction_is_scored_once(done: Path, tmp_path: Path) -> None:
    """One run is scored again, for its table, its intervals and the page of pictures, on six scenes of each of two conditions."""
    shutil.copytree(done, tmp_path / "again")
    for path in (tmp_path / "again" / "cells").iterdir():
        path.unlink()
    with patch("render.scored.score_scene", wraps=score_scene) as scored:
        assert run(tmp_path / "again", "--methods", "char", "--sizes", "9") == 0
    assert scored.call_count == 2 * 6
    (record,) = (tmp_path / "again" / "cells").iterdir()
    before, after = (json.loads((folder / "cells" / record.name).read_text()) for folder in (done, tmp_path / "again"))
    assert (before["scores"], before["intervals"]) == (after["scores"], after["intervals"])


def test_a_cell_that_lacks_a_measure_of_the_evaluation_is_damaged(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (done / "cells").iterdir():
        record = json.loads(path.read_text())
        del record["scores"]["outside"]["distinct"]["y"]
        (tmp_path / path.name).write_text(json.dumps(record))
    assert run(tmp_path / "x", "--cells", tmp_path) == 2
    assert "something that was measured is missing" in capsys.readouterr().err


def test_maps_show_each_dot_at_its_true_place_and_at_the_one_read(done: Path, tmp_path: Path) -> None:
    data = done / "data" / "test-outside"
    samples = Samples(data)
    spots = [sample.scene.objects[0]["loc"] for sample in samples]
    codes = {key: f"dot(loc=({x / 2:.4f}, {y:.4f}))\n" for key, (x, y) in zip(samples.keys, spots, strict=True)}
    codes[samples.keys[0]] = ""  # no dot at all
    write_predictions(tmp_path / "pred.jsonl", [Prediction(key, code) for key, code in codes.items()])
    evaluation, plan = asked("dot2d", methods=["head"], sizes=(6,))
    (request,) = plan.requests(evaluation)
    shown = Shown(request.method, request.size, evaluation.conditions[1], Side(data), Side(tmp_path / "pred.jsonl"), samples.keys)
    above, below, _ = error_maps(evaluation, [shown]).axes
    assert np.allclose(above.collections[0].get_offsets(), spots[1:])
    assert np.allclose(below.collections[0].get_offsets(), [(round(x / 2, 4), y) for x, y in spots[1:]])
    assert len(above.patches) == 25  # the training squares


def test_without_predictions_a_map_says_so(tmp_path: Path) -> None:
    evaluation, _ = asked("dot2d")
    assert "no predictions" in error_maps(evaluation, []).texts[0].get_text()


@pytest.mark.parametrize(("more", "message"), [(("--max-objects", 2), "places 0 to 1"), (("--methods", "derender"), "has no method")])
def test_what_the_domain_or_the_evaluation_lacks_is_told(
    more: tuple[object, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "x", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
