"""A short call of benchmarks/faults.py: after kills in several phases, the results equal undisturbed ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

CAMPAIGN = ROOT / "benchmarks" / "faults.py"


@pytest.mark.slow
def test_kills_in_every_quick_phase_cost_nothing(tmp_path: Path) -> None:
    phases = ["spool", "shards", "merge", "export", "import"]
    command = [sys.executable, str(CAMPAIGN), "--out", str(tmp_path / "out"), "--dots", "120", "--kills", "2", "--phases", ",".join(phases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0].removeprefix("| ") for row in rows] == phases
    assert all(row[1] == "2 of the call" and row[-1] == "equal |" for row in rows)
