"""What quality costs: the same scenes at many settings of Cycles, scored against a reference of 2,048 samples a pixel.

    python benchmarks/quality.py --out OUT [--scenes 20] [--seed 2026]

Prints a table and writes ``quality.md``, ``quality.json`` and ``quality.png`` into OUT. Every picture is kept there, so that a second
call goes on where the first stopped: the references take hours on two cores. Reference and CLEVR's defaults take no shortcut (8 bounces,
Cycles' own sampling, no denoiser), and the reference has another noise seed. Seconds are processor time, one pinned process per core,
start-up not counted; "as fast" is CLEVR's seconds over a setting's.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from bare import Frame, bare_processes, render_side_by_side
from matplotlib.figure import Figure
from PIL import Image

from blender_scenes.quality import QUALITY, Settings
from datagen.io.files import atomic_file, write_bytes, write_json
from datagen.samples.settings import DatasetSettings
from render.images import score_images

REFERENCES = Path(__file__).with_name("references")
"""References, ``SEED/INDEX.png``, that this command rendered. They are kept in the repository because they take hours."""
REFERENCE = "reference"
CLEVR = "CLEVR's defaults"
MEASURES = ("ssim", "flip", "psnr")


def settings_to_try() -> dict[str, Settings]:
    """Every setting by name; the presets are among them."""
    draft, standard = QUALITY["draft"], QUALITY["standard"]
    even = replace(standard, samples=16, adaptive=None)
    tried = {REFERENCE: QUALITY["reference"], CLEVR: Settings(512)}
    for samples in (1, 2, 3, 4, 8):
        tried[f"{samples} as draft"] = replace(draft, samples=samples)
    tried["1 as draft, Sobol, light tree"] = replace(draft, samples=1, pattern="TABULATED_SOBOL", light_tree=True)
    tried["2 as draft, Sobol"] = replace(draft, pattern="TABULATED_SOBOL")
    tried["2 as draft, light tree"] = replace(draft, light_tree=True)
    for samples in (8, 16):
        tried[f"{samples} even"] = replace(even, samples=samples)
    tried["16 even, balanced"] = replace(even, denoiser="BALANCED")
    tried["16 even, fast guides"] = replace(even, prefilter="FAST")
    tried["16 even, blue noise"] = replace(even, pattern="AUTOMATIC")
    tried["16 even, roulette"] = replace(even, roulette=True)
    tried["16 even, whole lamps"] = replace(even, lamp_parts=False)
    tried["18 high, raw guides, nothing else"] = Settings(18, "HIGH", prefilter="NONE", light_tree=False)
    tried["16 to 256, adaptive"] = standard
    tried["16 to 64, adaptive"] = replace(standard, samples=64)
    return tried


def main() -> None:
    """Render what is missing, score it, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    tried = settings_to_try()
    data = DatasetSettings(seed=options.seed)
    frames = [
        Frame(data, index, asdict(cycles), picture(options.out, name, index), fresh_noise=name == REFERENCE)
        for index in range(options.scenes)
        for name, cycles in tried.items()
    ]
    take_references(options.out, options.seed, options.scenes)
    render_missing(frames)
    rows = [row(options.out, name, options.scenes) for name in tried if name != REFERENCE]
    write_json(options.out / "quality.json", {"scenes": options.scenes, "seed": options.seed, "rows": rows})
    table = table_text(rows, tried)
    write_bytes(options.out / "quality.md", table.encode())
    with atomic_file(options.out / "quality.png") as stream:
        plot(rows, tried).savefig(stream, format="png", dpi=110)
    print(table)


def picture(out: Path, name: str, index: int) -> Path:
    """The path of the picture of a scene at a setting; a .json beside it holds its times."""
    return out / name.replace(" ", "-").replace(",", "").replace("'", "") / f"{index:03d}.png"


def take_references(out: Path, seed: int, scenes: int) -> None:
    """Copy the repository's references to where rendered ones would be."""
    for index in range(scenes):
        taken = picture(out, REFERENCE, index)
        kept = REFERENCES / str(seed) / taken.name
        if kept.exists() and not taken.exists():
            taken.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, taken)
            write_json(taken.with_suffix(".json"), {})


def render_missing(frames: list[Frame]) -> None:
    """Render the frames whose times are not known yet, scene after scene, so that other load slows all settings alike."""
    missing = [frame for frame in frames if frame.save and not frame.save.with_suffix(".json").exists()]
    if not missing:
        return
    for frame in missing:
        frame.save.parent.mkdir(parents=True, exist_ok=True)
    with bare_processes() as processes:
        render_side_by_side(processes, missing, keep_times)


def keep_times(frame: Frame, times: dict[str, float]) -> None:
    """Write the times beside the picture; this file marks the frame as done."""
    if frame.save:
        write_json(frame.save.with_suffix(".json"), times)


def row(out: Path, name: str, scenes: int) -> dict[str, Any]:
    """A setting's mean scores over the scenes and its mean seconds a frame."""
    scores, seconds = [], []
    for index in range(scenes):
        path = picture(out, name, index)
        scores.append(score_images(pixels(picture(out, REFERENCE, index)), pixels(path)).to_json())
        seconds.append(json.loads(path.with_suffix(".json").read_text())["cpu_seconds"])
    means = {measure: float(np.mean([score[measure] for score in scores])) for measure in MEASURES}
    return {"setting": name, "seconds": float(np.mean(seconds)), **means}


def pixels(path: Path) -> np.ndarray:
    """The pixels of an image file, (height, width, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def preset_of(settings: Settings) -> str | None:
    """The preset that has these settings, if any."""
    return next((name for name, preset in QUALITY.items() if preset == settings), None)


def table_text(rows: list[dict[str, Any]], tried: dict[str, Settings]) -> str:
    """The rows as Markdown, the slowest first."""
    clevr = next(row["seconds"] for row in rows if row["setting"] == CLEVR)
    lines = ["| setting | preset | seconds | as fast | SSIM | FLIP | PSNR |", "|---|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: -row["seconds"]):
        preset = preset_of(tried[row["setting"]]) or ""
        times = f"{row['seconds']:.3f} | {clevr / row['seconds']:.0f}"
        lines.append(f"| {row['setting']} | {preset} | {times} | {row['ssim']:.4f} | {row['flip']:.4f} | {row['psnr']:.2f} |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]], tried: dict[str, Settings]) -> Figure:
    """Plot each measure over seconds per frame: the two families of settings that differ in samples alone as lines, all others as dots."""
    figure = Figure(figsize=(15, 5), layout="constrained")
    loss = [{**row, "ssim": 1 - row["ssim"]} for row in rows]
    titles = {"ssim": "1 - SSIM (less is better)", "flip": "FLIP (less is better)", "psnr": "PSNR in dB (more is better)"}
    for axes, measure in zip(figure.subplots(1, 3), MEASURES, strict=True):
        for name, color in ((" as draft", "tab:blue"), (" even", "tab:green")):
            family = sorted(
                (row for row in loss if row["setting"] == f"{tried[row['setting']].samples}{name}"), key=lambda row: row["seconds"]
            )
            axes.plot([row["seconds"] for row in family], [row[measure] for row in family], "o-", color=color, label=f"N{name}")
        axes.plot([row["seconds"] for row in loss], [row[measure] for row in loss], ".", color="gray", zorder=0, label="other settings")
        for row in loss:
            preset = preset_of(tried[row["setting"]])
            if preset or tried[row["setting"]].denoiser is None:
                axes.plot(row["seconds"], row[measure], "D", color="tab:orange" if preset else "tab:red", markersize=9)
                label = f"{preset} ({row['setting']})" if preset else row["setting"]
                side = {"xytext": (-6, 8), "ha": "right"} if row["setting"] == CLEVR else {"xytext": (8, 6), "ha": "left"}
                axes.annotate(label, (row["seconds"], row[measure]), textcoords="offset points", fontsize=9, **side)
        axes.set_xscale("log")
        if measure != "psnr":
            axes.set_yscale("log")
        axes.set_xlabel("seconds a frame (320x240, one core)")
        axes.set_title(titles[measure])
        axes.grid(alpha=0.3, which="both")
        axes.margins(x=0.1)
    axes.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    main()
