"""Locks on what only one call may write: another call ends with a message, and a killed call does not stop the next one."""

from __future__ import annotations

from pathlib import Path

import pytest
from holders import held

from datagen.errors import UserError
from datagen.io.files import write_json
from datagen.io.locks import InUse, hold, turn
from datagen.shards.reader import Samples
from igllm import main


def test_one_call_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "out"
    with held(path), pytest.raises(InUse, match="another call is writing it"), hold(path):
        pass
    for _ in range(2):  # the last holder was killed, then one released it
        with hold(path):
            assert [entry.name for entry in path.parent.iterdir()] == [".out.lock"]
        assert not list(path.parent.iterdir())


def test_who_waits_for_a_turn_says_so_once_and_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, tries = [], []
    with held(tmp_path / "out") as kill:

        def sleep(seconds: float) -> None:
            tries.append(seconds)
            if len(tries) == 3:
                kill()

        monkeypatch.setattr("datagen.io.locks.time.sleep", sleep)
        with turn(tmp_path / "out", told.append):
            assert (tmp_path / ".out.lock").exists()
    assert told == [f"waiting for another call, which is at {tmp_path / 'out'}"]
    assert len(tries) == 3


def test_two_blocks_of_one_process_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the system gives a process a lock that it has: the end of one block must not free the other's."""
    monkeypatch.chdir(tmp_path)
    with hold(tmp_path / "out"):
        for _ in range(2):
            with pytest.raises(InUse, match="another call is writing it"), hold(Path("out")):
                pass
        assert (tmp_path / ".out.lock").exists()
        with hold(tmp_path / "other"):
            pass
    with hold(tmp_path / "out"):
        pass


def test_a_wait_can_be_told_late_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    tries: list[None] = []

    def end_at_the_third() -> None:
        tries.append(None)
        if len(tries) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("datagen.io.locks.time.sleep", lambda _: None)
    with hold(tmp_path / "out"):
        for after, messages in ((600.0, 0), (0.0, 1)):
            tries.clear()
            with pytest.raises(KeyboardInterrupt), turn(tmp_path / "out", told.append, after=after, before_each_try=end_at_the_third):
                pass
            assert len(told) == messages
    with turn(tmp_path / "out", told.append, before_each_try=lambda: None):
        assert len(told) == 1


def test_training_and_prediction_are_told(renders: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, predicted = tmp_path / "run", tmp_path / "pred.jsonl"
    with held(out):
        assert main(["train", "--data", str(renders.path), "--out", str(out), "--steps", "1", "--device", "cpu"]) == 2
    assert f"igllm train: {out}: another call is writing it; wait for it" in capsys.readouterr().err
    assert not out.exists()
    with held(predicted):
        assert main(["predict", "--data", str(renders.path), "--out", str(predicted), "--device", "cpu"]) == 2
    assert f"{predicted}: another call is writing it" in capsys.readouterr().err
    assert not predicted.exists()


@pytest.mark.parametrize("name", [".", "./", "../here", "x/.."])
def test_a_folder_is_held_by_whatever_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    (here / "x").mkdir(parents=True)
    monkeypatch.chdir(here)
    with held(here), pytest.raises(InUse, match="another call is writing it"), hold(Path(name)):
        pass
    with hold(Path(name)):
        assert [entry.name for entry in tmp_path.iterdir() if entry != here] == [".here.lock"]


def test_the_root_is_no_place_to_write() -> None:
    with pytest.raises(UserError, match="root of all folders"), hold(Path("/")):
        pass


@pytest.mark.parametrize("name", [".", "..", "/", ""])
def test_a_folder_is_no_file_to_write(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="a folder is in the place of the file"):
        write_json(Path(name), {})
    assert not list(tmp_path.iterdir())
