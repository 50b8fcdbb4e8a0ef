"""An evaluation in a folder with other people's files: none of them is read as a result, and none is replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from flags import with_flags
from places import MINI

from igllm import main

FRAME = ("--width", 32, "--height", 32, "--set", "image_height=32", "--set", "image_width=32")
WHAT = ("--methods", "head", "--sizes", 4, "--budget", 8, "--test-scenes", 2, "--preset", MINI, "--set", "batch_size=4", *FRAME)
RESULTS = ("metrics.json", "table.md", "plots.png", "pictures.html", "maps.png")


def run(out: Path, *more: object) -> int:
    return main(["eval", "dot2d", *with_flags(("--out", out, *WHAT, "--workers", 1, "--device", "cpu"), more)])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole evaluation of one run."""
    out = tmp_path_factory.mktemp("evals") / "dot2d"
    assert run(out) == 0
    return out


@pytest.fixture
def used(done: Path, tmp_path: Path) -> Path:
    """A copy of that folder, whose run is still to be scored."""
    out = tmp_path / "used"
    shutil.copytree(done, out)
    (record,) = (out / "cells").glob("*.json")
    record.unlink()
    return out


def training(out: Path) -> Path:
    (folder,) = (out / "runs").glob("head-*")
    return folder


def with_settings(**settings: object) -> Callable[[Path], None]:
    def harm(out: Path) -> None:
        path = training(out) / "run.json"
        stated = json.loads(path.read_text())
        path.write_text(json.dumps({**stated, "settings": {**stated["settings"], **settings}}))

    return harm


def other_tars(out: Path) -> None:
    for name in ("shard-000000.tar", "manifest.jsonl"):
        shutil.copy(out / "data" / "test-outside" / name, out / "data" / "test-inside")


def other_training_data(out: Path) -> None:
    """State another digest of the training data, as if the model had been trained on other scenes."""
    path = training(out) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data": "0" * 64}))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (with_settings(seed=77), "holds a run with seed=77, not 0"),
        (with_settings(steps=5), "holds a run with steps=5, not 2"),
        (other_training_data, "holds a run on other data"),
        (lambda out: (training(out) / "run.json").write_text('{"garbage'), "is not JSON"),
        (lambda out: (training(out) / "run.json").unlink(), "holds something that is not a run"),
        (lambda out: (training(out) / "seconds.json").write_text("{}"), "delete it to have the seconds counted from nothing"),
    ],
)
def test_a_finished_run_is_the_one_that_is_asked_for(
    harm: Callable[[Path], object], message: str, used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(used)
    capsys.readouterr()
    assert run(used) == 2
    output = capsys.readouterr().err
    assert message in output
    assert str(training(used)) in output
    assert "predict" not in output
    assert not list((used / "cells").glob("*.json"))


def test_what_is_finished_and_asked_for_is_not_trained_again(done: Path, used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(used) == 0
    assert "train:" not in capsys.readouterr().err
    (one,), (other,) = ((json.loads(path.read_text()) for path in (out / "cells").glob("*.json")) for out in (done, used))
    assert one == other


def test_test_scenes_are_those_that_are_asked_for(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other_tars(used)
    assert run(used) == 2
    assert f"{used / 'data' / 'test-inside'}: the sample 000000000 is not the one" in capsys.readouterr().err
    assert not list((used / "cells").glob("*.json"))


def test_pictures_of_other_scenes_or_predictions_are_left_out(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run is scored already, so its table is written all the same."""
    out = tmp_path / "out"
    shutil.copytree(done, out)
    other_tars(out)
    (damaged,) = (out / "predictions").glob("*-outside.jsonl")
    damaged.write_text("nonsense")
    assert run(out) == 0
    output = capsys.readouterr().err
    assert output.count("left out of the pictures") == 2
    assert f"{out / 'data' / 'test-inside'}: the sample" in output
    assert f"{damaged}, line 1" in output
    assert "<article" not in (out / "pictures.html").read_text()


@pytest.mark.parametrize("name", RESULTS)
def test_files_of_others_are_not_replaced(name: str, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused before anything is generated, with and without finished runs."""
    for folder in (done / "cells", tmp_path / "none"):
        out = tmp_path / folder.name / "out"
        out.mkdir(parents=True)
        (out / name).write_text("mine")
        assert run(out, "--cells", folder) == 2
        assert f"{out / name}: is there already, and igllm has not written it" in capsys.readouterr().err
        assert {path.name: path.read_text() for path in out.iterdir()} == {name: "mine"}


def test_results_that_were_changed_since_are_not_replaced(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--cells", done / "cells") == 0
    (tmp_path / "table.md").write_text("with my notes")
    assert run(tmp_path, "--cells", done / "cells") == 2
    assert "table.md: was changed after igllm wrote it" in capsys.readouterr().err
    assert (tmp_path / "table.md").read_text() == "with my notes"


def test_results_of_an_earlier_version_are_written_anew(done: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "--cells", done / "cells") == 0
    (tmp_path / ".igllm-eval.jsonl").unlink()
    (tmp_path / "table.md").write_text("as it was told then")
    assert run(tmp_path, "--cells", done / "cells") == 0
    assert (tmp_path / "table.md").read_text() == (done / "table.md").read_text()


@pytest.mark.parametrize("name", ["runs", "data", "predictions"])
def test_a_file_in_the_place_of_a_folder_is_told_first(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).touch()
    assert run(tmp_path) == 2
    assert f"{tmp_path / name}: a file is in the place of the folder {name}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
