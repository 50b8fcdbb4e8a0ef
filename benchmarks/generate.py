"""How fast data is generated: ``igllm generate`` compared with a bare loop of Blender, and with that loop at CLEVR's defaults.

    python benchmarks/generate.py [--scenes 60] [--slow-scenes 4] [--rounds 3] [--width 320 --height 240]

All render the same scenes, one pinned process per core, start-up not counted. The bare loop moves objects and calls Blender's render; the
pipeline also draws the scenes, labels them, encodes the images and writes whole shards. The two take turns, so that other load slows both
alike. At CLEVR's defaults (512 samples, 8 bounces, no denoiser), the bare loop renders the first few scenes once, between the presets; a
preset's seconds a frame are compared on these few.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, median

from bare import BareProcess, Frame, bare_processes, render_side_by_side

from blender_scenes.quality import Settings
from datagen.generate import generate_missing
from datagen.samples.settings import DatasetSettings
from datagen.scene import Quality
from datagen.workers.cores import available_cores
from datagen.workers.jobs import DrawJob
from datagen.workers.pool import RenderPool

CLEVR = asdict(Settings(512))
PRESETS: tuple[Quality, Quality] = ("draft", "standard")
MIB = 2**20


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60, help="scenes a round")
    parser.add_argument("--slow-scenes", type=int, default=4, help="of them, those rendered at CLEVR's defaults; at least one a core")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-scenes", type=int, default=2000, help="small scenes over which a worker's memory is watched")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    base = DatasetSettings(seed=options.seed, width=options.width, height=options.height)
    cores = len(available_cores())
    print(
        f"{cores} cores, {options.width}x{options.height}, seed {options.seed}, {options.rounds} rounds of {options.scenes} scenes",
        flush=True,
    )
    few, rows = range(options.slow_scenes), []
    with bare_processes() as processes:
        print(f"start-up of the bare loop: {mean(process.start_seconds for process in processes):.2f} s", flush=True)
        rows.append(measure(processes, replace(base, quality=PRESETS[0]), options.scenes, options.rounds, few))
        slow = frame_seconds(processes, base, few, CLEVR)
        rows.append(measure(processes, replace(base, quality=PRESETS[1]), options.scenes, options.rounds, few))
    print(f"CLEVR's defaults, bare loop: {slow:.2f} s a frame, {cores / slow:.4f} frames/s\n")
    print("| preset | s a frame, bare | times CLEVR's defaults | bare frames/s | igllm generate frames/s | of bare |")
    print("|---|---|---|---|---|---|")
    for quality, (seconds, bares, pipes) in zip(PRESETS, rows, strict=True):
        ratio = median(pipe / bare for bare, pipe in zip(bares, pipes, strict=True))
        rates = f"{median(bares):.3f} | {median(pipes):.3f} | {ratio:.3f}"
        print(f"| {quality} | {seconds:.3f} | {slow / seconds:.0f} | {rates} |")
    print_memory(replace(base, width=64, height=48, quality="draft"), options.memory_scenes)


def measure(
    processes: list[BareProcess], settings: DatasetSettings, scenes: int, rounds: int, few: range
) -> tuple[float, list[float], list[float]]:
    """The bare loop's seconds per frame on the `few` scenes, and each round's frames per second, of the bare loop and the pipeline."""
    seconds, bares, pipes = [], [], []
    with RenderPool() as pool:
        list(pool.render(DrawJob(settings, scenes + index) for index in range(2 * len(processes))))  # start and warm up
        for _ in range(rounds):
            seconds.append(frame_seconds(processes, settings, few))
            begin = time.perf_counter()
            render_side_by_side(processes, [Frame(settings, index) for index in range(scenes)])
            bares.append(scenes / (time.perf_counter() - begin))
            pipes.append(pipeline(pool, settings, scenes))
            print(f"{settings.quality}: bare {bares[-1]:.3f}, igllm generate {pipes[-1]:.3f} frames/s", flush=True)
    return mean(seconds), bares, pipes


def frame_seconds(processes: list[BareProcess], settings: DatasetSettings, indices: range, cycles: dict | None = None) -> float:
    """Mean seconds a frame in the bare loop, all cores at work."""
    return mean(times["seconds"] for times in render_side_by_side(processes, [Frame(settings, index, cycles) for index in indices]))


def pipeline(pool: RenderPool, settings: DatasetSettings, scenes: int) -> float:
    """The frames per second of ``igllm generate`` in started workers, shards written."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        generate_missing(settings, scenes, Path(folder), pool)
        return scenes / (time.perf_counter() - begin)


def print_memory(settings: DatasetSettings, scenes: int) -> None:
    """Print a worker's resident memory after its first fifty scenes, and its growth over `scenes` more."""
    with RenderPool(1) as pool:
        list(pool.render(DrawJob(settings, index) for index in range(50)))
        before = resident(pool)
        list(pool.render(DrawJob(settings, 50 + index) for index in range(scenes)))
        grown = (resident(pool) - before) / MIB
    print(f"\na worker's memory: {before / MIB:.0f} MiB, growing by {1000 * grown / scenes:.2f} MiB a thousand scenes over {scenes}")


def resident(pool: RenderPool) -> int:
    """The resident memory of the pool's one worker, in bytes."""
    [pid] = pool.pids
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    main()
