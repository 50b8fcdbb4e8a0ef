"""In a run's folder, training replaces and removes what runs have written there, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_run import PRESET, generate

import igllm
from datagen.io.written import list_name

IN_THE_WAY = ("log.jsonl", "model.safetensors", "config.json", "tokenizer.json", "whole.json")
IN_FOLDERS = ("checkpoint-0/mine.txt", "checkpoint-2/mine.txt", "checkpoint-9/in/mine.txt", "best/mine.txt", "checkpoint-9", "best")
BESIDE = (".saving/mine.txt", ".saving/mine/mine.txt", "notes.txt", "tensorboard/mine", "samples/mine.txt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a preset, and a run of two steps of each verb, with a checkpoint after each."""
    folder = tmp_path_factory.mktemp("own")
    generate(folder / "data")
    (folder / "small.toml").write_text(PRESET)
    assert call(folder, "train", folder / "train", 2) == call(folder, "pretrain", folder / "pretrain", 2) == 0
    return folder


def call(folder: Path, verb: str, out: Path, steps: int) -> int:
    words = ["--preset", str(folder / "small.toml"), "--data", str(folder / "data"), "--out", str(out), "--device", "cpu"]
    return igllm.main([verb, *words, "--steps", str(steps), "--set", "save_steps=1"])


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


def contents(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("verb", "names"), [("train", (*IN_THE_WAY, *IN_FOLDERS)), ("pretrain", ("log.jsonl", "checkpoint-0/mine.txt"))])
def test_what_no_run_has_written_is_refused_where_it_would_go(
    verb: str, names: tuple[str, ...], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(names):
        run = shutil.copytree(folder / verb, tmp_path / str(number))
        write(run / name)
        before = contents(run)
        capsys.readouterr()
        assert call(folder, verb, run, 3) == 2, name
        output = capsys.readouterr().err
        assert output.count("\n") == 1
        assert f"{run / name}: " in output
        assert contents(run) == before


def test_a_folder_with_no_more_than_a_run_s_statement_keeps_its_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("model.safetensors", "tokenizer.json", "log.jsonl")):
        run = tmp_path / str(number)
        write(run / name)
        shutil.copy(folder / "train" / "run.json", run)
        before = contents(run)
        assert call(folder, "train", run, 2) == 2
        assert f"{run / name}: is there already, and igllm has not written it" in capsys.readouterr().err
        assert contents(run) == before


def test_what_is_in_nobodys_way_stays(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "train", tmp_path / "run")
    for name in BESIDE:
        write(run / name)
    (run / ".saving" / "checkpoint-3").mkdir()  # as a killed call leaves it
    assert call(folder, "train", run, 3) == 0
    assert all((run / name).read_text() == "mine" for name in BESIDE)
    assert {path.name for path in run.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-3"}
    assert {path.name for path in (run / ".saving").iterdir()} == {"mine.txt", "mine"}


def test_a_run_of_an_earlier_version_goes_on_unless_its_model_was_changed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(folder / "train", tmp_path / "run")
    (run / list_name("train")).unlink()
    changed = shutil.copytree(run, tmp_path / "changed")
    assert call(folder, "train", run, 3) == 0
    write(changed / "model.safetensors")
    assert call(folder, "train", changed, 3) == 2
    assert f"{changed / 'model.safetensors'}: is there already" in capsys.readouterr().err
