"""The labels' masks and depth beside what Cycles itself sees: a short form of benchmarks/masks.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "masks.py"


@pytest.mark.parametrize(("meshes", "least_iou", "farthest"), [([], 0.9, 150.0), (["--sharp"], 0.98, 50.0)])
def test_labels_agree_with_cycles_own_passes(meshes: list[str], least_iou: float, farthest: float, tmp_path: Path) -> None:
    """The rounded edges of cubes and cylinders cost their masks 3 % and lie up to some centimetres behind the labels' sharp ones."""
    path = tmp_path / "figures.json"
    subprocess.run([sys.executable, BENCHMARK, "--num", "2", "--json", path, *meshes], check=True, stdout=subprocess.DEVNULL)
    figures = json.loads(path.read_text())
    assert figures["same owner away from edges"] > 0.9999
    assert figures["same owner"] > 0.995
    assert figures["least IoU"] > least_iou
    assert figures["mean IoU of spheres"] > 0.99
    assert figures["objects: median depth off (mm)"] < 0.5
    assert figures["objects: largest depth off (mm)"] < farthest
    assert figures["ground: largest depth off (mm)"] < 1
