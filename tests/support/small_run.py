"""The preset of a small model made from scratch, and a few images of a dot to train it on: training takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import igllm

PRESET = """
image_height = 64
image_width = 64
freeze_vision = false
batch_size = 2
log_steps = 1
report_to = "none"
dense_weight = 1.0
[vision]
model_type = "resnet"
embedding_size = 8
hidden_sizes = [8, 8]
depths = [1, 1]
layer_type = "basic"
[text]
model_type = "llama"
hidden_size = 16
intermediate_size = 32
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 2
max_position_embeddings = 512
"""
Train = Callable[..., int]
"""`igllm train` with further flags, as `conftest.train` gives it."""


def generate(out: Path, seed: int = 0, num: int = 6) -> Path:
    words = ["--domain", "dot2d", "--num", str(num), "--seed", str(seed), "--width", "64", "--height", "64", "--out", str(out)]
    assert igllm.main(["generate", *words]) == 0
    return out
