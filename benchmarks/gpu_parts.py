"""The parts of ``benchmarks/gpu.py``, each of which is measured in a process of its own: ``python benchmarks/gpu_parts.py PART ...``.

Without a GPU, parts are shrunk until a CPU runs them: they take every path of the code, and their figures say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from bases import on_bases
from flops import measured_product
from loops import Steps, cost_on, measured_bare, measured_train
from predict import compared, fresh
from scenes import write_discs

from datagen.errors import UserError
from datagen.samples.settings import DatasetSettings
from datagen.workers.cores import available_cores
from model.config import quiet_transformers
from model.device import pick_device
from model.preset import Preset, get_preset

SCENES = DatasetSettings(seed=1, width=320, height=240, shard_size=64)
ROOT = Path(__file__).parents[1]
VISION = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}
TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4}
SHRUNK = {
    "paper": {"batch_size": 4, "lora_rank": 8, "lora_alpha": 16, "loaders": 1},
    "small": {"batch_size": 2, "loaders": 1},
    "tiny": {"batch_size": 4, "image_height": 64, "image_width": 80},
}
"""What is changed in a preset for a CPU, beside the sizes of its parts."""


@dataclass(frozen=True)
class Where:
    """Where a part is measured: the folder for what it needs and leaves, and the device."""

    work: Path
    device: torch.device

    @property
    def whole(self) -> bool:
        """Whether parts have their published sizes."""
        return self.device.type != "cpu"

    def preset(self, name: str) -> Preset:
        """A preset on random bases; shrunk without a GPU."""
        preset, bases = get_preset(name), self.work / "bases"
        if not self.whole:
            tables = {} if name == "tiny" else {"vision": {**preset.vision, **VISION}, "text": {**preset.text, **TEXT}}
            preset, bases = preset.replaced(**SHRUNK[name], **tables), self.work / "shrunk"
        return on_bases(preset, bases / name, self.device)

    def data(self) -> Path:
        """A data set of CLEVR's scenes without Blender."""
        return write_discs(self.work / "discs", 128 if self.whole else 8, SCENES)


def trained(where: Where, name: str, steps: Steps, extra: dict[str, Any]) -> dict[str, Any]:
    """`igllm train` and a bare loop over the same model and batches."""
    preset = where.preset(name)
    preset = preset.replaced(**{key: value for key, value in extra.items() if where.whole or key not in SHRUNK[name]})
    data, steps = where.data(), steps if where.whole else Steps(1, 3, 1)
    product = measured_product(where.device, 1.0 if where.whole else 0.1)
    ours = measured_train(preset, name, data, steps, where.device)
    cost = cost_on(preset, data, ours.model, ours.codec)
    rows = {"igllm train": ours.row(cost, product)}
    bare = measured_bare(preset, data, steps, where.device, (ours.model, ours.codec))
    rows["bare loop"] = bare.row(cost, product)
    batch = preset.optimisation.batch_size, preset.optimisation.accumulation
    return {"rows": rows, "of_bare": ours.rate / bare.rate, "product_tflops": product / 1e12, "batch": batch}


def predicted(where: Where, batch: int, rounds: int) -> dict[str, Any]:
    """Constrained decoding against transformers' `generate()`, with the adapters of `paper` merged as `igllm predict` does."""
    preset = where.preset("paper")
    predictor = fresh(preset)
    predictor.model.merged()
    return compared(predictor, batch if where.whole else 2, rounds if where.whole else 1, where.device)


def rendered(where: Where, device: str, frames: int) -> dict[str, Any]:
    """Frames a second of ``igllm generate``, its start included, after a short call for which Blender's kernels may have to be compiled."""
    if device == "gpu" and not where.whole:
        return {"skipped": "torch finds no GPU here"}
    frames = frames if where.whole else 4
    if device == "gpu":
        _generate(where, device, 1)
    seconds = _generate(where, device, frames)
    return {"frames": frames, "seconds": seconds, "frames_per_second": frames / seconds}


def _generate(where: Where, device: str, frames: int) -> float:
    """The seconds of a call of ``igllm generate``."""
    command = [sys.executable, "-P", "-m", "igllm", "generate", "--num", str(frames), "--quality", "draft", "--device", device, "--out"]
    with tempfile.TemporaryDirectory(dir=where.work) as folder:
        begin = time.perf_counter()
        done = subprocess.run([*command, folder], stdout=subprocess.DEVNULL, check=False)
        seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(done.returncode)
    return seconds


HALVES = {"batch_size": 16, "accumulation": 2}  # as many samples a step, in halves of like length
PARTS: dict[str, Callable[[Where], dict[str, Any]]] = {
    "train-tiny": partial(trained, name="tiny", steps=Steps(40, 160, 40), extra={"loaders": 6}),
    "train-small": partial(trained, name="small", steps=Steps(10, 30, 6), extra={}),
    "train-paper": partial(trained, name="paper", steps=Steps(2, 6, 2), extra={}),
    "train-paper-halves": partial(trained, name="paper", steps=Steps(2, 6, 2), extra=HALVES),
    "train-paper-auto": partial(trained, name="paper", steps=Steps(2, 6, 2), extra={**HALVES, "gradient_checkpointing": "auto"}),
    "predict-paper": partial(predicted, batch=16, rounds=2),
    "render-cpu": partial(rendered, device="cpu", frames=120),
    "render-gpu": partial(rendered, device="gpu", frames=120),
}


def main() -> None:
    """Measure a part, and print its figures as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    quiet_transformers()
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        where = Where(options.work, pick_device(options.device))
        print(json.dumps({**PARTS[options.part](where), "machine": machine(where)}))
    except UserError as error:
        raise SystemExit(str(error)) from None
    except torch.OutOfMemoryError as error:
        raise SystemExit(str(error).splitlines()[0]) from None


def machine(where: Where) -> dict[str, Any]:
    """What a part was measured on."""
    name = torch.cuda.get_device_name(where.device) if where.device.type == "cuda" else f"{platform.machine()} without a GPU"
    versions = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
    return {"name": name, "whole": where.whole, "cores": len(available_cores()), **versions}


if __name__ == "__main__":
    main()
