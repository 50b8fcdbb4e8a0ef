"""Prediction by several processes: threads with a model each stand for them, except in the tests of real ones under `torchrun`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from small_run import Train
from stub_predictor import Killed, Stub, paint
from torch.distributed import HashStore

from datagen.code.predictions import Prediction, read_predictions
from datagen.errors import UserError
from datagen.shards.pictures import ImageFiles
from igllm import main
from model.prediction.predict import predict_file, predict_images
from model.processes import Launch, Team

BINARIES = Path(sys.executable).parent
IMAGES = 10


class Member(Stub):
    """The predictor of one process of a team; ``seen`` are the keys that it has predicted, ``started`` is set at the first of them."""

    def __init__(self, team: Team, awaits: threading.Event | None = None, digest: str = "one") -> None:
        super().__init__(digest)
        self.team, self.awaits, self.seen, self.started = team, awaits, list[str](), threading.Event()

    def predict(self, images: Iterable[tuple[str, np.ndarray]], *settings: object) -> Iterator[Prediction]:
        """As a `Stub`, once the event that it ``awaits`` has come."""
        self.started.set()
        if self.awaits is not None:
            assert self.awaits.wait(60)
        images = list(images)
        self.seen += [key for key, _ in images]
        return super().predict(images)


def pair() -> tuple[Member, Member]:
    """The first process and another one, which both have something to do: the first waits at its first batch for the other to have one."""
    store = HashStore()
    other = Member(Team(Launch(1, 2), store))
    return Member(Team(Launch(0, 2), store), other.started), other


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Ten files, of which the fourth and the last are no images."""
    paths = [tmp_path / f"{number}.png" for number in range(IMAGES)]
    for number, path in enumerate(paths):
        paint(path, 0 if number in (3, 9) else 20 * number + 10)
    return paths


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], object]], None]]:
    """A function that calls another one in a thread; the test waits for all of them in the end."""
    threads = []

    def start(call: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=call))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def test_the_file_of_several_is_that_of_one_and_each_image_is_predicted_once(
    paths: list[Path], tmp_path: Path, beside: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    out, alone = tmp_path / "pred.jsonl", tmp_path / "alone.jsonl"
    first, other = pair()
    beside(lambda: predict_file(other, ImageFiles(paths), tmp_path / "never.jsonl", batch_size=2))
    skipped = predict_file(first, ImageFiles(paths), out, batch_size=2)
    told = capsys.readouterr().err
    assert skipped == predict_file(Stub(), ImageFiles(paths), alone, batch_size=2)
    assert out.read_bytes() == alone.read_bytes()
    assert list(skipped) == ["3", "9"]
    assert sorted(first.seen + other.seen) == [str(number) for number in range(IMAGES) if number not in (3, 9)]
    assert first.seen and other.seen
    assert told.count("predict: skipped") == 2
    assert "predict: 10/10" in told
    assert not (tmp_path / "never.jsonl").exists()
    assert not (tmp_path / ".pred.jsonl.partial").exists()


def test_what_is_printed_is_what_one_prints(paths: list[Path], beside: Callable) -> None:
    first, other = pair()
    helped: list[object] = []
    beside(lambda: helped.append(predict_images(other, ImageFiles(paths), 2)))
    assert predict_images(first, ImageFiles(paths), 2) == predict_images(Stub(), ImageFiles(paths), 2)
    assert helped == [([], {})]


class DiesReading(ImageFiles):
    """Image files, of which reading the fifth ends the process."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(paths)
        self.reads = count(1)

    def encoded(self, key: str) -> bytes:
        if next(self.reads) == 5:
            raise Killed
        return super().encoded(key)


@pytest.mark.parametrize("later", [1, 2])
def test_a_killed_call_of_several_is_taken_up_by_any_number(
    later: int, paths: list[Path], tmp_path: Path, beside: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    out, alone, died = tmp_path / "pred.jsonl", tmp_path / "alone.jsonl", threading.Event()
    first, other = pair()
    other.awaits = died
    beside(lambda: predict_file(other, ImageFiles(paths), out, batch_size=1))
    with pytest.raises(Killed):
        predict_file(first, DiesReading(paths), out, batch_size=1)
    died.set()
    assert not out.exists()
    members = (Member(Team()),) if later == 1 else pair()
    for member in members[1:]:
        beside(lambda member=member: predict_file(member, ImageFiles(paths), out, batch_size=1))
    predict_file(members[0], ImageFiles(paths), out, batch_size=1)
    assert f"{len(first.seen)} of {IMAGES} predictions taken up" in capsys.readouterr().err
    readable = {str(number) for number in range(IMAGES) if number not in (3, 9)}
    assert sorted(sum((member.seen for member in members), first.seen)) == sorted(readable)
    predict_file(Stub(), ImageFiles(paths), alone, batch_size=1)
    assert out.read_bytes() == alone.read_bytes()


@pytest.mark.parametrize("different", ["model", "images", "batches"])
def test_processes_that_see_other_things_are_refused(different: str, paths: list[Path], tmp_path: Path, beside: Callable) -> None:
    """The first process ends without a word when the other has said why."""
    first, other = pair()
    other.digest = "other" if different == "model" else first.digest
    images, size = ImageFiles(paths[: 4 if different == "images" else None]), 2 if different == "batches" else 3

    def fail() -> None:
        with pytest.raises(UserError, match="process 1 has other images, another model or other settings than process 0"):
            predict_file(other, images, tmp_path / "pred.jsonl", size)
        other.started.set()  # so that the first one goes on
        other.team.put("ended", b"1")

    beside(fail)
    with pytest.raises(SystemExit):
        predict_file(first, ImageFiles(paths), tmp_path / "pred.jsonl", 3)
    assert not (tmp_path / "pred.jsonl").exists()


def together(*words: object) -> list[str]:
    """The command that runs two processes of igllm under `torchrun`."""
    launcher = ("torchrun", "--standalone", "--no-python", "--nproc-per-node", "2")
    return [str(BINARIES / launcher[0]), *launcher[1:], str(BINARIES / "igllm"), *map(str, words)]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_two_processes_of_torchrun_write_what_one_does(train: Train, dots: Path, tmp_path: Path) -> None:
    assert train("--steps", "1") == 0
    words = ["predict", "--model", tmp_path / "run", "--data", dots, "--device", "cpu", "--batch-size", "2", "--out"]
    assert main([str(word) for word in (*words, tmp_path / "one.jsonl")]) == 0
    done = subprocess.run(together(*words, tmp_path / "two.jsonl"), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert done.stdout == f"{tmp_path / 'two.jsonl'}: 6 predictions\n"
    assert done.stderr.count("predict: 6/6") == 1


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["predict", "train"])
def test_an_error_is_told_once_and_ends_all(verb: str, dots: Path, tmp_path: Path) -> None:
    flags = {"predict": ("--model", "tiny"), "train": ("--preset", "tiny")}[verb]
    command = together(verb, *flags, "--data", tmp_path / "nowhere", "--out", tmp_path / "out")
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1  # torchrun's own
    assert done.stderr.count(f"igllm {verb}: {tmp_path / 'nowhere'}: there is no such data set") == 1
    assert "exitcode  : 2" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_real_processes_that_were_killed_are_taken_up(train: Train, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(100):
        paint(images / f"{number:02}.png", number + 1)
    assert train("--steps", "1") == 0
    words = ["predict", "--model", tmp_path / "run", "--images", images, "--device", "cpu", "--batch-size", "1", "--out"]
    out, partial = tmp_path / "two.jsonl", tmp_path / ".two.jsonl.partial"
    running = subprocess.Popen(together(*words, out), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while not partial.exists() or partial.read_bytes().count(b"\n") < 4:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    told = running.communicate()[1]
    assert told.count("igllm predict: terminated; call it again to go on") == 1
    assert not out.exists()
    done = subprocess.run(together(*words, out), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "of 100 predictions taken up from an interrupted call" in done.stderr
    assert main([str(word) for word in (*words, tmp_path / "one.jsonl")]) == 0
    assert out.read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert len(read_predictions(out)) == 100
