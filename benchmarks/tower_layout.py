"""What channels-last memory layout saves in the tiny preset's tower: seconds a pass, and their ratio, in one run.

python benchmarks/tower_layout.py [--batch 16] [--repeats 20]
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from transformers import AutoConfig, AutoModel
from turns import alternately

from model.preset import get_preset


def there_and_back(tower: torch.nn.Module, images: torch.Tensor) -> None:
    """One forward and backward pass."""
    tower(images).last_hidden_state.sum().backward()


def main() -> None:
    """Measure both layouts in turn, so that a busy machine slows both alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    preset = get_preset("tiny")
    tower = AutoModel.from_config(AutoConfig.for_model(**preset.vision))
    images = torch.randn(options.batch, 3, preset.tower.image_height, preset.tower.image_width)
    layouts = {"contiguous": images, "channels last": images.contiguous(memory_format=torch.channels_last)}
    passes = {name: partial(there_and_back, tower, batch) for name, batch in layouts.items()}
    medians = alternately(passes, options.repeats)
    for name, value in medians.items():
        print(f"{name:14} {value:.4f} s a pass of {options.batch} images")
    print(f"ratio          {medians['contiguous'] / medians['channels last']:.2f}")


if __name__ == "__main__":
    main()
