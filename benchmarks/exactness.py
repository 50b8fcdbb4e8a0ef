"""How exactly images are reproduced: fresh Blender processes render the same samples, each in its own order, on the cores in turn.

    python benchmarks/exactness.py [--scenes 20] [--processes 4] [--quality draft] [--width 160 --height 120]

Compares Cycles' floating-point pixels, before they are rounded to 8 bits, value by value with those of the first process.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from bare import BareProcess, Frame, render_side_by_side

from datagen.samples.settings import DatasetSettings
from datagen.workers.cores import available_cores


def main() -> None:
    """Render everything, compare, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--quality", default="draft")
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--height", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    settings = DatasetSettings(seed=options.seed, width=options.width, height=options.height, quality=options.quality)
    cores = available_cores()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.processes):
            order = np.random.default_rng(number).permutation(options.scenes)
            process = BareProcess(cores[number % len(cores)])
            render_side_by_side([process], [Frame(settings, int(index), save=picture(folder, number, index)) for index in order])
            process.close()
        differing = [compare(folder, number, index) for number in range(1, options.processes) for index in range(options.scenes)]
    values = options.width * options.height * 3
    print(f"{len(differing)} pairs of {options.quality} frames of {options.width}x{options.height}, {values} values each")
    print(f"pairs that differ anywhere: {sum(count > 0 for count, _ in differing)}")
    print(f"values that differ: at most {max(count for count, _ in differing)} a frame, by at most {max(by for _, by in differing):.2g}")


def picture(folder: str, process: int, index: int) -> Path:
    """The path of a scene's pixels by one process."""
    return Path(folder) / f"{process}-{index}.npy"


def compare(folder: str, process: int, index: int) -> tuple[int, float]:
    """How many values differ from those of the first process, and by how much at most."""
    first, other = np.load(picture(folder, 0, index)), np.load(picture(folder, process, index))
    return int((first != other).sum()), float(np.abs(first - other).max())


if __name__ == "__main__":
    main()
