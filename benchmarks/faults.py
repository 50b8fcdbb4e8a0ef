"""Kills at random moments: a run that loses workers, all workers or its parent ends with what an undisturbed run makes.

    python benchmarks/faults.py --out /tmp/faults

renders the same scenes twice, undisturbed and disturbed, and prints a table of what was killed, how often the run was called again, the
seconds lost, and whether code and records are equal to the byte and the images the same. Ends with status 1 if they are not, if a call
ended as none should, or if a worker outlived its parent. Linux only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datagen.progress import progress
from datagen.shards import Samples
from datagen.verify import verify
from render.images import same_image

VICTIMS = ("a worker", "all workers", "the parent")
CALLS = 100  # after so many, a run that does not end is given up
GRACE = 5.0  # seconds that workers have to follow their parent


@dataclass
class Tally:
    """What happened to the disturbed run."""

    kills: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    orphans: int = 0
    failed: list[str] = field(default_factory=list)


def main() -> int:
    options = _options()
    rng = np.random.default_rng(options.seed)
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    calm, killed = options.out / "undisturbed", options.out / "killed"
    begin = time.monotonic()
    subprocess.run(_command(options, calm), check=True)
    undisturbed = time.monotonic() - begin
    moments = np.sort(rng.uniform(0, undisturbed, options.kills))
    begin = time.monotonic()
    tally = _disturb(_command(options, killed), moments, rng)
    lost = time.monotonic() - begin - undisturbed
    differing = _differing(calm, killed)
    equal = not differing and verify(killed).whole
    print("| kills | calls | orphans | seconds undisturbed | seconds lost | verdict |\n|---|---|---|---|---|---|")
    kills = ", ".join(f"{tally.kills[victim]} of {victim}" for victim in VICTIMS)
    print(f"| {kills} | {tally.calls} | {tally.orphans} | {undisturbed:.0f} | {lost:.0f} | {'equal' if equal else 'NOT EQUAL'} |")
    for line in [*tally.failed, *differing[:20]]:
        print(line)
    return 0 if equal and not tally.failed and not tally.orphans else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for both data sets; emptied first")
    parser.add_argument("--scenes", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--height", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0, help="of the scenes, the moments and the victims")
    parser.add_argument("--workers", type=int, help="Blender processes (default: one a core)")
    return parser.parse_args()


def _command(options: argparse.Namespace, out: Path) -> list[str]:
    command = [sys.executable, "-m", "igllm", "generate", "--out", str(out), "--num", str(options.scenes), "--seed", str(options.seed)]
    command += ["--width", str(options.width), "--height", str(options.height), "--quality", "draft", "--shard-size", "500"]
    return command + (["--workers", str(options.workers)] if options.workers else [])


def _disturb(command: list[str], moments: Iterable[float], rng: np.random.Generator) -> Tally:
    """Run until it ends well, killing at each moment (seconds since the start) a victim drawn from `rng`."""
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
    """The next call. A run may have died of the kill of its parent, or set aside a scene whose workers were killed twice: status 1."""
    if ended.returncode not in (1, -signal.SIGKILL):
        tally.failed.append(f"a call ended with status {ended.returncode}")
    tally.calls += 1
    return subprocess.Popen(command)


def _children(parent: int) -> list[int]:
    """The processes that this one started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _status(folder)[1] == parent:
            found.append(int(folder.name))
    return sorted(found)


def _status(folder: Path) -> tuple[str, int]:
    """A process's state and its parent; of one that is gone, as of a zombie without parent."""
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
    """How many of these processes still run after so long."""
    deadline = time.monotonic() + seconds
    left = list(pids)
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if _status(Path("/proc") / str(pid))[0] != "Z"]
        time.sleep(0.1)
    return len(left)


def _differing(calm: Path, killed: Path) -> list[str]:
    """What differs between two data sets."""
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


if __name__ == "__main__":
    sys.exit(main())
