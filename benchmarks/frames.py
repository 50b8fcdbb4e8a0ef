"""What a frame costs: visual tokens and the CPU time of a training step's passes, as ratios to the first frame's, in one run.

python benchmarks/frames.py --frames 336x336 252x336 [--preset paper] [--layers 1] [--text 444] [--repeats 3]

Tower and language model are those of the preset's tables, with random weights and this few of their layers, which cost alike. Both are
frozen; through the language model, gradients go back to the projector. Frames are height x width.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import torch
from transformers import AutoModel
from turns import alternately

from model.config import IGLLMConfig, quiet_transformers
from model.parts.tower import VisionTower
from model.preset import get_preset
from model.tables import configuration


def step(tower: VisionTower, projector: torch.nn.Module, decoder: torch.nn.Module, text: torch.Tensor, frame: tuple[int, int]) -> None:
    """The passes of one image of this size."""
    with torch.no_grad():
        seen = tower(torch.zeros(1, 3, *frame))
    decoder(inputs_embeds=torch.cat([projector(seen), text], dim=1)).last_hidden_state.sum().backward()


def main() -> None:
    """Measure all frames in turn, so that a busy machine slows them alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", nargs="+", default=["336x336", "252x336"])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--text", type=int, default=444, help="tokens of prompt and code beside the visual ones")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    quiet_transformers()
    preset = get_preset(options.preset)
    vision = configuration("vision", {**preset.vision, "num_hidden_layers": options.layers})
    text = configuration("text", {**preset.text, "num_hidden_layers": options.layers}, vocab_size=64)
    encoder, decoder = AutoModel.from_config(vision), AutoModel.from_config(text)
    decoder.requires_grad_(False)
    projector = torch.nn.Linear(vision.hidden_size, text.hidden_size)
    words, passes, tokens = torch.randn(1, options.text, text.hidden_size), {}, {}
    for named in options.frames:
        height, width = map(int, named.split("x"))
        tower = VisionTower(IGLLMConfig(vision_config=vision, text_config=text, image_height=height, image_width=width), encoder)
        tokens[named] = tower.rows * tower.columns
        passes[named] = partial(step, tower, projector, decoder, words, (height, width))
    medians = alternately(passes, options.repeats, time.process_time)
    first = options.frames[0]
    for named, value in medians.items():
        more, longer = tokens[named] / tokens[first], value / medians[first]
        print(f"{named}: {tokens[named]} visual tokens ({more:.2f}), {value:.3f} CPU seconds ({longer:.2f})")


if __name__ == "__main__":
    main()
