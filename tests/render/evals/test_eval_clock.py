"""The duration of a training: the seconds of all its calls together."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model.run_folder import RUN
from render.evals import clock
from render.evals.clock import clocked, seconds

WORK = """
import sys, time
from pathlib import Path
from render.evals import clock

clock.EVERY = 0.05
with clock.clocked(Path(sys.argv[1])):
    time.sleep(600)
"""


def begun(run: Path) -> Path:
    run.mkdir()
    (run / RUN).write_text("{}")
    return run


def test_calls_are_added_up(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    assert seconds(run) == 0
    begin = time.monotonic()
    for call in (1, 2):
        with clocked(run):
            time.sleep(0.1)
        assert 0.1 * call <= seconds(run) <= time.monotonic() - begin


def test_a_killed_call_counts_up_to_its_last_note(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    process = subprocess.Popen([sys.executable, "-P", "-c", WORK, str(run)])
    while seconds(run) < 0.3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    worked, begin = seconds(run), time.monotonic()
    with clocked(run):
        pass
    assert 0 <= seconds(run) - worked <= time.monotonic() - begin


def test_a_call_that_fails_counts_and_one_that_is_refused_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "EVERY", 0.01)
    run = begun(tmp_path / "run")
    for folder in (run, tmp_path / "refused"):
        with pytest.raises(KeyboardInterrupt), clocked(folder):
            time.sleep(0.1)
            raise KeyboardInterrupt
    assert seconds(run) >= 0.1
    assert not (tmp_path / "refused").exists()
