"""How fast models are trained: ``igllm train`` compared with a bare PyTorch loop over the same model and batches, in turns.

    python benchmarks/train.py --data DIR [--preset tiny] [--set KEY=VALUE] [--steps 40] [--rounds 3] [--device auto]

Both read the same samples in the same order, compute in the same precision, clip gradients and step the same optimizer. ``igllm train``
also logs and saves checkpoints on its own schedule. Each measurement is a process of its own, so that its peak memory is its own; the
first quarter of the steps warms up. If the parts are made from scratch (``--set vision_model=none --set language_model=none``), weights
are random, which are as fast as trained ones. With the device's ``--peak-tflops``, the table shows model FLOP utilisation. A weight costs 2
FLOPs per token forwards, 2 more if gradients pass through, 2 more if it is trained.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.data import DataLoader

from datagen.io.bounds import peak_memory
from datagen.shards.reader import Samples
from model.build import build
from model.config import quiet_transformers
from model.data.examples import CodeSource, Collator
from model.data.feature_cache import FeatureCache
from model.data.frames import Frame
from model.data.order import Mixture
from model.device import pick_device
from model.igllm import IGLLM
from model.preset import Preset, get_preset
from model.training.train import Callback, Data, example_maker, train
from model.training.trainer import parameter_groups

MIB = 2**20
KINDS = ("bare", "igllm train")


def main() -> None:
    """Measure in processes of their own, and print the table."""
    options = _options()
    if options.measure:
        print(json.dumps(measure(options)))
        return
    print(f"{options.preset} {' '.join(options.settings)}, {options.steps} steps a round, {options.rounds} rounds", flush=True)
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind in KINDS:
            command = [sys.executable, __file__, *sys.argv[1:], "--measure", kind]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
            found[kind].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{kind}: {found[kind][-1]['rate']:.2f} samples/s", flush=True)
    ratio = median(ours["rate"] / bare["rate"] for bare, ours in zip(found["bare"], found["igllm train"], strict=True))
    print("\n| | samples/s | tokens/s | TFLOP/s | of peak | peak memory, MiB |\n|---|---|---|---|---|---|")
    for kind in KINDS:
        rate, tokens, flops, memory = (median(row[name] for row in found[kind]) for name in ("rate", "tokens", "flops", "memory"))
        share = f"{flops * rate / options.peak_tflops / 1e12:.1%}" if options.peak_tflops else ""
        print(f"| {kind} | {rate:.2f} | {tokens * rate:.0f} | {flops * rate / 1e12:.3f} | {share} | {memory:.0f} |")
    print(f"\nigllm train: {ratio:.3f} of bare")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set to read")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--peak-tflops", type=float, help="what the device can do at best in the precision used")
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Samples per second, tokens and FLOPs per sample, and peak memory (MiB) of one loop."""
    quiet_transformers()
    preset = get_preset(options.preset).changed([*options.settings, f"steps={options.steps}", "report_to=none"])
    device = pick_device(options.device)
    times = trained(preset, options) if options.measure == "igllm train" else looped(preset, options, device)
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory()
    warm, step = options.steps // 4, preset.optimisation.batch_size * preset.optimisation.accumulation
    rate = (options.steps - warm) * step / (times[-1] - times[warm - 1])
    return {"rate": rate, "memory": memory / MIB, **cost(preset, options)}


def trained(preset: Preset, options: argparse.Namespace) -> list[float]:
    """The clock's seconds when `igllm train` had done each step."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        callback = Callback(lambda loaded, step: times.append(_now(loaded.model.device)), 1)
        train(preset, options.preset, data=Data([options.data]), out=Path(out), device=options.device, callback=callback)
    return times


def looped(preset: Preset, options: argparse.Namespace, device: torch.device) -> list[float]:
    """The clock's seconds when a bare training loop had done each step."""
    how = preset.optimisation
    torch.manual_seed(how.seed)
    model, source, collate = parts(preset, options.data, device)
    mixture = Mixture([source], [1.0], how.seed, how.steps * how.batch_size * how.accumulation)
    loader = DataLoader(mixture, how.batch_size, collate_fn=collate, num_workers=preset.run.loaders)
    optimizer = torch.optim.AdamW(parameter_groups(model, preset.optimisation), betas=(0.9, 0.98))
    if preset.run.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    times: list[float] = []
    for number, batch in enumerate(loader, 1):
        with torch.autocast(device.type, torch.bfloat16, enabled=how.bf16):
            loss = model(**{name: value.to(device) for name, value in batch.items()}).loss / how.accumulation
        loss.backward()
        if number % how.accumulation == 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            times.append(_now(device))
    return times


def parts(preset: Preset, data: Path, device: torch.device) -> tuple[IGLLM, CodeSource, Collator]:
    """The model, the source of its examples, and the collator that stacks them."""
    archive = Samples.for_training(data)
    domain = Samples(data).at(0).domain
    model, codec = build(preset, domain)
    model.to(device)
    make = example_maker(model, codec, preset.examples)
    source = CodeSource(archive, make)
    if preset.tower.cache_features:
        cache = FeatureCache.fill(model.tower, Frame.of(model.config), source, "benchmark", preset.optimisation.batch_size)
        source = CodeSource(archive, make, cache)
    return model, source, Collator(codec.tokenizer.pad_token_id)


def cost(preset: Preset, options: argparse.Namespace) -> dict[str, float]:
    """The language model's tokens and the FLOPs per sample, averaged over the first 16 samples."""
    model, source, _ = parts(preset.replaced(cache_features=False), options.data, torch.device("cpu"))
    examples: list[dict[str, Any]] = [source.example(i, None) for i in range(min(16, len(source)))]
    cells = model.tower.rows * model.tower.columns
    text = sum(len(example["input_ids"]) for example in examples) / len(examples)
    tokens = len(model.config.prefix_token_ids) + cells + text
    flops = tokens * _flops(model.language_model, passes_gradients=True) + cells * _flops(model.projector, passes_gradients=False)
    if not preset.tower.cache_features:
        flops += cells * _flops(model.tower, passes_gradients=False)
    return {"tokens": tokens, "flops": flops}


def _flops(part: torch.nn.Module, passes_gradients: bool) -> float:
    """A part's FLOPs per token. Each weight of a matrix, embeddings aside: 2 forwards, 2 if gradients pass through, 2 if it is trained."""
    weights = [p for name, p in part.named_parameters() if p.ndim >= 2 and "embed_tokens" not in name]
    return float(sum(p.numel() * (2 + 2 * (passes_gradients or p.requires_grad) + 2 * p.requires_grad) for p in weights))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
