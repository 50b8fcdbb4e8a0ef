"""Evaluations: run for real in miniature, killed and called again, and everything that is made from finished runs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from comparison_sets import make_samples, moved, save_predictions, save_shards, with_objects
from flags import with_flags
from pages import Page
from PIL import Image
from places import DOCS, MINI

from datagen.code.predictions import Prediction
from datagen.domains.registry import get_domain
from datagen.metrics.intervals import intervals
from datagen.metrics.scores import score_scene
from datagen.metrics.summary import summarize
from datagen.shards.reader import Samples
from igllm import main
from render.evals.catalogue import asked
from render.evals.declaration import Shown
from render.evals.pictures import pictures_page
from render.evals.plan import RunRequest
from render.evals.results import write_results
from render.evals.runs import Run, read_run, write_run
from render.sides import Side

DOMAIN = get_domain("clevr")
FRAME = ("--width", 48, "--height", 36, "--max-objects", 3, "--test-scenes", 6)
WHAT = ("--methods", "head,char", "--sizes", "6,9", "--preset", MINI, "--budget", 48, *FRAME, "--workers", 1, "--device", "cpu")
PALETTES = ({"gray", "blue", "brown", "yellow"}, {"red", "green", "purple", "cyan"})


def run(out: Path, *more: object) -> int:
    return main(["eval", "cogent", *with_flags(("--out", out, *WHAT), more)])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole evaluation: two methods at two sizes."""
    out = tmp_path_factory.mktemp("evals") / "cogent"
    assert run(out) == 0
    return out


def cells_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in (folder / "cells").iterdir()}


def measured(cell: dict[str, Any]) -> dict[str, Any]:
    """A run's request, scores and intervals, which every call reproduces."""
    return {name: cell[name] for name in ("digest", "asked", "scores", "intervals")}


def colors(data: Path, shape: str) -> set[str]:
    return {str(o["color"]) for sample in Samples(data) for o in sample.scene.objects if o["shape"] == shape}


def test_models_learn_from_a_alone_and_are_tested_on_both(done: Path) -> None:
    first, second = PALETTES
    for name in ("train-6", "train-9", "val", "test-A"):
        assert colors(done / "data" / name, "cube") <= first
        assert colors(done / "data" / name, "cylinder") <= second
    assert colors(done / "data" / "test-B", "cube") <= second
    assert colors(done / "data" / "test-B", "cylinder") <= first


def test_smaller_training_sets_begin_the_larger_and_no_two_sets_share_a_scene(done: Path) -> None:
    codes = {path.name: [sample.code for sample in Samples(path)] for path in (done / "data").iterdir()}
    assert codes["train-6"] == codes["train-9"][:6]
    apart = [code for name in ("train-9", "val", "test-A", "test-B") for code in codes[name]]
    assert len(set(apart)) == len(apart) == 9 + 100 + 6 + 6


def test_every_cell_states_what_was_asked_and_measured(done: Path) -> None:
    cells = list(cells_of(done).values())
    assert sorted((c["asked"]["method"], c["asked"]["size"]) for c in cells) == [("char", 6), ("char", 9), ("head", 6), ("head", 9)]
    for cell in cells:
        assert cell["training"]["images"] + cell["pretraining"]["images"] == 48
        assert cell["training"]["seconds"] > 0
        assert cell["asked"]["settings"]["numbers"] == cell["asked"]["method"]
        for condition in ("A", "B"):
            objects = sum(len(sample.scene) for sample in Samples(done / "data" / f"test-{condition}"))
            assert cell["scores"][condition]["objects"] == objects
            low, high = cell["intervals"][condition]["location_l2"]
            assert low <= cell["scores"][condition]["location_l2"] <= high


def test_methods_share_a_pretraining_but_sizes_do_not(done: Path) -> None:
    runs = sorted(path.name.partition("-")[0] for path in (done / "runs").iterdir())
    assert runs == ["char"] * 2 + ["head"] * 2 + ["pretrain"] * 2


def test_table_plots_and_page_are_there(done: Path) -> None:
    table = (done / "table.md").read_text()
    for method in ("IG-LLM, numeric head", "IG-LLM, characters"):
        for size in (6, 9):
            assert table.count(f"| {method} | {size} | 0 |") == 5
    with Image.open(done / "plots.png") as plots:
        assert plots.width > plots.height > 300
    page = Page(done / "pictures.html")
    assert page.tags.count("article") == 2 * 2 * 6
    assert page.tags.count("img") == 2 * page.tags.count("article")  # the image, and the prediction drawn over it
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert len(json.loads((done / "metrics.json").read_text())["cells"]) == 4


def test_finished_cells_are_not_run_again(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In another folder, from finished runs: no data, no training, the same table."""
    assert run(tmp_path / "other", "--cells", done / "cells") == 0
    assert capsys.readouterr().err.count("is there") == 4
    assert {path.name for path in (tmp_path / "other").glob("[!.]*")} == {"table.md", "plots.png", "metrics.json", "pictures.html"}
    assert (tmp_path / "other" / "table.md").read_text() == (done / "table.md").read_text()
    assert "Not shown, as their predictions are not in this folder" in (tmp_path / "other" / "pictures.html").read_text()


def test_a_killed_evaluation_goes_on_to_the_same_cells(done: Path, tmp_path: Path) -> None:
    """Killed during the training of the first run, after a checkpoint."""
    out = tmp_path / "killed"
    shutil.copytree(done / "data", out / "data")
    often = ("--sizes", "6", "--set", "save_steps=1")
    command = [Path(sys.executable).with_name("igllm"), "eval", "cogent", *with_flags(("--out", out, *WHAT), often)]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(out.glob("runs/head-*/checkpoint-*")):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not list(out.glob("cells/*.json"))
    assert run(out, *often) == 0
    undisturbed = cells_of(done)
    for name, cell in cells_of(out).items():
        assert measured(cell) == measured(undisturbed[name])
    assert len(cells_of(out)) == 2


def test_predictions_of_other_weights_are_not_scored(done: Path, tmp_path: Path) -> None:
    """A run's record was deleted, and its prediction files hold other code than its model's."""
    out = tmp_path / "again"
    shutil.copytree(done, out)
    kept = cells_of(done)
    name = next(name for name, cell in kept.items() if cell["asked"]["method"] == "head")
    (out / "cells" / name).unlink()
    for path in (out / "predictions").glob(f"head-{Path(name).stem}-*.jsonl"):
        keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
        save_predictions(path, [], *(Prediction(key, "") for key in keys))
    assert run(out) == 0
    assert measured(cells_of(out)[name]) == measured(kept[name])


def test_calls_that_share_a_folder_share_its_work(done: Path, tmp_path: Path) -> None:
    """Two calls at once, for one method and for both: they need the same data, the same pretraining and one run in common."""
    out = tmp_path / "shared"
    one, both = ("--sizes", "6", "--methods", "char"), ("--sizes", "6")
    command = [Path(sys.executable).with_name("igllm"), "eval", "cogent", *with_flags(("--out", out, *WHAT), one)]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert run(out, *both) == 0
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    undisturbed = cells_of(done)
    assert len(cells_of(out)) == 2
    for name, cell in cells_of(out).items():
        assert measured(cell) == measured(undisturbed[name])
    assert len(list((out / "runs").glob("[!.]*"))) == 3


def requests(**given: Any) -> list[RunRequest]:
    evaluation, plan = asked("cogent", **{"methods": ("head", "char"), "test_scenes": 4, **given})
    return plan.requests(evaluation)


def test_what_determines_a_cell_names_it_and_nothing_else_does() -> None:
    (one, other), (again, _) = requests(sizes=(500,)), requests(sizes=(500,), changes=("save_seconds=5", "log_steps=3"))
    assert one.digest == again.digest != other.digest
    assert one.pretraining_digest == other.pretraining_digest == again.pretraining_digest
    changes: list[dict[str, Any]] = [
        {"sizes": (501,)},
        {"seeds": (1,)},
        {"budget": 100},
        {"pretrain_share": 0.25},
        {"changes": ("learning_rate=0.1",)},
    ]
    others = [requests(**{"sizes": (500,), **change})[0] for change in changes]
    others += [requests(sizes=(500,), test_scenes=n, width=w)[0] for n, w in ((5, 160), (4, 162))]
    assert len({request.digest for request in (one, *others)}) == 1 + len(others)


@pytest.mark.parametrize(("share", "shared"), [(0.5, (750, 750)), (0.25, (375, 1125)), (0.0, (None, 1500))])
def test_the_budget_is_spent_whatever_the_data(share: float, shared: tuple[int | None, int]) -> None:
    for request in requests(sizes=(500, 4000), pretrain_share=share):
        assert (request.pretraining and request.pretraining.optimisation.steps, request.training.optimisation.steps) == shared


def test_a_tower_that_is_not_trained_is_not_pretrained() -> None:
    (request,) = requests(methods=("head",), sizes=(500,), preset="paper", budget=320_000)
    assert request.pretraining is None
    assert request.training.optimisation.steps == 10_000


def known_cell(request: RunRequest, right: int) -> Run:
    """A run on four scenes, of which ``right`` are read without a fault and the others not at all."""
    scores = [
        score_scene(sample.scene, sample.scene if i < right else None, DOMAIN) for i, sample in enumerate(make_samples(4))
    ]  # four objects each
    work = request.work
    return Run(
        request,
        training={**(work["training"] or {}), "seconds": 61.4},
        pretraining={**(work["pretraining"] or {}), "seconds": 30.0},
        scores={"A": summarize(scores), "B": summarize(scores[::-1][:2])},
        intervals={"A": intervals(scores), "B": intervals(scores[::-1][:2])},
        versions={"device": "cpu"},
    )


def test_the_table_of_known_cells(tmp_path: Path) -> None:
    cells = [known_cell(request, right) for request, right in zip(requests(sizes=(500, 4000), seeds=(0, 7)), (1, 2, 3, 4) * 2, strict=True)]
    write_results(tmp_path, cells[0].request.evaluation, cells)
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
    predicted = [fine, moved(off, 2.0), with_objects(nothing, []), with_objects(wild, moved(off).scene.objects)]
    guess = save_predictions(tmp_path / "pred.jsonl", predicted, Prediction(broken.key, attack))
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


def status_of(arguments: Sequence[object]) -> int | str | None:
    try:
        return main(list(map(str, arguments)))
    except SystemExit as stop:  # argparse
        return stop.code


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--methods", "head,tail"), "has no method 'tail'; choose among head, char"),
        (("--methods", "head,head"), "given twice"),
        (("--sizes", "0"), "a size of 0"),
        (("--sizes", "500,-1"), "a size of -1"),
        (("--sizes", "many"), "is no whole number"),
        (("--sizes", "500,500"), "a size is given twice"),
        (("--seeds", "-1"), "a seed of -1"),
        (("--budget", "0"), "not positive"),
        (("--pretrain-share", "1"), "below 1"),
        (("--pretrain-share", "nan"), "below 1"),
        (("--preset", "huge"), "no preset 'huge'"),
        (("--set", "stepz=1"), "stepz"),
        (("--test-scenes", "0"), "not positive"),
        (("--max-objects", "30"), "places 0 to 10"),
        (("--width", "3"), "3x36 pixels"),
        (("--cells", MINI), "in the place of the folder to write"),
        (("--out", MINI), "in the place of the folder to write"),
    ],
)
def test_bad_input_gets_one_message_and_status_two(
    more: tuple[object, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(["eval", "cogent", *with_flags(("--out", tmp_path / "x", *WHAT), more)]) == 2
    output = capsys.readouterr().err
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "x").exists()


def test_only_known_evaluations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["eval", "cogentz", "--out", tmp_path / "x"]) == 2
    assert "there is no evaluation 'cogentz'; choose one of cogent, dot2d" in capsys.readouterr().err


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
    cells = tmp_path / "cells"
    write_run(cells, known_cell(request, 2))
    assert read_run(cells, request) is not None
    path = cells / f"{request.digest}.json"
    changed = change(json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    assert status_of(["eval", "cogent", "--out", tmp_path / "x", *what, "--cells", cells]) == 2
    output = capsys.readouterr().err
    assert message in output
    assert request.digest in output
    assert "delete it to have it run again" in output
    assert not (tmp_path / "x").exists()


def test_what_is_not_measured_is_not_carried_along(tmp_path: Path) -> None:
    (request,) = requests(methods=("head",), sizes=(500,))
    write_run(tmp_path, known_cell(request, 2))
    path = tmp_path / f"{request.digest}.json"
    content = json.loads(path.read_text())
    content["scores"]["A"]["other"] = content["scores"]["C"] = {"x": 10**400}
    path.write_text(json.dumps(content))
    kept = read_run(tmp_path, request)
    assert kept is not None
    assert kept.to_json() == json.loads(json.dumps(known_cell(request, 2).to_json()))


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
    wanted = [json.loads(cell.read_text())["asked"] for cell in (kept / "cells").iterdir()]
    methods = ",".join(method.name for method in asked(name)[0].methods if method.name in {one["method"] for one in wanted})
    seeds = ",".join(map(str, sorted({one["seed"] for one in wanted})))
    given = ["--methods", methods, "--seeds", seeds, "--preset", kept / "tiny.toml", "--cells", kept / "cells"]
    what = ["eval", name, *given, "--out", tmp_path]
    assert main(list(map(str, what))) == 0
    assert (tmp_path / "table.md").read_text() == (kept / "table.md").read_text()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("setting", "before", "since"),
    [("vision_merge", 1, 2), ("number_cells", False, True), ("order_noise", 0.0, 0.1), ("word_cells", False, True)],
)
def test_a_later_setting_is_stated_unless_it_does_what_was_done_before(setting: str, before: Any, since: Any) -> None:
    plain, new = (
        requests(methods=("head",), sizes=(500,), changes=("word_cells=false", f"{setting}={value}"))[0] for value in (before, since)
    )
    assert new.asked["settings"][setting] == since
    assert setting not in plain.asked["settings"]


def test_data_of_another_frame_are_refused(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(done, "--width", 64) == 2
    assert "train-6" in capsys.readouterr().err
