"""The guide to new domains, followed to the letter: its files are written, and its commands run one after another.

In the quick test they run in one process, once the package is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from environments import Environment
from places import DOCS, EXAMPLES

from datagen.shards.reader import Samples

GUIDE = DOCS / "new-domain.md"
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the guide's files, as the example writes them."""
    made = tmp_path / "package"
    subprocess.run([sys.executable, EXAMPLES / "own_domain" / "own_domain.py", made], check=True)
    return made


def test_the_guide_leads_a_domain_from_outside_once_around(package: Path, tmp_path: Path) -> None:
    assert {path.name for path in package.iterdir()} == {"tetra.py", "tetra_builder.py", "pyproject.toml", "test_tetra.py", "scene.py"}
    environment = Environment(tmp_path / "environment")
    install, *commands = [line for block in COMMANDS.findall(GUIDE.read_text()) for line in block.splitlines()]
    for done in (environment.run(install, package), environment.run_in_one_process(commands, package)):
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
