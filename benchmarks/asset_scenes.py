"""What a frame of assets costs in comparison with one of CLEVR: a worker's processor time and its peak memory.

    python benchmarks/asset_scenes.py [--num 40] [--width 160] [--height 120]

Each has one worker, started and warmed up with three frames; assets' meshes and materials are made when scenes first need them. Processor
time depends little on the machine's other load.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from datagen.io.bounds import peak_memory
from datagen.samples.settings import DatasetSettings
from datagen.workers.jobs import DrawJob
from datagen.workers.pool import RenderPool


def main() -> None:
    """Measure, and print a line for each domain and split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=40, help="frames")
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--height", type=int, default=120)
    options = parser.parse_args()
    frame = {"seed": 1, "width": options.width, "height": options.height, "quality": "draft", "min_objects": 1, "max_objects": 4}
    for domain, split in (("clevr", "default"), ("assets", "known"), ("assets", "default")):
        measure(DatasetSettings(domain, split, **frame), options.num)


def measure(settings: DatasetSettings, num: int) -> None:
    """Print the frames' processor time and peak memory."""
    with RenderPool(1) as pool:
        list(pool.render(DrawJob(settings, num + index) for index in range(3)))
        [pid] = pool.pids
        before = processor_seconds(pid)
        list(pool.render(DrawJob(settings, index) for index in range(num)))
        milliseconds = 1000 * (processor_seconds(pid) - before) / num
        print(f"{settings.domain} {settings.split}: {milliseconds:.0f} ms a frame, {peak_memory(pid) // 2**20} MiB", flush=True)


def processor_seconds(pid: int) -> float:
    """The processor seconds that a process has used so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
