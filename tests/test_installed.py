"""The package as pip installs it: mypy finds its types from other people's programs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from environments import Environment
from places import ROOT

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "igllm.py", "datagen", "blender_scenes", "model", "render")
OUTSIDE = """\
from pathlib import Path

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.samples.settings import DatasetSettings
from model.preset import get_preset
from render.rerender import Standard

scene = parse_code(Path("scene.py").read_text(), get_domain("clevr"))
first: str = scene.objects[0].statement
settings = DatasetSettings(width="wide")  # an error
steps = get_preset(1)  # an error
shot = Standard(quality="perfect")  # an error
objects: int = scene  # an error
"""


@pytest.mark.slow
def test_types_of_the_installed_package_reach_an_outside_program(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    environment = Environment(tmp_path / "environment")
    installed = environment.run("pip install --no-deps ./source", tmp_path)
    assert installed.returncode == 0, installed.stderr
    program = tmp_path / "outside.py"
    program.write_text(OUTSIDE)
    checked = environment.run("mypy --strict --config-file= outside.py", tmp_path)
    found = [int(line) for line in re.findall(r"^outside\.py:(\d+): error", checked.stdout, re.MULTILINE)]
    assert found == [number for number, line in enumerate(OUTSIDE.splitlines(), 1) if "# an error" in line], checked.stdout
