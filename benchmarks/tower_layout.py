"""What channels-last memory layout saves in the tiny preset's tower: seconds a pass, and their ratio, in one run.

python benchmarks/tower_layout.py [--batch 16] [--repeats 20]
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from transformers import AutoConfig, AutoModel

from model.presets import get_preset


def seconds(tower: torch.nn.Module, images: torch.Tensor) -> float:
    """One forward and backward pass."""
    begin = time.perf_counter()
    tower(images).last_hidden_state.sum().backward()
    return time.perf_counter() - begin


def main() -> None:
    """Measure both layouts in turn, so that a busy machine slows both alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    preset = get_preset("tiny")
    tower = AutoModel.from_config(AutoConfig.for_model(**preset.vision))
    images = torch.randn(options.batch, 3, preset.image_height, preset.image_width)
    layouts = {"contiguous": images, "channels last": images.contiguous(memory_format=torch.channels_last)}
    times: dict[str, list[float]] = {name: [] for name in layouts}
    for _ in range(options.repeats + 2):
        for name, batch in layouts.items():
            times[name].append(seconds(tower, batch))
    medians = {name: median(values[2:]) for name, values in times.items()}  # the first two warm up
    for name, value in medians.items():
        print(f"{name:14} {value:.4f} s a pass of {options.batch} images")
    print(f"ratio          {medians['contiguous'] / medians['channels last']:.2f}")


if __name__ == "__main__":
    main()
