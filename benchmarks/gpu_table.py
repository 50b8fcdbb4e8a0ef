"""The table of ``benchmarks/gpu.py`` as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PHASES = ("data", "forward", "backward", "optimizer", "rest")
SHRUNK = (
    "**No GPU was used: these are `tiny` and shrunk parts on a CPU.** They show that every path of the code runs, and nothing of the speed "
    "of a GPU or of the published sizes."
)


def as_markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results of parts, by their names, as tables: training, prediction, frames, and what gave no figures."""
    done = {part: found for part, found in results.items() if not {"failed", "skipped"} & found.keys()}
    machines = dict.fromkeys(f"{_machine(found['machine'])} (commit {found['commit'] or 'unknown'})" for found in done.values())
    blocks = ["\n".join(machines)]
    if any(not found["machine"]["whole"] for found in done.values()):
        blocks.append(SHRUNK)
    blocks += [_training(done), _split(done), _prediction(done), _frames(done), _without(results)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _machine(machine: Mapping[str, Any]) -> str:
    versions = f"Python {machine['python']}, torch {machine['torch']}, transformers {machine['transformers']}"
    return f"{machine['name']}, {machine['cores']} CPU cores, {versions}"


def _training(done: Mapping[str, Any]) -> str:
    head = ("preset", "loop", "batch x accumulation", "tokens a sample", "samples/s", "tokens/s", "model TFLOP/s")
    more = ("of the bf16 product, TFLOP/s", "peak memory, GiB", "of the bare loop")
    return _table((*head, *more), [_trained(part, found, loop) for part, found in _of_kind(done, "train") for loop in found["rows"]])


def _trained(part: str, found: Mapping[str, Any], loop: str) -> list[str]:
    row = found["rows"][loop]
    return [
        f"`{part.removeprefix('train-')}`",
        loop,
        " x ".join(map(str, found["batch"])),
        f"{row['tokens_per_sample']:.0f}",
        f"{row['samples_per_second']:.2f}",
        f"{row['tokens_per_second']:,.0f}",
        f"{row['model_tflops']:.3g}",
        f"{row['share_of_product']:.1%} of {found['product_tflops']:.3g}",
        f"{row['peak_gib']:.1f}",
        f"{found['of_bare']:.3f}" if loop == "igllm train" else "",
    ]


def _split(done: Mapping[str, Any]) -> str:
    rows = [
        (f"`{part.removeprefix('train-')}`", loop, *(f"{row['step_milliseconds'][phase]:.1f}" for phase in PHASES))
        for part, found in _of_kind(done, "train")
        for loop, row in found["rows"].items()
    ]
    return _table(("a step's milliseconds, the device waited for after each phase", "loop", *PHASES), rows)


def _prediction(done: Mapping[str, Any]) -> str:
    rows = [
        (
            f"`{part.removeprefix('predict-')}`",
            found["batch"],
            found["tokens"],
            f"{found['ours']:.0f}",
            f"{found['generate']:.0f}",
            f"{found['ratio']:.2f} ({found['least']:.2f} to {found['most']:.2f})",
        )
        for part, found in _of_kind(done, "predict")
    ]
    return _table(("prediction by", "batch", "tokens", "ours, tokens/s", "`generate()`, tokens/s", "ratio (least to most)"), rows)


def _frames(done: Mapping[str, Any]) -> str:
    rows = [
        (part.removeprefix("render-").upper(), found["frames"], f"{found['seconds']:.1f}", f"{found['frames_per_second']:.2f}")
        for part, found in _of_kind(done, "render")
    ]
    return _table(("frames of 320x240, `draft`, on the", "frames", "seconds, start-up included", "frames/s"), rows)


def _without(results: Mapping[str, Any]) -> str:
    reasons = [(part, found.get("failed") or found.get("skipped")) for part, found in results.items()]
    return _table(("without figures", "why"), [(f"`{part}`", reason.replace("|", "/")) for part, reason in reasons if reason])


def _of_kind(done: Mapping[str, Any], kind: str) -> list[tuple[str, Any]]:
    return [(part, found) for part, found in done.items() if part.startswith(kind)]


def _table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; empty without rows."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(tuple(head)) + "|", *lines[1:]]) if len(lines) > 1 else ""
