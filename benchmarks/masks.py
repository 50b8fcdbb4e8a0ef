"""How closely the labels' masks and depth agree with Cycles' own passes through the pixels' centres.

    python benchmarks/masks.py [--num 20] [--seed 0] [--width 320] [--height 240] [--split default] [--cameras FILE]
        [--sharp] [--json FILE]

Labels are cast against exact solids; Cycles meets meshes, whose edges are bevelled and whose round sides are facets. So the two must
differ where a silhouette passes near a pixel's centre, and in depth on bevels. The table shows by how much; with --sharp, how much of
that remains when the meshes have no bevels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from datagen.domains.registry import get_domain
from datagen.samples.cameras import load_cameras
from datagen.samples.depth import depth_map
from datagen.samples.draw import Drawn, draw
from datagen.samples.settings import DatasetSettings

PASSES = Path(__file__).with_name("passes.py")


def cycles_passes(samples: list[Drawn], folder: Path, sharp: bool) -> list[dict[str, np.ndarray]]:
    """Cycles' ``owner`` and ``depth`` of every sample (see passes.py), from a separate process."""
    requests = "".join(json.dumps({"scene": s.scene.to_json(), "shot": s.shot.to_json()}) + "\n" for s in samples)
    command = [sys.executable, str(PASSES), str(folder), *(["sharp"] if sharp else [])]
    subprocess.run(command, input=requests, text=True, check=True, stdout=subprocess.DEVNULL)
    return [dict(np.load(folder / f"{number}.npz")) for number in range(len(samples))]


def near_edge(owner: np.ndarray) -> np.ndarray:
    """Whether one of a pixel's eight neighbours has another owner, (height, width) bool."""
    padded = np.pad(owner, 1, mode="edge")
    height, width = owner.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.any([other != owner for other in shifted], axis=0)


def agreement(samples: list[Drawn], seen: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """All figures of agreement, over all samples."""
    overlaps, wrong, edge_wrong, edges, pixels = [], 0, 0, 0, 0
    kinds: dict[str, list[float]] = {"cube": [], "sphere": [], "cylinder": []}
    gaps: dict[str, list[np.ndarray]] = {"objects": [], "ground": []}
    for sample, cycles in zip(samples, seen, strict=True):
        owner = sample.view.owner
        differs, edge = owner != cycles["owner"], near_edge(owner)
        wrong, edge_wrong, edges, pixels = (
            wrong + differs.sum(),
            edge_wrong + (differs & edge).sum(),
            edges + edge.sum(),
            pixels + owner.size,
        )
        for index, obj in enumerate(sample.scene):
            ours, theirs = owner == index, cycles["owner"] == index
            overlaps.append((ours & theirs).sum() / (ours | theirs).sum())
            kinds[obj["shape"]].append(overlaps[-1])
        depth = depth_map(sample.view, sample.shot.viewpoint, get_domain(sample.scene.domain))
        assert (np.isinf(depth) == np.isinf(cycles["depth"])).all()
        for what, where in (("objects", owner >= 0), ("ground", (owner < 0) & np.isfinite(depth))):
            gaps[what].append(np.abs(depth[where & ~differs] - cycles["depth"][where & ~differs]))
    return {
        "scenes": len(samples),
        "objects": len(overlaps),
        "same owner": 1 - wrong / pixels,
        "same owner away from edges": 1 - (wrong - edge_wrong) / (pixels - edges),
        "differing pixels a scene": wrong / len(samples),
        "mean IoU": float(np.mean(overlaps)),
        "least IoU": float(np.min(overlaps)),
        **{f"mean IoU of {kind}s": float(np.mean(found)) for kind, found in kinds.items() if found},
        **{
            f"{what}: {name} depth off (mm)": 1000 * float(of(np.concatenate(gap)))
            for what, gap in gaps.items()
            for name, of in _SPREAD.items()
        },
    }


_SPREAD = {"median": np.median, "99th percentile of": lambda gap: np.quantile(gap, 0.99), "largest": np.max}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("num", 20), ("seed", 0), ("width", 320), ("height", 240)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--split", default="default", help="any-view: cameras all around")
    parser.add_argument("--cameras", type=Path, help="JSON file of cameras (default: CLEVR's)")
    parser.add_argument("--sharp", action="store_true", help="meshes without bevels")
    parser.add_argument("--json", type=Path, help="file for the figures as JSON")
    options = parser.parse_args()
    cameras = load_cameras(options.cameras) if options.cameras else ()
    settings = DatasetSettings(seed=options.seed, split=options.split, width=options.width, height=options.height, cameras=cameras)
    samples = [draw(settings, index) for index in range(options.num)]
    with tempfile.TemporaryDirectory() as folder:
        figures = agreement(samples, cycles_passes(samples, Path(folder), options.sharp))
    for name, figure in figures.items():
        print(f"{name:45} {figure:.6g}")
    print("\nPixels that differ lie on silhouettes: the meshes' edges are rounded, the labels' are sharp (compare --sharp).")
    if options.json:
        options.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
