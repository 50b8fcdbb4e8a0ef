"""The fuzzer: blocks of inputs, each of one kind and seed, are judged one by one and counted.

``python tests/fuzz/campaign.py --inputs 1000000`` runs blocks of all kinds on all cores, each in a process of its own, prints a table, and
ends with status 1 if there was a fault; ``--kind NAME --seed N`` runs one kind from a seed on, ``--again FOLDER`` one kept input.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from unittest import mock

if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "IGLLM_TRACEBACK": "1", "OMP_NUM_THREADS": "1"}
os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir(), "igllm-matplotlib")))  # matplotlib writes there when imported

import honest
from guard import Fault, Guard, Outcome
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from kinds import Files
from table import KINDS

from blender_scenes.parent import die_with_parent

BLOCK_SECONDS = 1800  # of wall-clock time; a longer block is taken to hang
FAULTS = "fuzz-faults"
SORTS = ("executed", "traceback", "slow", "fat", "message")


@dataclass
class Tally:
    """The counts of a block, or of several."""

    kind: str
    inputs: int = 0
    accepted: int = 0
    later: int = 0  # refused, but after the first check of the format: see `_past_the_gate`
    faults: Counter = field(default_factory=Counter)
    slowest: float = 0.0
    fattest: int = 0
    seconds: float = 0.0  # of processor time
    told: list[str] = field(default_factory=list)  # a report of each fault

    def add(self, other: Tally) -> None:
        """Add the counts of another block."""
        for name in ("inputs", "accepted", "later", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults.update(other.faults)
        self.slowest, self.fattest = max(self.slowest, other.slowest), max(self.fattest, other.fattest)
        self.told += other.told


_guard = cache(Guard)


class Bench:
    """The folders for one input at a time: the input itself, output, and one that must not be opened."""

    def __init__(self, kind: str) -> None:
        self.kind = KINDS[kind]
        honest.dots()  # doors need these samples, and may not write them
        self.kind.prepare()
        self.home = Path(tempfile.mkdtemp(prefix=f"igllm-fuzz-{kind}-"))
        self.outside = self.home / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("nobody may read this")

    def judge(self, files: Files, door: int) -> Outcome:
        """The outcome of an input. `Fault` if it does what no input may do. The next call empties the input's folder."""
        folder, out = self.home / "input", self.home / "out"
        for place in (folder, out):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        read = self.kind.door_for(door)
        with mock.patch("os.fsync"):  # saves time: power cuts are not tested here
            return _guard().judge(lambda place: read(place, out), folder, self.outside, out, Path(os.environ["MPLCONFIGDIR"]))

    def close(self) -> None:
        """Remove the folders."""
        shutil.rmtree(self.home)


_GATES = (
    *(
        "not JSON",
        "JSON object is expected (",
        "no UTF-8 text",
        "not a readable tar",
        "no image format that is known",
        "not a readable preset",
    ),
    *("unrecognized data stream", "its JSON cannot be read"),
)
"""Parts of the messages that refuse a file as not of its format at all."""


def _past_the_gate(refusal: str) -> bool:
    """Whether a refusal came after the first check, that a file is of its format at all."""
    return not any(gate in refusal for gate in _GATES)


def run_block(kind: str, inputs: int, number: int | None) -> Tally:
    """The counts of a block of inputs, which ends at its first fault. ``number`` is the seed; with None, the inputs are always the same."""
    tally, bench, start = Tally(kind), Bench(kind), time.process_time()
    found: dict[str, tuple[str, Files, int]] = {}  # by message; shrinking makes the last one the smallest

    def judged(files: Files, door: int) -> None:
        tally.inputs += 1
        try:
            outcome = bench.judge(files, door)
        except Fault as fault:
            found.pop(str(fault), None)
            found[str(fault)] = fault.sort, files, door
            raise
        tally.accepted += outcome.accepted
        tally.later += not outcome.accepted and _past_the_gate(outcome.said)
        tally.slowest, tally.fattest = max(tally.slowest, outcome.seconds), max(tally.fattest, outcome.bytes)

    wanted = settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        derandomize=number is None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    test = given(KINDS[kind].inputs(), st.integers(0, 999))(judged)
    if number is not None:
        test = seed(number)(test)
    try:
        wanted(test)()
    except (Fault, FlakyFailure):  # FlakyFailure: the same input ended differently when read again
        text, (sort, files, door) = list(found.items())[-1]
        tally.faults[sort] += 1
        place = _kept(kind, number, files, door, text)
        tally.told.append(f"{kind}, seed {number}: {text}\n  kept: {place}")
    finally:
        bench.close()
    tally.seconds = time.process_time() - start
    return tally


def _kept(kind: str, number: int | None, files: Files, door: int, text: str) -> Path:
    """Save a faulty input for ``--again``, and return its folder."""
    place = Path(os.environ.get("FUZZ_FAULTS", FAULTS)) / f"{kind}-{number}"
    shutil.rmtree(place, ignore_errors=True)
    for name, data in files.items():
        (place / "input" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "input" / name).write_bytes(data)
    place.mkdir(parents=True, exist_ok=True)
    (place / "fault.json").write_text(json.dumps({"kind": kind, "seed": number, "door": door, "fault": text}, indent=2))
    return place


def again(place: Path) -> Outcome:
    """The outcome of a kept input. `Fault` if it still is one."""
    kept = json.loads((place / "fault.json").read_text())
    inside = place / "input"
    files = {path.relative_to(inside).as_posix(): path.read_bytes() for path in inside.rglob("*") if path.is_file()}
    return Bench(kept["kind"]).judge(files, kept["door"])


# The campaign


def _in_a_process(kind: str, inputs: int, number: int, honest_home: str) -> Tally:
    """The counts of a block run in a process of its own; if that crashes or hangs, one fault, with the input it was at."""
    with tempfile.TemporaryDirectory(prefix="igllm-block-", dir=_memory()) as folder:
        environment = {**os.environ, "TMPDIR": folder, "XDG_CACHE_HOME": str(Path(folder, "cache")), "FUZZ_HONEST": honest_home}
        command = [sys.executable, __file__, "--kind", kind, "--inputs", str(inputs), "--seed", str(number), "--block"]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BLOCK_SECONDS, check=False)
            last = done.stdout.strip().splitlines()[-1:]
            content = json.loads(last[0]) if done.returncode == 0 and last else None
            problem = f"the process ended with status {done.returncode}:\n{done.stderr[-3000:]}"
        except subprocess.TimeoutExpired:
            content, problem = None, f"the block did not end within {BLOCK_SECONDS} s"
        if content is None:
            last_inputs = list(Path(folder).glob("igllm-fuzz-*/input"))
            place = Path(os.environ.get("FUZZ_FAULTS", FAULTS)) / f"{kind}-{number}"
            for each in last_inputs:
                shutil.copytree(each, place / "input", dirs_exist_ok=True)
            return Tally(kind, faults=Counter({"traceback": 1}), told=[f"{kind}, seed {number}: {problem}\n  its last input: {place}"])
    return Tally(**{**content, "faults": Counter(content["faults"])})


def _memory() -> str | None:
    """The folder in memory for small files; None if there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run_campaign(inputs: int, first: int, workers: int, kinds: list[str]) -> dict[str, Tally]:
    """The counts of each kind, of ``inputs`` in all, divided by the kinds' shares. ``first`` is the seed of each kind's first block."""
    shares = {kind: KINDS[kind].share for kind in kinds}
    blocks = []
    for kind, share in shares.items():
        wanted = max(1, round(inputs * share / sum(shares.values())))
        size = KINDS[kind].block
        blocks += [(kind, min(size, wanted - at), first + at // size) for at in range(0, wanted, size)]
    blocks.sort(key=lambda block: block[2])
    tallies, lock, done = {kind: Tally(kind) for kind in kinds}, threading.Lock(), 0
    start = time.monotonic()
    honest_home = tempfile.TemporaryDirectory(prefix="igllm-honest-")

    def work(block: tuple[str, int, int]) -> None:
        nonlocal done
        tally = _in_a_process(*block, honest_home.name)
        with lock:
            tallies[block[0]].add(tally)
            done += 1
            print(
                f"{done}/{len(blocks)} blocks, {sum(t.inputs for t in tallies.values()):,} inputs, {time.monotonic() - start:.0f} s",
                file=sys.stderr,
            )
            for text in tally.told:
                print(text, file=sys.stderr, flush=True)

    pool = ThreadPoolExecutor(workers)
    with honest_home:
        try:
            list(pool.map(work, blocks))
        except KeyboardInterrupt:  # running blocks die with this process
            pool.shutdown(wait=False, cancel_futures=True)
            print(table(tallies), flush=True)
            os._exit(130)
    return tallies


def table(tallies: Mapping[str, Tally]) -> str:
    """The counts as text, one row for each kind and one for all."""
    head = ["kind", "inputs", "accepted", "refused", "past the gate", *SORTS, "slowest", "fattest", "a second"]
    rows = [head]
    whole = Tally("all")
    for tally in tallies.values():
        whole.add(tally)
    for tally in (*tallies.values(), whole):
        passed = tally.accepted + tally.later
        rows.append(
            [
                tally.kind,
                f"{tally.inputs:,}",
                f"{tally.accepted:,}",
                f"{tally.inputs - tally.accepted - sum(tally.faults.values()):,}",
                f"{passed / max(1, tally.inputs):.0%}",
                *(str(tally.faults[sort]) for sort in SORTS),
                f"{tally.slowest:.2f} s",
                f"{tally.fattest / 2**20:.0f} MB",
                f"{tally.inputs / max(tally.seconds, 1e-9):.0f}",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def main() -> int:
    """Run the campaign, one block of it, or one kept input again, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many in all")
    parser.add_argument("--kind", choices=KINDS, action="append", help="this kind alone; may be repeated")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first block of a kind; the next has the next number")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="blocks at a time")
    parser.add_argument("--again", type=Path, metavar="FOLDER", help=f"read one input again, kept in a folder of {FAULTS}")
    parser.add_argument("--block", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.again:
        with tempfile.TemporaryDirectory(prefix="igllm-fuzz-") as cache_home:
            os.environ["XDG_CACHE_HOME"] = cache_home
            print(again(options.again))
        return 0
    if options.block:
        die_with_parent()
        [kind] = options.kind
        tally = run_block(kind, options.inputs, options.seed)
        print(json.dumps({**vars(tally), "faults": dict(tally.faults)}))
        return 0
    print(f"first seed {options.seed}", file=sys.stderr)
    tallies = run_campaign(options.inputs, options.seed, options.workers, options.kind or list(KINDS))
    print(table(tallies))
    return 1 if any(tally.faults for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
