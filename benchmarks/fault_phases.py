"""The phases of `benchmarks/faults.py`: the call of each, what it needs, and how its files show that a call is inside it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datagen.formats.export import export
from datagen.io.written import DRAFT
from datagen.samples.draw import draw
from datagen.samples.sample import make_sample
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import write_shard

NEEDED = "needed"  # folder of the phases' inputs, which undisturbed calls make
STEPS = 16  # of training
MODEL = """\
image_height = 32
image_width = 32
freeze_vision = false
batch_size = 4
report_to = "none"
loaders = 1
save_steps = 4
[vision]
model_type = "resnet"
embedding_size = 8
hidden_sizes = [8, 16, 16]
depths = [1, 1, 1]
layer_type = "basic"
[text]
model_type = "llama"
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 2
max_position_embeddings = 1024
"""


@dataclass(frozen=True)
class Phase:
    """A phase of a verb. ``verb`` is the call without --out; ``inside`` tests, by the files of a call, whether it is in the phase, or was
    killed in it.

    ``name`` is that of the output within the folder of the phase.
    """

    verb: list[str]
    inside: Callable[[Path], bool]
    name: str = "out"


def _spool(options: argparse.Namespace) -> Phase:
    return Phase(_dots(options, "--shard-size", str(options.dots // 3)), _spooling)


def _shards(options: argparse.Namespace) -> Phase:
    return Phase(_dots(options, "--shard-size", str(options.dots // 3)), _building)


def _merge(options: argparse.Namespace) -> Phase:
    size = options.dots // 6
    halves = [_made(options, f"shards-{some}", _dots(options, "--shard-size", str(size), "--shards", some)) for some in ("0-1", "2-5")]
    return Phase(["merge", "--from", *map(str, halves)], lambda out: _building(out) or any(out.glob("manifest.0*.jsonl")))


def _export(options: argparse.Namespace) -> Phase:
    return Phase(["export", "--data", str(_data(options)), "--format", "coco"], _drafting)


def _import(options: argparse.Namespace) -> Phase:
    scenes, images = _published(options.out / NEEDED / "published", options)
    verb = ["import", "--format", "clevr", "--scenes", str(scenes), "--images", str(images)]
    return Phase(verb, lambda out: any(out.glob(".shard-*.tmp")))


def _train(options: argparse.Namespace) -> Phase:
    return Phase(_training(options), lambda out: (out / "run.json").exists() and not (out / "config.json").exists())


def _checkpoint(options: argparse.Namespace) -> Phase:
    return Phase(_training(options), lambda out: (out / ".saving").exists())


def _predict(options: argparse.Namespace) -> Phase:
    return Phase(_predicting(options), lambda out: out.with_name(".pred.jsonl.partial").exists(), "pred.jsonl")


def _render(options: argparse.Namespace) -> Phase:
    predictions = _made(options, "pred.jsonl", _predicting(options))
    verb = ["render", "--code", str(predictions), "--data", str(_data(options))]
    return Phase(verb, lambda out: 0 < len([*out.glob("*.json")]) < options.dots)


def _compare(options: argparse.Namespace) -> Phase:
    predictions = _made(options, "pred.jsonl", _predicting(options))
    return Phase(["compare", "--reference", str(_data(options)), "--candidate", str(predictions)], _drafting)


PHASES: dict[str, Callable[[argparse.Namespace], Phase]] = {
    "spool": _spool,
    "shards": _shards,
    "merge": _merge,
    "export": _export,
    "import": _import,
    "train": _train,
    "checkpoint": _checkpoint,
    "predict": _predict,
    "render": _render,
    "compare": _compare,
}


def _spooling(out: Path) -> bool:
    return any(path.stat().st_size > 0 for path in out.glob(".spool/*.spool"))


def _building(out: Path) -> bool:
    return any(out.glob(".spool/*.tar")) or any(out.glob(".spool/.*.tmp"))


def _drafting(out: Path) -> bool:
    return (out / DRAFT).exists()


def _data(options: argparse.Namespace) -> Path:
    return _made(options, "dots", _dots(options))


def _training(options: argparse.Namespace) -> list[str]:
    preset = options.out / NEEDED / "small.toml"
    preset.parent.mkdir(exist_ok=True)
    preset.write_text(MODEL)
    return ["train", "--data", str(_data(options)), "--preset", str(preset), "--steps", str(STEPS), "--device", "cpu"]


def _predicting(options: argparse.Namespace) -> list[str]:
    run = _made(options, "run", _training(options))
    return ["predict", "--data", str(_data(options)), "--model", str(run), "--batch-size", "4", "--device", "cpu"]


def _dots(options: argparse.Namespace, *more: str) -> list[str]:
    return ["generate", "--domain", "dot2d", "--num", str(options.dots), "--seed", str(options.seed), *frame_flags(options), *more]


def frame_flags(options: argparse.Namespace) -> list[str]:
    workers = f" --workers {options.workers}" if options.workers else ""
    return f"--width {options.width} --height {options.height}{workers}".split()


def _published(folder: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """Scenes in CLEVR's published form with images of noise, so that nothing must be rendered."""
    settings = DatasetSettings(seed=options.seed, width=options.width, height=options.height)
    rng = np.random.default_rng(options.seed)

    def noise(index: int) -> np.ndarray:
        return rng.integers(0, 256, (settings.height, settings.width, 3), np.uint8)

    drawn = ((index, draw(settings, index)) for index in range(options.dots // 4))
    samples = (make_sample(f"{index:09d}", one.scene, one.shot, noise(index), one.view) for index, one in drawn)
    write_shard(folder / "tars" / "a.tar", samples)
    export(folder / "tars", "clevr", folder / "clevr")
    [scenes] = (folder / "clevr" / "scenes").iterdir()
    return scenes, folder / "clevr" / "images"


def _made(options: argparse.Namespace, name: str, verb: list[str]) -> Path:
    """The output of a call, a folder or a file, which a phase reads. It is made once."""
    out: Path = options.out / NEEDED / name
    if not out.exists():
        subprocess.run(command_of(verb, out), check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return out


def command_of(verb: list[str], out: Path) -> list[str]:
    into = [str(out), *verb[1:]] if verb[0] == "merge" else [*verb[1:], "--out", str(out)]
    return [sys.executable, "-m", "igllm", verb[0], *into]
