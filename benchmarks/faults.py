"""Kills at random moments of every phase: what is called again until it is done ends as what nothing disturbed.

    python benchmarks/faults.py --out /tmp/faults

does each phase twice, undisturbed and disturbed, and prints a table with a row a phase: what was killed, how many of the kills are proven
to have fallen inside the phase (by what the killed call left), how often it was called, the processes that outlived a kill, the temporary
files that were left in the end, the seconds, and whether both are equal. `generate` renders with Blender, and loses workers, all workers
or its parent; its code and records are equal to the byte and its images the same. All other phases are killed as a whole, and equal to
the byte.

Ends with status 1 if anything is not equal, if a call ended as none should, if something was left, or if a phase took no kill. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from datagen.formats.export import export
from datagen.io.progress import progress
from datagen.io.written import DRAFT
from datagen.samples.draw import draw
from datagen.samples.sample import make_sample
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples, write_shard
from datagen.shards.verify import verify
from render.images import same_image

GENERATE = "generate"
VICTIMS = ("a worker", "all workers", "the parent")
CALLS = 100  # after so many, a run that does not end is given up
GRACE = 10.0  # seconds that workers have to follow their parent; torch's look for theirs every five
LOOKS = 0.001  # seconds between two looks at what a call has begun
JITTER = 0.02  # seconds between the sight that a call is inside a phase and its kill, at most
NEEDED = "needed"  # the folder of what phases need, made by undisturbed calls
STEPS = 16  # of training
MARK = "IGLLM_FAULTS"  # in the environment of all that a phase starts
LASTING = ("igllm-", "igllm-cores-")  # beginnings of what calls keep among temporary files, each followed by the user's number
MODEL = """\
image_height = 32
image_width = 32
freeze_vision = false
batch_size = 4
report_to = "none"
loaders = 1
save_steps = 4
[vision]
model_type = "resnet"
embedding_size = 8
hidden_sizes = [8, 16, 16]
depths = [1, 1, 1]
layer_type = "basic"
[text]
model_type = "llama"
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 2
max_position_embeddings = 1024
"""


@dataclass
class Tally:
    """What happened to a disturbed phase."""

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
        """Whether all is as it should be, and something was shown by it."""
        return not (self.orphans or self.left or self.failed or self.differing) and self.inside > 0


@dataclass(frozen=True)
class Phase:
    """A phase of a verb: ``verb`` is the call without --out, and ``inside`` tells from a call's files that it is, or was killed, in it.

    ``name`` is what is written, within the folder of the phase.
    """

    verb: list[str]
    inside: Callable[[Path], bool]
    name: str = "out"


def main() -> int:
    options = _options()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    rng = np.random.default_rng(options.seed)
    print("| phase | kills | inside | calls | orphans | temporaries left | seconds undisturbed | disturbed | verdict |", flush=True)
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    good = True
    for name in options.phases:
        if name == GENERATE:
            tally, *seconds = _generate(options, rng)
        else:
            tally, *seconds = _disturb(PHASES[name](options), options.out / name, options.kills, rng)
        print(tally.row(name, *seconds), flush=True)
        print("\n".join([*tally.failed, *tally.differing[:20]]), end="\n" * bool(tally.failed or tally.differing), file=sys.stderr)
        good &= tally.good
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything; emptied first")
    names = ", ".join((GENERATE, *PHASES))
    parser.add_argument("--phases", type=_phases, default=[GENERATE, *PHASES], metavar="P,P", help=f"of {names}; all by default")
    parser.add_argument("--kills", type=int, default=20, help="in each phase")
    parser.add_argument("--scenes", type=int, default=5000, help="that `generate` renders with Blender")
    parser.add_argument("--dots", type=int, default=600, help="samples of the other phases, which need no Blender")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--height", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0, help="of the scenes, the moments and the victims")
    parser.add_argument("--workers", type=int, help="Blender processes (default: one a core)")
    return parser.parse_args()


def _phases(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in (GENERATE, *PHASES):
            raise argparse.ArgumentTypeError(f"there is no phase {name}; choose of {', '.join((GENERATE, *PHASES))}")
    return names


# The phases: what each call is, and by what a call that was killed inside it is known


def _spool(options: argparse.Namespace) -> Phase:
    return Phase(_dots(options, "--shard-size", str(options.dots // 3)), _spooling)


def _shards(options: argparse.Namespace) -> Phase:
    return Phase(_dots(options, "--shard-size", str(options.dots // 3)), _building)


def _merge(options: argparse.Namespace) -> Phase:
    size = options.dots // 6
    halves = [_made(options, f"shards-{some}", _dots(options, "--shard-size", str(size), "--shards", some)) for some in ("0-1", "2-5")]
    return Phase(["merge", "--from", *map(str, halves)], lambda out: _building(out) or any(out.glob("manifest.0*.jsonl")))


def _export(options: argparse.Namespace) -> Phase:
    return Phase(["export", "--data", str(_data(options)), "--format", "coco"], _drafting)


def _import(options: argparse.Namespace) -> Phase:
    scenes, images = _published(options.out / NEEDED / "published", options)
    verb = ["import", "--format", "clevr", "--scenes", str(scenes), "--images", str(images)]
    return Phase(verb, lambda out: any(out.glob(".shard-*.tmp")))


def _train(options: argparse.Namespace) -> Phase:
    return Phase(_training(options), lambda out: (out / "run.json").exists() and not (out / "config.json").exists())


def _checkpoint(options: argparse.Namespace) -> Phase:
    return Phase(_training(options), lambda out: (out / ".saving").exists())


def _predict(options: argparse.Namespace) -> Phase:
    return Phase(_predicting(options), lambda out: out.with_name(".pred.jsonl.partial").exists(), "pred.jsonl")


def _render(options: argparse.Namespace) -> Phase:
    said = _made(options, "pred.jsonl", _predicting(options))
    verb = ["render", "--code", str(said), "--data", str(_data(options))]
    return Phase(verb, lambda out: 0 < len([*out.glob("*.json")]) < options.dots)


def _compare(options: argparse.Namespace) -> Phase:
    said = _made(options, "pred.jsonl", _predicting(options))
    return Phase(["compare", "--reference", str(_data(options)), "--candidate", str(said)], _drafting)


PHASES: dict[str, Callable[[argparse.Namespace], Phase]] = {
    "spool": _spool,
    "shards": _shards,
    "merge": _merge,
    "export": _export,
    "import": _import,
    "train": _train,
    "checkpoint": _checkpoint,
    "predict": _predict,
    "render": _render,
    "compare": _compare,
}


def _spooling(out: Path) -> bool:
    return any(path.stat().st_size > 0 for path in out.glob(".spool/*.spool"))


def _building(out: Path) -> bool:
    return any(out.glob(".spool/*.tar")) or any(out.glob(".spool/.*.tmp"))


def _drafting(out: Path) -> bool:
    return (out / DRAFT).exists()


def _data(options: argparse.Namespace) -> Path:
    return _made(options, "dots", _dots(options))


def _training(options: argparse.Namespace) -> list[str]:
    preset = options.out / NEEDED / "small.toml"
    preset.parent.mkdir(exist_ok=True)
    preset.write_text(MODEL)
    return ["train", "--data", str(_data(options)), "--preset", str(preset), "--steps", str(STEPS), "--device", "cpu"]


def _predicting(options: argparse.Namespace) -> list[str]:
    run = _made(options, "run", _training(options))
    return ["predict", "--data", str(_data(options)), "--model", str(run), "--batch-size", "4", "--device", "cpu"]


def _dots(options: argparse.Namespace, *more: str) -> list[str]:
    return ["generate", "--domain", "dot2d", "--num", str(options.dots), "--seed", str(options.seed), *_frame(options), *more]


def _frame(options: argparse.Namespace) -> list[str]:
    return [
        "--width",
        str(options.width),
        "--height",
        str(options.height),
        *(["--workers", str(options.workers)] if options.workers else []),
    ]


def _published(folder: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """Scenes as CLEVR publishes them, and images of noise; nothing need be rendered for that."""
    settings = DatasetSettings(seed=options.seed, width=options.width, height=options.height)
    rng = np.random.default_rng(options.seed)

    def noise(index: int) -> np.ndarray:
        return rng.integers(0, 256, (settings.height, settings.width, 3), np.uint8)

    drawn = ((index, draw(settings, index)) for index in range(options.dots // 4))
    samples = (make_sample(f"{index:09d}", one.scene, one.shot, noise(index), one.view) for index, one in drawn)
    write_shard(folder / "tars" / "a.tar", samples)
    export(folder / "tars", "clevr", folder / "clevr")
    [scenes] = (folder / "clevr" / "scenes").iterdir()
    return scenes, folder / "clevr" / "images"


def _made(options: argparse.Namespace, name: str, verb: list[str]) -> Path:
    """What a phase needs, if an earlier one has not made it."""
    out: Path = options.out / NEEDED / name
    if not out.exists():
        subprocess.run(_command(verb, out), check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return out


def _command(verb: list[str], out: Path) -> list[str]:
    into = [str(out), *verb[1:]] if verb[0] == "merge" else [*verb[1:], "--out", str(out)]
    return [sys.executable, "-m", "igllm", verb[0], *into]


# Kills of the whole call


def _disturb(phase: Phase, folder: Path, kills: int, rng: np.random.Generator) -> tuple[Tally, float, float]:
    """Kill calls of a phase within it, at moments drawn from `rng`, and call again; with the seconds of both ways.

    What is done before all kills are spent is compared, removed and begun anew.
    """
    calm, out, temporary = folder / "undisturbed" / phase.name, folder / "killed" / phase.name, folder / "tmp"
    for made in (calm.parent, out.parent, temporary):
        made.mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(temporary), MARK: str(folder)}
    start = partial(subprocess.Popen, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begin = time.monotonic()
    first = start(_command(phase.verb, calm))
    span = _seconds_inside(first, partial(phase.inside, calm))
    undisturbed = time.monotonic() - begin
    tally, begin = Tally(), time.monotonic()
    while tally.calls < CALLS:
        running = start(_command(phase.verb, out))
        tally.calls += 1
        if tally.kills.total() < kills:
            for seconds in (rng.uniform(0, span), rng.uniform(0, JITTER)):  # a phase may come again and again
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
        tally.left += _temporaries(out.parent, calm.parent) + _temporaries(temporary)
        if tally.kills.total() >= kills:
            break
        shutil.rmtree(out.parent)
        out.parent.mkdir()
    return tally, undisturbed, time.monotonic() - begin


def _seconds_inside(running: subprocess.Popen[bytes], inside: Callable[[], bool]) -> float:
    """Let a call end; how long it was inside a phase."""
    _wait_until(inside, running)
    entered = last = time.monotonic()
    while running.poll() is None:
        last = time.monotonic() if inside() else last
        time.sleep(LOOKS)
    if running.returncode:
        raise SystemExit(f"the undisturbed call ended with status {running.returncode}: {' '.join(map(str, running.args))}")  # type: ignore[arg-type]
    return last - entered


def _wait_until(inside: Callable[[], bool], running: subprocess.Popen[bytes]) -> None:
    """Until a call is inside a phase, or has ended."""
    while running.poll() is None and not inside():
        time.sleep(LOOKS)


def _marked(folder: Path) -> list[int]:
    """The processes that a phase has started, at any depth, which still run."""
    mark, found = f"{MARK}={folder}".encode(), []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
    return found


def _differing_files(calm: Path, killed: Path) -> list[str]:
    """The files, hidden ones left out, that are not equal to the byte."""
    names = {
        path.relative_to(folder) for folder in (calm, killed) for path in folder.rglob("*") if path.is_file() and not _passed(path, folder)
    }
    return [f"{killed / name}: differs" for name in sorted(names) if _content(calm / name) != _content(killed / name)]


def _passed(path: Path, folder: Path) -> bool:
    """Whether a file is hidden, or a log of times."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts) or path.name in (
        "log.jsonl",
        "trainer_state.json",
        "whole.json",
    )


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _temporaries(folder: Path, calm: Path | None = None) -> int:
    """How many hidden files there are that an undisturbed call does not leave; in the folder of temporary files, how many there are."""
    if calm is None:
        return sum(not (path.name.startswith(LASTING) and path.name.rpartition("-")[2].isdigit()) for path in folder.iterdir())
    there, usual = ({path.relative_to(base) for path in base.rglob(".*")} for base in (folder, calm))
    return len(there - usual)


# Generation with Blender, which loses workers, too


def _generate(options: argparse.Namespace, rng: np.random.Generator) -> tuple[Tally, float, float]:
    """Render the same scenes undisturbed and disturbed; with the seconds of both."""
    calm, killed = options.out / "generate" / "undisturbed", options.out / "generate" / "killed"
    verb = [
        "generate",
        "--num",
        str(options.scenes),
        "--seed",
        str(options.seed),
        *_frame(options),
        "--quality",
        "draft",
        "--shard-size",
        "500",
    ]
    begin = time.monotonic()
    subprocess.run(_command(verb, calm), check=True)
    undisturbed = time.monotonic() - begin
    moments = np.sort(rng.uniform(0, undisturbed, options.kills))
    begin = time.monotonic()
    tally = _disturb_workers(_command(verb, killed), moments, rng)
    disturbed = time.monotonic() - begin
    tally.differing += _differing_samples(calm, killed)
    if not verify(killed).whole:
        tally.differing.append(f"{killed}: not whole")
    tally.left = _temporaries(killed, calm)
    return tally, undisturbed, disturbed


def _disturb_workers(command: list[str], moments: Iterable[float], rng: np.random.Generator) -> Tally:
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
        tally.inside += 1  # it runs, so something is still to be rendered or written
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


def _differing_samples(calm: Path, killed: Path) -> list[str]:
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
