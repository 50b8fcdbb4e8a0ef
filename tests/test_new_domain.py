"""The guide to new domains, followed to the letter: its files are written, and its commands run one after another."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from environments import Environment
from outside_packages import Site
from places import DOCS, EXAMPLES

from datagen.shards.reader import Samples
from igllm import main

GUIDE = DOCS / "new-domain.md"
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {"tetra.py", "tetra_builder.py", "pyproject.toml", "test_tetra.py", "scene.py"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the guide's files, as the example writes them."""
    made = tmp_path / "package"
    subprocess.run([sys.executable, EXAMPLES / "own_domain" / "own_domain.py", made], check=True)
    return made


def test_its_domain_keeps_what_domains_promise_and_its_scene_is_rendered(
    package: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, with the package on the path as pip leaves it there."""
    assert {path.name for path in package.iterdir()} == FILES
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    modules = {name: (package / f"{name}.py").read_text() for name in ("tetra", "tetra_builder")}
    site.bring(project["name"], project["entry-points"]["igllm.domains"], **modules)
    runpy.run_path(str(package / "test_tetra.py"), run_name="__main__")
    monkeypatch.chdir(package)
    [*_, render] = [line for block in COMMANDS.findall(GUIDE.read_text()) for line in block.splitlines()]
    assert main(render.split()[1:]) == 0
    assert (package / "drawn" / "scene.png").is_file()


@pytest.mark.slow
def test_the_guide_leads_a_domain_from_outside_once_around(package: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    install, *commands = [line for block in COMMANDS.findall(GUIDE.read_text()) for line in block.splitlines()]
    for done in (environment.run(install, package), environment.run_in_one_process(commands, package)):  # its commands in one process
        assert done.returncode == 0, (done.stdout, done.stderr)
    assert "data: 8 samples" in done.stdout
    archive = Samples.for_training(package / "data")
    records = [json.loads(archive.files(number)[".json"]) for number in range(8)]
    assert {record["domain"] for record in records} == {"tetra"}
    assert all(archive.files(number)[".py"].decode().startswith("tetra(loc=(") for number in range(8))
    metrics = json.loads((package / "report" / "metrics.json").read_text())
    assert (metrics["domain"], metrics["samples"], metrics["unparsable"]) == ("tetra", 8, 0)
    assert set(metrics["scene"]["accuracy_all"]) == {"color"}
    assert 0 <= metrics["scene"]["rotation_error"]["mean"] <= 60
    assert (package / "data" / "inspect" / "index.html").is_file()
    assert (package / "drawn" / "scene.png").is_file()


@pytest.mark.slow
def test_ranks_of_torchrun_and_workers_of_ray_find_it_too(package: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    environment = Environment(tmp_path / "environment")
    for commands in (
        "pip install -e .",
        "igllm generate --domain tetra --num 8 --seed 1 --out data --width 64 --height 48 --quality draft --shard-size 4",
        "igllm generate --domain tetra --num 8 --seed 1 --out ray --width 64 --height 48 --quality draft --shard-size 4 "
        "--executor ray --workers 2",
        "igllm verify ray",
        "igllm compare --reference data --candidate ray --out same",
        "torchrun --no-python --nproc-per-node 2 igllm train --data data --out run --steps 3 --batch-size 4 --device cpu",
        "igllm roundtrip --model run --data ray --out report --device cpu",
    ):
        done = environment.run(commands, package)
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
    same, report = (json.loads((package / name / "metrics.json").read_text()) for name in ("same", "report"))
    assert (same["scene"]["location_l2"], same["image"]["same"]) == (0, 1)
    assert (report["domain"], report["samples"], report["image"]["samples"]) == ("tetra", 8, 8)
