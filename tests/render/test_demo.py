"""The demo as a newcomer calls it: two pages, from the shipped weights and after training them further."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from igllm import main


@pytest.mark.slow
def test_the_demo_shows_new_scenes_and_trains_further(tmp_path: Path) -> None:
    assert main(["demo", "--out", str(tmp_path)]) == 0
    for report in ("report", "report-trained"):
        metrics = json.loads((tmp_path / report / "metrics.json").read_text())
        assert metrics["samples"] == 24
        assert metrics["scene"]["recall"] > 0.95
        assert min(metrics["scene"]["accuracy_all"].values()) > 0.85
        assert metrics["image"]["ssim"] > 0.9
        assert (tmp_path / report / "index.html").is_file()
