"""Paths in the repository that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
FAULTS = ROOT / "tests" / "faults"
SUPPORT = ROOT / "tests" / "support"
MINI = SUPPORT / "mini.toml"
