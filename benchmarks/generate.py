"""How fast data is generated: ``igllm generate`` beside a bare loop of Blender, and beside that loop at CLEVR's defaults, in one run.

    python benchmarks/generate.py [--scenes 60] [--slow-scenes 4] [--rounds 3] [--width 320 --height 240]

All render the same scenes, one pinned process a core, start-up apart. The bare loop moves objects and calls Blender's render; the pipeline
also draws the scenes, labels them, encodes the images and writes whole shards. Rounds take turns, so that a machine's moods strike all
alike. CLEVR's defaults (512 samples, 8 bounces, no denoiser) render the first few scenes only; each preset's ratio to them is that of
the seconds that its own bare loop took for the same few.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from statistics import mean

from blender_scenes.quality import Settings
from datagen.cores import available_cores
from datagen.scene import Quality
from datagen.settings import DatasetSettings

CLEVR = Settings(512)
PRESETS: tuple[Quality, ...] = ("draft", "standard")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60, help="scenes a round")
    parser.add_argument("--slow-scenes", type=int, default=4, help="of them, those rendered at CLEVR's defaults, once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    base = DatasetSettings(seed=options.seed, width=options.width, height=options.height)
    cores = len(available_cores())
    print(f"{cores} cores, {options.width}x{options.height}, seed {options.seed}, {options.rounds} rounds of {options.scenes} scenes\n")

    slow = bare(base, options.slow_scenes, asdict(CLEVR))
    print(f"CLEVR's defaults, bare loop: {slow.rate:.4f} frames/s ({slow.frame_seconds:.2f} s a frame on a core)\n")
    print("| preset | bare frames/s | igllm generate frames/s | of bare | times CLEVR's defaults | start-up s | worker MB, growth/1000 |")
    print("|---|---|---|---|---|---|---|")
    for quality in PRESETS:
        settings = replace(base, quality=quality)
        bares, pipes = [], []
        for _ in range(options.rounds):
            bares.append(bare(settings, options.scenes))
            pipes.append(pipeline(settings, options.scenes))
        faster = slow.frame_seconds / mean(mean(b.seconds[: options.slow_scenes]) for b in bares)
        ...


if __name__ == "__main__":
    main()
