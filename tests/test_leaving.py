"""A signal ends any verb with one message and without temporary files; a closed pipe at standard output is no error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import igllm
from datagen.errors import UserError
from datagen.io.leaving import SIGNALS, heeded
from datagen.verbs import Doctor
from igllm import main

DOTS = ("generate", "--domain", "dot2d", "--width", "32", "--height", "32", "--num", "3")
NAMES = sorted(SIGNALS)


@pytest.fixture(autouse=True)
def handlers_as_before() -> object:
    before = [signal.getsignal(number) for number in NAMES]
    yield
    assert [signal.getsignal(number) for number in NAMES] == before


def verb_that(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> int:
    """The exit status of a verb that calls `run`."""

    def run_verb(_: Doctor) -> None:
        run()

    monkeypatch.setattr(Doctor, "run", run_verb)
    return main(["doctor"])


@pytest.mark.parametrize(("number", "word"), SIGNALS.items())
def test_a_signal_ends_a_verb_with_one_message(
    number: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb_that(monkeypatch, lambda: signal.raise_signal(number)) == 128 + number
    assert capsys.readouterr().err == f"igllm doctor: {word}; call it again to go on\n"


@pytest.mark.parametrize("error", [RuntimeError("a worker was killed"), UserError("a template failed"), OSError(5, "gone"), SystemExit(3)])
def test_what_a_library_makes_of_a_signal_is_not_told(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def library() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise error from None

    assert verb_that(monkeypatch, library) == 143
    assert capsys.readouterr().err == "igllm doctor: terminated; call it again to go on\n"


def test_a_signal_that_ended_a_child_first_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loader_died() -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGHUP)).start()
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Hangup.")

    assert verb_that(monkeypatch, loader_died) == 129
    assert capsys.readouterr().err == "igllm doctor: hung up; call it again to go on\n"


def test_a_signal_that_is_sent_twice_does_not_disturb_what_tidies_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tidied = []

    def verb() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            for number in NAMES:
                signal.raise_signal(number)
            tidied.append(True)

    assert verb_that(monkeypatch, verb) == 143
    assert tidied == [True]
    assert len(capsys.readouterr().err.splitlines()) == 1


IMPATIENT = """
import signal, threading, igllm
import datagen.io.leaving, datagen.verbs
datagen.io.leaving.SAME_REQUEST_SECONDS = 0
def run(_):
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.raise_signal(signal.SIGINT)
        threading.Event().wait()
datagen.verbs.Doctor.run = run
igllm.main(["doctor"])
"""


def test_who_asks_again_later_is_obeyed_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", IMPATIENT], capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stderr) == (143, "igllm doctor: terminated; call it again to go on\n")


AT_AN_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
sys.meta_path.insert(0, Finder())
"""
AS_INSTALLED = """
import sys
from igllm import main
sys.exit(main())
"""


@pytest.mark.parametrize("at", ["tempfile", "datagen.commandline", "datagen.screen", "datagen.doctor"])
@pytest.mark.parametrize("way", ["module", "script"])
def test_a_signal_that_comes_while_all_is_imported_is_one_message(way: str, at: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(AT_AN_IMPORT)
    (tmp_path / "igllm").write_text(AS_INSTALLED)
    home = Path(igllm.__file__).parent
    command = [sys.executable, *(["-m", "igllm"] if way == "module" else [str(tmp_path / "igllm")]), "doctor", "--libraries"]
    for number, word in SIGNALS.items():
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{home}", "AT": at, "SIGNAL": str(int(number))}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert (done.returncode, done.stderr) == (128 + number, f"igllm doctor: {word}; call it again to go on\n")


def test_what_the_caller_ignores_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert verb_that(monkeypatch, lambda: signal.raise_signal(signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_forked_child_leaves_interrupts_to_its_parent_and_ends_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    def fork() -> None:
        for number in NAMES:
            if not (child := os.fork()):
                signal.raise_signal(number)
                os._exit(0)
            ended.append((number, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))

    assert verb_that(monkeypatch, fork) == 0
    assert dict(ended) == {signal.SIGINT: 0, signal.SIGTERM: -signal.SIGTERM, signal.SIGHUP: -signal.SIGHUP}


def test_a_thread_may_run_a_verb(tmp_path: Path) -> None:
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(main([*DOTS, "--out", str(tmp_path / "set")])))
    thread.start()
    thread.join()
    assert statuses == [0]


def run(*arguments: str, redirection: str = "", **environment: str) -> tuple[int, str]:
    """The status and standard error of a call in a shell; ``redirection`` is that of its standard output."""
    command = f'"{sys.executable}" -m igllm "$@" {redirection}'
    done = subprocess.run(
        ["bash", "-c", command, "bash", *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("doctor", "--libraries"), ("--help",), ("generate", "--help")])
def test_a_reader_that_goes_away_is_no_error(arguments: tuple[str, ...], buffered: str) -> None:
    status, error = run(*arguments, redirection="| true; exit ${PIPESTATUS[0]}", PYTHONUNBUFFERED=buffered)
    assert (status, error) in {(141, ""), (0, "")}  # 0 if the pipe held the whole output before its reader ended


def test_output_that_cannot_be_written_is_named() -> None:
    assert run("doctor", "--libraries", redirection="> /dev/full", PYTHONUNBUFFERED="") == (
        2,
        "igllm doctor: standard output: No space left on device\n",
    )
    assert run("doctor", "--libraries", redirection=">&-")[0] == 0


KILLED = """
import os, tempfile, datagen.verbs, igllm
def run(_):
    tempfile.mkdtemp()
    os.kill(os.getpid(), 9)
datagen.verbs.Doctor.run = run
igllm.main(["doctor"])
"""


def test_no_temporary_file_outlives_a_call_and_the_next_removes_those_of_a_killed_one(tmp_path: Path) -> None:
    home = {"TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, **home}, check=False)
    assert len([*tmp_path.glob("igllm-call-*/*")]) == 1
    assert run("doctor", "--libraries", **home)[0] == 0
    assert not [*tmp_path.glob("igllm-call-*")]


def test_the_temporary_files_of_a_living_call_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def other_call() -> None:
        [own] = tmp_path.glob("igllm-call-*")
        assert run("doctor", "--libraries", TMPDIR=str(tmp_path))[0] == 0
        assert own.is_dir()

    assert verb_that(monkeypatch, other_call) == 0
    assert os.environ["TMPDIR"] == str(tmp_path)
    assert not [*tmp_path.glob("igllm-call-*")]


class Awkward:
    """Signals this process in a destructor, where Python raises no error."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_python_swallows_is_heeded_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), heeded("it") as request:
        thing = Awkward()
        del thing
        assert request.signal == signal.SIGTERM
        while True:
            signal.pause()
    assert "Exception ignored" not in capsys.readouterr().err
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
