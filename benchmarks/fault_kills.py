"""Kills calls and their workers for `benchmarks/faults.py`, and compares the results with undisturbed ones."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from fault_phases import Phase, command_of

from datagen.io.progress import progress
from datagen.shards.reader import Samples
from render.images import same_image

VICTIMS = ("a worker", "all workers", "the parent")
CALLS = 100  # calls after which an unfinished phase is given up
GRACE = 10.0  # seconds within which workers must end after their parent; torch's workers check for it every five
POLL = 0.001  # seconds between two checks of what a call has written
JITTER = 0.02  # seconds at most between the check that a call is inside a phase and its kill
MARK = "IGLLM_FAULTS"  # variable in the environment of all processes of a phase
LASTING = ("igllm-", "igllm-cores-")  # prefixes of temporary files that calls keep on purpose; the user's number follows


@dataclass
class Tally:
    """The counts and problems of a disturbed phase."""

    kills: Counter[str] = field(default_factory=Counter)
    inside: int = 0
    calls: int = 0
    orphans: int = 0
    left: int = 0
    failed: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    def row(self, phase: str, undisturbed: float, disturbed: float) -> str:
        """The phase's line of the table."""
        kills = ", ".join(f"{count} of {victim}" for victim, count in sorted(self.kills.items())) or "none"
        facts = f"{self.inside} | {self.calls} | {self.orphans} | {self.left} | {undisturbed:.1f} | {disturbed:.1f}"
        return f"| {phase} | {kills} | {facts} | {'equal' if not self.differing else 'NOT EQUAL'} |"

    @property
    def good(self) -> bool:
        """Whether nothing went wrong, and at least one kill fell inside the phase."""
        return not (self.orphans or self.left or self.failed or self.differing) and self.inside > 0


# Kills of the whole call


def kill_calls(phase: Phase, folder: Path, kills: int, rng: np.random.Generator) -> tuple[Tally, float, float]:
    """Kill calls inside a phase, at moments drawn from `rng`, and call again. The tally, and the seconds undisturbed and disturbed.

    A result that is complete before the last kill is compared and removed, and the phase begins anew.
    """
    calm, out, temporary = folder / "undisturbed" / phase.name, folder / "killed" / phase.name, folder / "tmp"
    for made in (calm.parent, out.parent, temporary):
        made.mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(temporary), MARK: str(folder)}
    start = partial(subprocess.Popen, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begin = time.monotonic()
    first = start(command_of(phase.verb, calm))
    span = _seconds_inside(first, partial(phase.inside, calm))
    undisturbed = time.monotonic() - begin
    tally, begin = Tally(), time.monotonic()
    while tally.calls < CALLS:
        running = start(command_of(phase.verb, out))
        tally.calls += 1
        if tally.kills.total() < kills:
            for seconds in (rng.uniform(0, span), rng.uniform(0, JITTER)):  # a call may enter a phase several times
                _wait_until(partial(phase.inside, out), running)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(seconds)
        else:
            running.wait()
        if running.poll() is None:
            running.kill()
            running.wait()
            tally.kills["the call"] += 1
            tally.inside += phase.inside(out)
            tally.orphans += _left_after(GRACE, _marked(folder))
            continue
        if running.returncode:
            tally.failed.append(f"{phase.verb[0]}: a call ended with status {running.returncode}")
        tally.differing += _differing_files(calm.parent, out.parent)
        tally.left += temporaries(out.parent, calm.parent) + temporaries(temporary)
        if tally.kills.total() >= kills:
            break
        shutil.rmtree(out.parent)
        out.parent.mkdir()
    return tally, undisturbed, time.monotonic() - begin


def _seconds_inside(running: subprocess.Popen[bytes], inside: Callable[[], bool]) -> float:
    """Wait until a call ends. The seconds from its first to its last moment inside a phase."""
    _wait_until(inside, running)
    entered = last = time.monotonic()
    while running.poll() is None:
        last = time.monotonic() if inside() else last
        time.sleep(POLL)
    if running.returncode:
        raise SystemExit(f"the undisturbed call ended with status {running.returncode}: {' '.join(map(str, running.args))}")  # type: ignore[arg-type]
    return last - entered


def _wait_until(inside: Callable[[], bool], running: subprocess.Popen[bytes]) -> None:
    """Wait until a call is inside a phase, or has ended."""
    while running.poll() is None and not inside():
        time.sleep(POLL)


def _marked(folder: Path) -> list[int]:
    """The running processes that a phase has started, directly or through others."""
    mark, found = f"{MARK}={folder}".encode(), []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
    return found


def _differing_files(calm: Path, killed: Path) -> list[str]:
    """A line for each file that is not equal to the byte, but for those that `_passed` leaves out."""
    names = {
        path.relative_to(folder) for folder in (calm, killed) for path in folder.rglob("*") if path.is_file() and not _passed(path, folder)
    }
    return [f"{killed / name}: differs" for name in sorted(names) if _content(calm / name) != _content(killed / name)]


def _passed(path: Path, folder: Path) -> bool:
    """Whether a file is hidden, a log of times, or the digests of files with such logs."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts) or path.name in (
        "log.jsonl",
        "trainer_state.json",
        "whole.json",
    )


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def temporaries(folder: Path, calm: Path | None = None) -> int:
    """The number of hidden files that an undisturbed call, in the folder `calm`, does not leave. Without `calm`, the number of files in a
    folder for temporary files that calls do not keep on purpose."""
    if calm is None:
        return sum(not (path.name.startswith(LASTING) and path.name.rpartition("-")[2].isdigit()) for path in folder.iterdir())
    there, usual = ({path.relative_to(base) for path in base.rglob(".*")} for base in (folder, calm))
    return len(there - usual)


# Kills of workers, all workers or the parent


def kill_workers(command: list[str], moments: Iterable[float], rng: np.random.Generator) -> Tally:
    """Repeat a call until it succeeds, and kill a victim drawn from `rng` at each moment (seconds since the start)."""
    tally, begin = Tally(calls=1), time.monotonic()
    running = subprocess.Popen(command)
    for moment in moments:
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        if running.poll() == 0:
            break
        if running.returncode is not None:
            running = _call_again(command, running, tally)
        victim = str(rng.choice(VICTIMS))
        workers = _children(running.pid)
        tally.kills[victim] += 1
        tally.inside += 1  # a running call renders or writes
        if victim == "the parent":
            _kill([running.pid])
            running.wait()
            tally.orphans += _left_after(GRACE, workers)
            running = _call_again(command, running, tally)
        else:
            _kill(workers if victim == "all workers" else [int(pid) for pid in rng.permutation(workers)[:1]])
    while running.wait() and tally.calls < CALLS:
        running = _call_again(command, running, tally)
    return tally


def _call_again(command: list[str], ended: subprocess.Popen[bytes], tally: Tally) -> subprocess.Popen[bytes]:
    """Start the next call. The call before may have been killed, or have ended with status 1 because the workers of a scene were killed
    twice."""
    if ended.returncode not in (1, -signal.SIGKILL):
        tally.failed.append(f"a call ended with status {ended.returncode}")
    tally.calls += 1
    return subprocess.Popen(command)


def _children(parent: int) -> list[int]:
    """The child processes of a process."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _status(folder)[1] == parent:
            found.append(int(folder.name))
    return sorted(found)


def _status(folder: Path) -> tuple[str, int]:
    """A process's state and its parent: ``Z`` and 0 if it is gone."""
    try:
        state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "Z", 0
    return state, int(parent)


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _left_after(seconds: float, pids: Iterable[int]) -> int:
    """How many of these processes still run after so many seconds."""
    deadline = time.monotonic() + seconds
    left = list(pids)
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if _status(Path("/proc") / str(pid))[0] != "Z"]
        time.sleep(0.1)
    return len(left)


def differing_samples(calm: Path, killed: Path) -> list[str]:
    """A line for each difference between two data sets."""
    ours, theirs = Samples(calm), Samples(killed)
    if ours.keys != theirs.keys:
        return [f"{len(ours)} samples undisturbed, {len(theirs)} disturbed"]
    found = []
    for key in progress(ours.keys, len(ours), "compare"):
        one, other = ours[key], theirs[key]
        if {**one.files(), one.suffix: b""} != {**other.files(), other.suffix: b""}:
            found.append(f"{key}: other code or record")
        elif not same_image(one.pixels(), other.pixels()):
            found.append(f"{key}: another image")
    return found
