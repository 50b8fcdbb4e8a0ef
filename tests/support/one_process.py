"""Programs run one after another in one new process: it loads torch once, and its Blender processes outlive each program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PROGRAM = """
import json, runpy, sys

sys.path.append(sys.argv[1])  # behind all else
from warm_workers import keeping_workers

calls = json.loads(sys.argv[2])
with keeping_workers():
    for sys.argv in calls:
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise SystemExit(f"{sys.argv}: status {end.code}")
"""


def run_in_one_process(
    calls: Sequence[Sequence[object]], folder: Path, *, python: Path | str = sys.executable, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run programs of Python, each given with its arguments, in a folder, up to the first that fails."""
    words = json.dumps([list(map(str, call)) for call in calls])
    command = [str(python), "-P", "-c", _PROGRAM, str(Path(__file__).parent), words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
