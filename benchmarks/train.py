"""How fast models are trained: ``igllm train`` compared with a bare PyTorch loop over the same model and batches, in turns.

    python benchmarks/train.py --data DIR [--preset tiny] [--set KEY=VALUE] [--steps 40] [--rounds 3] [--device auto]

Each measurement is a process of its own, so that its peak memory is its own; a quarter of ``--steps`` more warm up, and as many more are
timed phase by phase (`loops`). Checkpoints that a preset names on the hub are not fetched: random weights of their sizes stand in for them
(`bases`), which are as fast. Model FLOPs: `flops`. On a GPU box, ``benchmarks/gpu.py`` measures all presets at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from bases import on_bases
from flops import measured_product
from loops import PHASES, Steps, cost_on, measured_bare, measured_train

from model.config import quiet_transformers
from model.device import pick_device
from model.preset import get_preset

KINDS = ("bare", "igllm train")


def main() -> None:
    """Measure in processes of their own, and print the table."""
    options = _options()
    if options.measure:
        print(json.dumps(measure(options)))
        return
    print(f"{options.preset} {' '.join(options.settings)}, {options.steps} steps a round, {options.rounds} rounds", flush=True)
    found: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as bases:
        for _ in range(options.rounds):
            for kind in KINDS:
                command = [sys.executable, __file__, *sys.argv[1:], "--measure", kind, "--bases", bases]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
                found[kind].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"{kind}: {found[kind][-1]['samples_per_second']:.2f} samples/s", flush=True)
    rates = ([row["samples_per_second"] for row in found[kind]] for kind in KINDS)
    ratio = median(ours / bare for bare, ours in zip(*rates, strict=True))
    print("\n| | samples/s | tokens/s | TFLOP/s | of the product | peak memory, GiB |" + "".join(f" {phase}, ms |" for phase in PHASES))
    print("|---" * (6 + len(PHASES)) + "|")
    for kind in KINDS:
        names = ("samples_per_second", "tokens_per_second", "model_tflops", "share_of_product", "peak_gib")
        rate, tokens, flops, share, memory = (median(row[name] for row in found[kind]) for name in names)
        phases = "".join(f" {median(row['step_milliseconds'][phase] for row in found[kind]):.1f} |" for phase in PHASES)
        print(f"| {kind} | {rate:.2f} | {tokens:.0f} | {flops:.3f} | {share:.1%} | {memory:.2f} |{phases}")
    print(f"\nigllm train: {ratio:.3f} of bare")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set to read")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--bases", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict:
    """The figures of one loop (`loops.Measured.row`)."""
    quiet_transformers()
    device, few = pick_device(options.device), max(1, options.steps // 4)
    preset = on_bases(get_preset(options.preset).changed(options.settings), options.bases, device)
    steps = Steps(few, options.steps, few)
    if options.measure == "bare":
        measured = measured_bare(preset, options.data, steps, device)
    else:
        measured = measured_train(preset, options.preset, options.data, steps, device)
    cost = cost_on(preset, options.data, measured.model, measured.codec)
    return measured.row(cost, measured_product(device))


if __name__ == "__main__":
    main()
