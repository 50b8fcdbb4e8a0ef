"""Generation on a Ray cluster of several nodes, all of them on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen.cluster import generate_on_ray
from datagen.errors import UserError
from datagen.generate import generate
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import MANIFEST
from datagen.shards.reader import Samples
from datagen.shards.verify import verify
from render.images import same_image

QUICK = DatasetSettings(seed=11, width=48, height=36, quality="draft", min_objects=2, max_objects=2, shard_size=4)


def test_without_ray_one_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'igllm\[ray\]'"):
        generate_on_ray(QUICK, 4, tmp_path)


def test_an_address_where_no_cluster_is_is_told(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(UserError, match="no Ray cluster answers there"):
            generate_on_ray(QUICK, 4, tmp_path / "out", address=address)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one CPU, and a head without CPUs, which runs no task, so that a killed task is on one of the nodes."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def same(one: Samples, other: Samples) -> None:
    """Assert that both have the same codes and records to the byte, and the same images."""
    assert one.keys == other.keys
    for key in one.keys:
        ours, theirs = one[key], other[key]
        assert {**ours.files(), ".png": b""} == {**theirs.files(), ".png": b""}
        assert same_image(ours.pixels(), theirs.pixels())


@pytest.mark.slow
def test_a_cluster_renders_what_one_machine_does_though_a_node_dies(cluster: Any, tmp_path: Path) -> None:
    out, num = tmp_path / "cluster", 24
    command = [sys.executable, "-P", "-m", "igllm", "generate", "--out", str(out), "--num", str(num)]
    command += ["--executor", "ray", "--ray-address", cluster.address, "--seed", "11", "--width", "48", "--height", "36"]
    command += ["--quality", "draft", "--shard-size", "4", "--min-objects", "2", "--max-objects", "2"]
    bait = tmp_path / "bait"  # a folder whose files have our packages' names
    (bait / "datagen").mkdir(parents=True)
    (bait / "datagen" / "__init__.py").write_text("raise SystemExit('the wrong datagen')\n")
    (bait / "bpy.py").write_text("raise SystemExit('the wrong bpy')\n")
    running = subprocess.Popen(command, cwd=bait, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    _kill_a_task_and_a_node(cluster, out, running)
    output = running.communicate(timeout=600)[0]
    assert running.returncode == 0, output
    assert verify(out).whole
    assert not verify(out).notes
    assert (out / MANIFEST).exists()
    same(Samples(out), generate(QUICK, num, tmp_path / "local", workers=1))


def _kill_a_task_and_a_node(cluster: Any, out: Path, running: subprocess.Popen[str]) -> None:
    """Once there are samples, kill a Ray worker by SIGKILL; once there is a shard, remove a node and add another."""
    _wait_for(lambda: any(out.glob(".spool/*.spool")), running)
    os.kill(_ray_tasks()[0], signal.SIGKILL)
    _wait_for(lambda: any(out.glob("shard-*.tar")), running)
    assert running.poll() is None
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    cluster.add_node(num_cpus=1)


def _wait_for(happened: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    while not happened() and running.poll() is None:
        time.sleep(0.05)


def _ray_tasks() -> list[int]:
    """The ids of the processes that run a task of igllm: Ray renames a process to its task."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and "ray::_render_shard" in _command(folder):
            found.append(int(folder.name))
    return found


def _command(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
