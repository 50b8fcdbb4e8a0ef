"""Cells that were kept: read by every later version, refused where damaged, never replaced in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eval_runs import known_run, requests
from flags import status_of
from places import DOCS

from igllm import main
from render.evals.catalogue import asked
from render.evals.runs import read_run, write_run


def without(path: str) -> Any:
    """A function that removes an entry of a run's record."""

    def change(content: Any) -> Any:
        table = content
        *names, last = path.split(".")
        for name in names:
            table = table[name]
        del table[last]
        return content

    return change


def given(path: str, value: Any) -> Any:
    """A function that changes an entry of a run's record."""

    def change(content: Any) -> Any:
        table = content
        *names, last = path.split(".")
        for name in names:
            table = table[name]
        table[last] = value
        return content

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: "{", "is not JSON"),
        (lambda content: [], "its content is []"),
        (lambda content: {**content, "asked": {**content["asked"], "size": 5}}, "does not state"),
        (without("scores.B"), "measured is missing"),
        (without("scores.A.ap.1"), "measured is missing"),
        (without("intervals.A.recall"), "measured is missing"),
        (without("training.seconds"), "training: seconds is missing"),
        (without("versions"), "versions is missing"),
        (given("scores.A.recall", "much"), 'scores.A.recall is "much", but must be a number from 0 to 1'),
        (given("scores.A.recall", -5), "scores.A.recall is -5, but must be a number from 0 to 1"),
        (given("scores.A.recall", 10**400), "but must be a number from 0 to 1"),
        (given("scores.A.location_l2", 1e308), "but must be a number from 0 to 1e+12"),
        (given("scores.A.extra", 0.5), "scores.A.extra is 0.5, but must be a whole number from 0 to"),
        (given("scores.A.objects", 10**400), "but must be a whole number from 0 to"),
        (given("scores.A.objects", 41), "scores.A: objects is 41, but must be at most 40, as 4 scenes have"),
        (given("scores.A.guessed", 1), "guessed is 1, but must be the sum of matched and extra"),
        (given("scores.A.recall", None), "must be null where the score is"),
        (given("intervals.A.recall", [1, 0]), "two numbers from 0 to 1 with the score, 0.5, between them"),
        (given("intervals.A.recall", [0.6, 0.7]), "with the score, 0.5, between them"),
        (given("intervals.A.recall", [10**400, 1]), "with the score, 0.5, between them"),
        (given("training.images", 2**53), "training is {"),
        (given("pretraining", None), "pretraining is null, but must be as was asked: {"),
        (given("digest", "0" * 16), "does not state what its name stands for"),
        (given("asked.format_version", True), "does not state what its name stands for"),
        (given("versions.device", "cpu | x"), "versions.device is"),
        (given("versions.device", "cpu\n# Heading"), "versions.device is"),
        (given("versions.device", "<script>"), "versions.device is"),
        (given("versions.device", "x" * 1_000_000), "more than 1,000,000"),
    ],
)
def test_a_damaged_cell_is_told_before_anything_is_run(
    change: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what = ("--methods", "head", "--sizes", "500", "--test-scenes", 4)
    (request,) = requests(methods=("head",), sizes=(500,))
    folder = tmp_path / "cells"
    write_run(folder, known_run(request, 2))
    assert read_run(folder, request) is not None
    path = folder / f"{request.digest}.json"
    changed = change(json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    assert status_of(["eval", "cogent", "--out", tmp_path / "x", *what, "--cells", folder]) == 2
    refusal = capsys.readouterr().err
    assert message in refusal
    assert request.digest in refusal
    assert "delete it to have it run again" in refusal
    assert not (tmp_path / "x").exists()


def test_what_is_not_measured_is_not_carried_along(tmp_path: Path) -> None:
    (request,) = requests(methods=("head",), sizes=(500,))
    write_run(tmp_path, known_run(request, 2))
    path = tmp_path / f"{request.digest}.json"
    content = json.loads(path.read_text())
    content["scores"]["A"]["other"] = content["scores"]["C"] = {"x": 10**400}
    path.write_text(json.dumps(content))
    kept = read_run(tmp_path, request)
    assert kept is not None
    assert kept.to_json() == json.loads(json.dumps(known_run(request, 2).to_json()))


def test_a_link_in_the_place_of_a_cell_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (request,) = requests(methods=("head",), sizes=(500,))
    path = tmp_path / "cells" / f"{request.digest}.json"
    path.parent.mkdir()
    path.symlink_to(path)
    what = ("--methods", "head", "--sizes", "500", "--test-scenes", 4)
    assert status_of(["eval", "cogent", "--out", tmp_path / "x", *what, "--cells", path.parent]) == 2
    assert f"{path}: cannot be read" in capsys.readouterr().err
    assert path.is_symlink()


@pytest.mark.parametrize(
    ("name", "place"),
    [("cogent", "cogent"), ("dot2d", "evals/dot2d"), ("so3", "evals/so3"), ("pose6d", "evals/pose6d"), ("assets", "evals/assets")],
)
def test_kept_cells_are_read_by_every_later_version(name: str, place: str, tmp_path: Path) -> None:
    """With the preset as it was then, whatever settings were added since; `render.evals.plan.LATER_SETTINGS` lists them."""
    kept = DOCS / place
    wanted = [json.loads(record.read_text())["asked"] for record in (kept / "cells").iterdir()]
    methods = ",".join(method.name for method in asked(name)[0].methods if method.name in {one["method"] for one in wanted})
    seeds = ",".join(map(str, sorted({one["seed"] for one in wanted})))
    given = ["--methods", methods, "--seeds", seeds, "--preset", kept / "tiny.toml", "--cells", kept / "cells"]
    what = ["eval", name, *given, "--out", tmp_path]
    assert main(list(map(str, what))) == 0
    assert (tmp_path / "table.md").read_text() == (kept / "table.md").read_text()
    assert not (tmp_path / "data").exists()
