"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from places import EXAMPLES

PROGRAMS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda path: path.name)
def test_an_example_runs_and_says_something(example: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-P", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "add(loc=(" in done.stdout
    assert Path(done.stdout.split()[-1]).is_file()
    assert len(example.read_text().splitlines()) <= 20
