"""A small model and its run, stopped at a checkpoint, into which faults are put. Both are made once a process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import honest
from kinds import verb

from datagen.io.cache import alone

SMALL = """
image_height = 32
image_width = 32
freeze_vision = false
dense_weight = 1.0
batch_size = 2
log_steps = 1
report_to = "none"
[vision]
model_type = "resnet"
embedding_size = 4
hidden_sizes = [4, 4]
depths = [1, 1]
layer_type = "basic"
[text]
model_type = "llama"
hidden_size = 16
intermediate_size = 16
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 2
max_position_embeddings = 512
"""


@cache
def trained() -> Mapping[str, bytes]:
    """The files of a run that was stopped at a checkpoint, by their paths in it; its data is `honest.data_set`."""
    honest.data_set()
    run = honest.home() / "run"
    with alone(honest.home() / "run.lock"):
        if not (run / "config.json").exists():
            (honest.home() / "small.toml").write_text(SMALL)
            assert train(run, honest.home(), 1) == 0
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(run.rglob("*")) if _is_left(path, run)}


def _is_left(path: Path, run: Path) -> bool:
    """Whether a file would be there if the run had been stopped before its end."""
    return path.is_file() and "tensorboard" not in path.parts and (path.parent != run or path.name == "run.json")


def train(run: Path, home: Path, steps: int) -> int:
    """The exit status of `igllm train` for ``steps`` steps in all."""
    words = ["--preset", home / "small.toml", "--data", home / "dots", "--out", run, "--device", "cpu"]
    return verb("train", *words, "--steps", steps, "--set", "save_steps=1", "--set", "loaders=0")


@cache
def model() -> Mapping[str, bytes]:
    """The files of a small model."""
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    return {name: data for path, data in trained().items() if (name := path.rpartition("/")[2]) in names and path.startswith("checkpoint-")}


def load() -> None:
    """Load the small model, and thereby import what reading models imports."""
    from model.load import load_model

    with tempfile.TemporaryDirectory() as folder:
        for name, data in model().items():
            Path(folder, name).write_bytes(data)
        load_model(Path(folder), "cpu")


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
