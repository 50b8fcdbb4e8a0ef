"""Tables and pages of pictures that are made of finished cells."""

from __future__ import annotations

from pathlib import Path

from comparison_sets import make_samples, moved, save_predictions, save_shards, with_objects
from eval_runs import known_run, requests
from pages import Page

from datagen.code.predictions import Prediction
from render.evals.declaration import Shown
from render.evals.pictures import pictures_page
from render.evals.results import write_results
from render.sides import Side


def test_the_table_of_known_cells(tmp_path: Path) -> None:
    runs = [known_run(request, right) for request, right in zip(requests(sizes=(500, 4000), seeds=(0, 7)), (1, 2, 3, 4) * 2, strict=True)]
    write_results(tmp_path, runs[0].request.evaluation, runs)
    lines = (tmp_path / "table.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| IG-LLM, characters | 4,000 | 7 |")]
    whole = "100.0 (100.0–100.0)"
    assert rows[0] == f"| IG-LLM, characters | 4,000 | 7 | 0.000 (0.000–0.000) | {' | '.join([whole] * 5)} |"
    assert rows[1] == f"| IG-LLM, characters | 4,000 | 7 | {' | '.join([whole] * 11)} | 0 | 0 |"
    assert rows[4].startswith("| IG-LLM, characters | 4,000 | 7 | 12,000 + 12,000 | 30 + 61 | tiny | cpu | `")
    half = next(line for line in lines if line.startswith("| IG-LLM, numeric head | 500 | 0 |"))
    assert "| 25.0 (0.0–75.0) |" in half
    outside = [line for line in lines if line.startswith("| IG-LLM, numeric head | 500 | 0 |")][2]
    assert outside.split(" | ")[3:5] == ["–", "–"]  # nothing is matched, so nothing is right or wrong
    for line in lines:
        if line.startswith("|--"):
            columns = line.count("|")
        elif line.startswith("| IG"):
            assert line.count("|") == columns


def test_the_page_of_pictures_has_the_worst_first_and_escapes(tmp_path: Path) -> None:
    attack = "<img src=x onerror=alert(1)>"
    fine, off, nothing, wild, broken = samples = make_samples(5)
    truth = save_shards(tmp_path / "truth", samples)
    guessed = [fine, moved(off, 2.0), with_objects(nothing, []), with_objects(wild, moved(off).scene.objects)]
    guess = save_predictions(tmp_path / "pred.jsonl", guessed, Prediction(broken.key, attack))
    (request,) = requests(methods=("head",), sizes=(500,))
    evaluation = request.evaluation
    keys = [sample.key for sample in samples]
    shown = [Shown(request.method, request.size, evaluation.conditions[1], Side(truth), Side(guess), keys)]
    (tmp_path / "pictures.html").write_text(pictures_page(evaluation, shown, absent=[attack]))
    source, page = (tmp_path / "pictures.html").read_text(), Page(tmp_path / "pictures.html")
    assert "<img src=x" not in source
    assert page.text.count(attack) == 2  # what is absent, and the code that does not parse
    assert page.tags.count("article") == 5
    assert "1 of 5 scenes without a fault" in page.text
    places = [source.index(f">{key}</a>") for key in (nothing.key, wild.key, off.key, fine.key)]
    assert places == sorted(places)
    assert "off by 2" in source
    assert "://" not in source
