"""Evaluations: run for real in miniature, killed and called again; bad input is one message."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comparison_sets import save_predictions
from flags import status_of, with_flags
from holders import held
from pages import Page
from PIL import Image
from places import MINI

from datagen.code.predictions import Prediction
from datagen.shards.reader import Samples
from igllm import main
from model.training.trainer import IGTrainer

FRAME = ("--width", 48, "--height", 36, "--max-objects", 3, "--test-scenes", 6)
WHAT = ("--methods", "head,char", "--sizes", "6,9", "--preset", MINI, "--budget", 24, *FRAME, "--workers", 1, "--device", "cpu")
PALETTES = ({"gray", "blue", "brown", "yellow"}, {"red", "green", "purple", "cyan"})


def run(out: Path, *more: object) -> int:
    return main(["eval", "cogent", *with_flags(("--out", out, *WHAT), more)])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole evaluation: two methods at two sizes."""
    out = tmp_path_factory.mktemp("evals") / "cogent"
    assert run(out) == 0
    return out


def records_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in (folder / "cells").iterdir()}


def measured(record: dict[str, Any]) -> dict[str, Any]:
    """A run's request, scores and intervals, which every call reproduces."""
    return {name: record[name] for name in ("digest", "asked", "scores", "intervals")}


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
    assert len(set(apart)) == len(apart) == 9 + 6 + 6 + 6


def test_every_cell_states_what_was_asked_and_measured(done: Path) -> None:
    records = list(records_of(done).values())
    assert sorted((c["asked"]["method"], c["asked"]["size"]) for c in records) == [("char", 6), ("char", 9), ("head", 6), ("head", 9)]
    for record in records:
        assert record["training"]["images"] + record["pretraining"]["images"] == 24
        assert record["training"]["seconds"] > 0
        assert record["asked"]["settings"]["numbers"] == record["asked"]["method"]
        for condition in ("A", "B"):
            objects = sum(len(sample.scene) for sample in Samples(done / "data" / f"test-{condition}"))
            assert record["scores"][condition]["objects"] == objects
            low, high = record["intervals"][condition]["location_l2"]
            assert low <= record["scores"][condition]["location_l2"] <= high


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


def killed(out: Path, often: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is killed during its training, after a checkpoint."""
    command = [Path(sys.executable).with_name("igllm"), "eval", "cogent", *with_flags(("--out", out, *WHAT), often)]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(out.glob("runs/head-*/checkpoint-*")):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def broken_off(out: Path, often: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that ends during its training, after a checkpoint, as by Ctrl-C; in this process, which need not be started."""
    save = IGTrainer._save_checkpoint

    def save_and_end(trainer: IGTrainer, *arguments: Any) -> None:
        save(trainer, *arguments)
        if "head-" in str(trainer.args.output_dir):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(IGTrainer, "_save_checkpoint", save_and_end)
        assert run(out, *often) == 128 + signal.SIGINT


@pytest.mark.parametrize("end", [broken_off, pytest.param(killed, marks=pytest.mark.slow)])
def test_an_evaluation_that_ends_early_goes_on_to_the_same_cells(
    end: Callable[[Path, tuple[object, ...], pytest.MonkeyPatch], None], done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ended"
    shutil.copytree(done / "data", out / "data")
    often = ("--methods", "head", "--sizes", "6", "--set", "save_steps=1")
    end(out, often, monkeypatch)
    assert len(list(out.glob("runs/head-*/checkpoint-*"))) > 0
    assert not list(out.glob("cells/*.json"))
    assert run(out, *often) == 0
    undisturbed = records_of(done)
    for name, record in records_of(out).items():
        assert measured(record) == measured(undisturbed[name])
    assert len(records_of(out)) == 1


def test_predictions_of_other_weights_are_not_scored(done: Path, tmp_path: Path) -> None:
    """A cell was deleted, and what lies in the place of its predictions is not what its model predicts."""
    out = tmp_path / "again"
    shutil.copytree(done, out)
    kept = records_of(done)
    name = next(name for name, record in kept.items() if record["asked"]["method"] == "head")
    (out / "cells" / name).unlink()
    for path in (out / "predictions").glob(f"head-{Path(name).stem}-*.jsonl"):
        keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
        save_predictions(path, [], *(Prediction(key, "") for key in keys))
    assert run(out) == 0
    assert measured(records_of(out)[name]) == measured(kept[name])


def test_a_run_that_another_call_finishes_meanwhile_is_taken_from_it(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other call works at a run, whose record lies there before it ends. Nothing is trained or predicted here."""
    out = tmp_path / "shared"
    shutil.copytree(done / "cells", out / "cells")
    record = next(path for path, content in records_of(done).items() if content["asked"]["method"] == "head")
    (out / "cells" / record).unlink()
    with held(out / "cells" / Path(record).stem) as kill:

        def finish(_: float) -> None:
            shutil.copy(done / "cells" / record, out / "cells")
            kill()

        monkeypatch.setattr("datagen.io.locks.time.sleep", finish)
        assert run(out) == 0
    assert "waiting for another call" in capsys.readouterr().err
    assert {path.name for path in out.glob("[!.]*")} == {"cells", "table.md", "plots.png", "metrics.json", "pictures.html"}
    assert (out / "table.md").read_text() == (done / "table.md").read_text()


@pytest.mark.slow
def test_calls_that_share_a_folder_share_its_work(done: Path, tmp_path: Path) -> None:
    """Two at once, of a method each: both want the same data and the same pretraining, and one of them all cells."""
    out = tmp_path / "shared"
    one, both = ("--sizes", "6", "--methods", "char"), ("--sizes", "6")
    command = [Path(sys.executable).with_name("igllm"), "eval", "cogent", *with_flags(("--out", out, *WHAT), one)]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert run(out, *both) == 0
    error = process.communicate()[1]
    assert process.returncode == 0, error
    undisturbed = records_of(done)
    assert len(records_of(out)) == 2
    for name, record in records_of(out).items():
        assert measured(record) == measured(undisturbed[name])
    assert len(list((out / "runs").glob("[!.]*"))) == 3


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
    refusal = capsys.readouterr().err
    assert message in refusal
    assert "Traceback" not in refusal
    assert not (tmp_path / "x").exists()


def test_only_known_evaluations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["eval", "cogentz", "--out", tmp_path / "x"]) == 2
    assert "there is no evaluation 'cogentz'; choose one of cogent, dot2d" in capsys.readouterr().err


def test_data_of_another_frame_are_refused(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(done, "--width", 64) == 2
    assert "train-6" in capsys.readouterr().err
