"""Refinement against doing nothing, the best of K candidates, and random search at equal cost: errors over seconds and renders.

    python benchmarks/refine.py --out OUT [--num 200] [--skip N] [--first N] [--seed 31337] [--camera-jitter 0.5] [--seconds 20] \\
        [--samples 4] [--workers 1] [--methods nothing best random refine]

Scenes of the split `default`, 320×240, `standard`, under lamps that nobody is told of, are generated and read by the shipped model; with
``--camera-jitter`` the camera is not told either. Seconds are of the processor, Blender's and Python's together, on one core for each of
the ``--workers``; a busy machine inflates them. Writes ``results.json``, ``table.md`` and ``curves.png``. Call again to go on: a scene is
kept once it is done, and the table says how many there are. ``--skip`` leaves out so many scenes, and ``--first`` measures only so many of
the others.
"""

from __future__ import annotations

import argparse
import atexit
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import mean, median
from typing import Any

import matplotlib
import numpy as np

from datagen.code.grammar import parse_code
from datagen.code.predictions import Prediction, read_predictions
from datagen.domains.registry import get_domain
from datagen.io.files import write_bytes
from datagen.metrics.scores import score_scene
from datagen.samples.sample import Sample
from datagen.scene import Scene, Shot
from datagen.shards.reader import Samples
from igllm import main as igllm
from render.refine.budget import Budget
from render.refine.fit import Fit, turned
from render.refine.frames import OwnFrames
from render.refine.levels import costs, levels
from render.refine.refine import RefineSettings, error_of, refine_scene
from render.refine.state import State, light_handles, object_handles

matplotlib.use("agg")
import matplotlib.pyplot as plt

CLEVR = get_domain("clevr")
METHODS = {"nothing": "as predicted", "best": "best of K", "random": "random search", "refine": "igllm refine"}
NEAR = 0.125  # metres
RANDOM_STEP = 1.0  # pixels: standard deviation of a number's random step
TO_JUDGE = 0.1  # of the seconds, kept for the last frames of a refinement, which compare what it found with what it was given
MARKS = (1, 2, 3, 5, 7, 10, 15, 20)  # seconds at which the curves are read


@dataclass
class Meter:
    """Processor seconds and renders since it was made: of this process, of Blender, and of Blenders that have ended meanwhile."""

    frames: OwnFrames

    def __post_init__(self) -> None:
        self._seconds, self._renders = self._now(), self.frames.renders

    def _now(self) -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = time.process_time() + ended.ru_utime + ended.ru_stime
        if self.frames.pid is None:
            return seconds
        fields = Path(f"/proc/{self.frames.pid}/stat").read_text().rpartition(")")[2].split()
        return seconds + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def seconds(self) -> float:
        return self._now() - self._seconds

    @property
    def renders(self) -> int:
        return self.frames.renders - self._renders


Point = dict[str, Any]


def point(meter: Meter, scene: Scene) -> Point:
    return {"seconds": round(meter.seconds, 3), "renders": meter.renders, "scene": scene.to_json()}


@dataclass(frozen=True)
class Case:
    """A scene to explain: what was predicted of it, the shot that is expected, and what may be spent."""

    sample: Sample
    candidates: tuple[Scene, ...]
    confidence: tuple[float, ...] | None
    shot: Shot
    free_camera: bool
    seconds: float


def nothing(case: Case, frames: OwnFrames) -> list[Point]:
    return [point(Meter(frames), case.candidates[0])]


def best(case: Case, frames: OwnFrames) -> list[Point]:
    """Render each candidate under the expected light, and take the one that is nearest to the image."""
    meter, fine = Meter(frames), levels(case.sample.pixels())[2]
    points, least = [point(meter, case.candidates[0])], float("inf")
    for scene in case.candidates:
        error = error_of(State.of(scene, replace(case.shot, quality="draft", noise_seed=1)), fine, frames)
        if error < least:
            least = error
            points.append(point(meter, scene))
    return points


def random(case: Case, frames: OwnFrames) -> list[Point]:
    """Turn all numbers of one object, or of the light, at random, and keep what is nearer to the image."""
    meter, level, draws = Meter(frames), levels(case.sample.pixels())[1], np.random.default_rng(0)
    shot = replace(case.shot, quality="draft", noise_seed=1)
    fit = Fit(State.of(case.candidates[0], shot), CLEVR, shot, Budget(frames, 1e9))
    points = [point(meter, case.candidates[0])]
    least = costs(level.residual(fit.draw(fit.state, level))).sum()
    while meter.seconds < case.seconds:
        sized = fit.state.at(*level.size)
        which = int(draws.integers(len(sized.scene) + 1))
        handles = light_handles(sized, shot) if which == len(sized.scene) else object_handles(sized, CLEVR, which, RANDOM_STEP)
        state = turned(fit.state, handles, draws.normal(size=len(handles)) * draws.choice([1.0, 0.3]))
        cost = costs(level.residual(fit.draw(state, level))).sum()
        if cost < least:
            least, fit.state = cost, state
            points.append(point(meter, CLEVR.canonical(fit.state.scene)))
    return [*points, point(meter, CLEVR.canonical(fit.state.scene))]


def refine(case: Case, frames: OwnFrames) -> list[Point]:
    meter = Meter(frames)
    points = [point(meter, case.candidates[0])]
    found = refine_scene(
        case.sample.pixels(),
        case.candidates[0],
        case.shot,
        RefineSettings(1e6, None, case.free_camera, case.candidates[1:], case.confidence),
        frames,
        lambda progress: points.append(point(meter, progress.scene)),
        lambda: meter.seconds >= (1 - TO_JUDGE) * case.seconds,
    )
    return [*points, point(meter, found.scene) | {"first_error": found.first_error, "error": found.error}]


RUN: dict[str, Callable[[Case, OwnFrames], list[Point]]] = {"nothing": nothing, "best": best, "random": random, "refine": refine}


def measure(options: argparse.Namespace, samples: Samples, rows_file: Path) -> None:
    """Add a row for each scene and method that has none."""
    predictions = read_predictions(options.out / "pred.jsonl")
    done = {(row["key"], row["method"]) for row in read_rows(rows_file)}
    keys = samples.keys[options.skip :][: options.first]
    left = [(key, method) for key in keys for method in options.methods if (key, method) not in done]
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn"), _own) as processes, rows_file.open("a") as out:
        running = [processes.submit(_row, key, method, predictions[key], options) for key, method in left]
        for row in as_completed(running):
            out.write(json.dumps(row.result()) + "\n")
            out.flush()
            print(row.result()["key"], row.result()["method"], flush=True)


@cache
def _own() -> OwnFrames:
    """The frames of this process, with Blender started and its kernels loaded."""
    frames = OwnFrames()
    atexit.register(frames.__exit__, None, None, None)
    frames.draw(Scene("clevr", ()), CLEVR.canonical_shot(32, 24, "draft"), 1)
    return frames


@cache
def _samples(data: Path) -> Samples:
    return Samples(data)


def _row(key: str, method: str, predicted: Prediction, options: argparse.Namespace) -> dict[str, Any]:
    """The points of one method on one scene."""
    sample = _samples(options.out / "data")[key]
    codes = [one.code for one in predicted.candidates or ()] or [predicted.code]
    scenes = tuple(CLEVR.canonical(parse_code(code, CLEVR)) for code in codes)
    shot = CLEVR.canonical_shot(sample.shot.width, sample.shot.height, "standard")
    case = Case(sample, scenes, predicted.confidence, shot, options.camera_jitter > 0, options.seconds)
    return {"key": key, "method": method, "points": RUN[method](case, _own())}


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")] if path.exists() else []


def scores(points: list[tuple[Point, Scene]]) -> dict[str, float]:
    """Scores of a point of each scene, with its truth."""
    each = [score_scene(truth, Scene.from_json(at["scene"]), CLEVR) for at, truth in points]
    rotations = [error for one in each for error in one.rotation_errors]
    named = [tally for one in each for tally in one.choices.values()]
    return {
        "l2": mean(pair.distance for one in each for pair in one.pairs),
        "ap": mean(one.average_precision[NEAR] for one in each),
        "rotation": median(rotations) if rotations else float("nan"),
        "words": sum(tally.right for tally in named) / sum(tally.all for tally in named),
        "seconds": mean(at["seconds"] for at, _ in points),
        "renders": mean(at["renders"] for at, _ in points),
    }


def reached(row: dict[str, Any], what: str, limit: float) -> Point:
    """The last point of a row within a limit of seconds or renders."""
    return [at for at in row["points"] if at[what] <= limit or at is row["points"][0]][-1]


def report(options: argparse.Namespace, samples: Samples, rows: list[dict[str, Any]]) -> None:
    """Write the table, the curves and the numbers of the scenes that every method has done."""
    of = {method: {row["key"]: row for row in rows if row["method"] == method} for method in options.methods}
    keys = sorted(set.intersection(*(set(one) for one in of.values())))
    truth = {key: samples[key].scene for key in keys}
    table = {m: scores([(of[m][key]["points"][-1], truth[key]) for key in keys]) for m in options.methods}
    lines = [
        f"{len(keys)} of {options.num} scenes (seed {options.seed}, camera jitter {options.camera_jitter:g} m), {options.seconds:g} s each",
        "",
        "| method | L2 (m) | AP@0.125 (%) | median rotation (°) | words (%) | processor seconds | renders |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, row in table.items():
        cells = f"{row['l2']:.4f} | {100 * row['ap']:.1f} | {row['rotation']:.2f} | {100 * row['words']:.1f}"
        lines.append(f"| {METHODS[method]} | {cells} | {row['seconds']:.1f} | {row['renders']:.0f} |")
    ends = [of["refine"][key]["points"][-1] for key in keys] if "refine" in of else []
    begun = [of["refine"][key]["points"][0] for key in keys] if ends else []
    worse = sum(end["error"] > end["first_error"] for end in ends)
    pairs = [
        (scores([(end, truth[key])])["l2"], scores([(begin, truth[key])])["l2"])
        for end, begin, key in zip(ends, begun, keys if ends else [], strict=True)
    ]
    if ends:
        farther = sum(after > before for after, before in pairs)
        lines += ["", f"Of the refined scenes, {worse} explain their image worse than what was predicted; {farther} have a greater L2."]
    curves = {
        method: {
            what: [{"at": mark, **scores([(reached(of[method][key], what, mark), truth[key]) for key in keys])} for mark in marks]
            for what, marks in {"seconds": MARKS, "renders": (1, 5, 10, 25, 50, 100, 150, 200, 300, 400)}.items()
        }
        for method in options.methods
    }
    write_bytes(options.out / "results.json", json.dumps({"scenes": len(keys), "table": table, "curves": curves}, indent=1).encode())
    write_bytes(options.out / "table.md", ("\n".join(lines) + "\n").encode())
    plot(curves, options.out / "curves.png")
    print("\n".join(lines))


def plot(curves: dict[str, dict[str, list[dict[str, float]]]], path: Path) -> None:
    figure, panels = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for row, (score, name) in zip(panels, (("l2", "L2 (m)"), ("ap", "AP within 0.125 m")), strict=True):
        for panel, what in zip(row, ("seconds", "renders"), strict=True):
            for method, of in curves.items():
                panel.plot([at["at"] for at in of[what]], [at[score] for at in of[what]], marker=".", label=METHODS[method])
            panel.set(xlabel="processor seconds a scene" if what == "seconds" else "renders a scene", ylabel=name)
            panel.grid(alpha=0.3)
    panels[0][0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Generate, predict, measure what is not yet measured, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--first", type=int, help="measure only so many of the scenes")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many scenes, such as those used while something is built")
    parser.add_argument("--seed", type=int, default=31337)
    parser.add_argument("--camera-jitter", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="scenes at once, a core for each")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    data, pred = options.out / "data", options.out / "pred.jsonl"
    jitter = ["--camera-jitter", str(options.camera_jitter)] if options.camera_jitter else []
    frame = ["--width", "320", "--height", "240", "--quality", "standard"]
    made = igllm(["generate", "--num", str(options.num), "--seed", str(options.seed), *frame, *jitter, "--out", str(data)])
    if made or (not pred.exists() and igllm(["predict", "--data", str(data), "--samples", str(options.samples), "--out", str(pred)])):
        raise SystemExit(2)
    samples = Samples(data)
    measure(options, samples, options.out / "rows.jsonl")
    report(options, samples, read_rows(options.out / "rows.jsonl"))


if __name__ == "__main__":
    main()
