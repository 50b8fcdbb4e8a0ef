"""The labels' masks and depth compared with Cycles' own passes: a short form of benchmarks/masks.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

BENCHMARK = ROOT / "benchmarks" / "masks.py"


OWN = {"front": {"location": [0, -11, 5]}, "back": {"location": [3, 10, 6]}, "wide": {"location": [-4, -5, 7], "lens_mm": 15}}


@pytest.mark.parametrize(
    ("flags", "cameras", "least_iou", "farthest"),
    [
        ([], {}, 0.9, 150.0),
        (["--sharp"], {}, 0.98, 50.0),
        (["--sharp"], OWN, 0.97, 50.0),
        (["--sharp", "--split", "any-view"], {}, 0.97, 50.0),
    ],
)
def test_labels_agree_with_cycles_own_passes(
    flags: list[str], cameras: dict[str, Any], least_iou: float, farthest: float, tmp_path: Path
) -> None:
    """Cycles' cubes and cylinders have rounded edges, unlike the labels': masks differ by some 3 %, and depth there by at most 15 cm.

    People's own cameras have their own backdrop, in Cycles as in the labels."""
    path, file = tmp_path / "figures.json", tmp_path / "cameras.json"
    file.write_text(json.dumps(cameras))
    command = [
        sys.executable,
        BENCHMARK,
        "--num",
        "4" if cameras else "2",
        "--json",
        path,
        *flags,
        *(["--cameras", file] if cameras else []),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    figures = json.loads(path.read_text())
    assert figures["same owner away from edges"] > 0.9999
    assert figures["same owner"] > 0.995
    assert figures["least IoU"] > least_iou
    assert figures["mean IoU of spheres"] > 0.99
    assert figures["objects: median depth off (mm)"] < 0.5
    assert figures["objects: largest depth off (mm)"] < farthest
    assert figures["ground: largest depth off (mm)"] < 1
