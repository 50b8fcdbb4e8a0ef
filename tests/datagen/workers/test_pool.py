"""The pool: what becomes of jobs when workers crash, hang, are killed, or never start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from places import FAULTS

import datagen.workers.jobs as jobs_module
import datagen.workers.pool as pool_module
import datagen.workers.process as process_module
from datagen.errors import UserError
from datagen.io.files import read_jsonl
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Object, Scene
from datagen.shards.reader import Samples
from datagen.workers.cores import CoreClaims, available_cores
from datagen.workers.gpus import Gpu
from datagen.workers.jobs import DrawJob, RenderJob
from datagen.workers.kernels import Kernels
from datagen.workers.pool import BlenderWorker, RenderPool
from igllm import main
from render.images import same_image

TINY = DatasetSettings(seed=5, width=48, height=36, quality="draft", min_objects=1, max_objects=2)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[int, str]], Path]:
    """A function that lets workers misbehave at these indices, by default without Blender; returns the folder in which they log it."""

    def inject(by_index: dict[int, str], worker: str = "faulty_plain_worker") -> Path:
        monkeypatch.setenv("FAULTS", json.dumps(by_index))
        monkeypatch.setenv("FAULTS_FOLDER", str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.setattr(process_module, "WORKER", worker)
        return tmp_path

    return inject


def test_crashes_and_hangs_cost_only_their_own_scene(faults: Callable[[dict[int, str]], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    log_folder = faults({1: "crash", 2: "crash once", 3: "hang once"})
    # Only the attempt that hangs has a short limit: the others may take long on a busy machine.
    monkeypatch.setattr(DrawJob, "patience", property(lambda job: 3.0 if job.index == 3 and not (log_folder / "3").exists() else 600.0))
    with RenderPool(1) as pool:
        outcomes = {job.index: outcome for job, outcome in pool.render(DrawJob(TINY, index) for index in range(5))}
    assert {index for index, outcome in outcomes.items() if isinstance(outcome, EncodedSample)} == {0, 2, 3, 4}
    crashed = outcomes[1]
    assert isinstance(crashed, UserError)
    assert "status -11 (SIGSEGV)" in str(crashed)
    assert "\n" not in str(crashed)
    tried = [len((log_folder / str(index)).read_text().splitlines()) for index in (1, 2, 3)]
    assert tried == [2, 1, 1]


def test_a_hang_that_lasts_is_a_failure_that_says_so(faults: Callable[[dict[int, str]], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    faults({0: "hang"})
    monkeypatch.setattr(jobs_module, "FRAME_SECONDS", 1.5)
    with RenderPool(1) as pool:
        [(_, outcome)] = pool.render([DrawJob(TINY, 0)])
    assert isinstance(outcome, UserError)
    assert "said nothing for 3 s" in str(outcome)  # 1.5 s and a millisecond for each pixel


def test_where_every_scene_fails_the_run_ends_early(faults: Callable[[dict[int, str]], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    faults(dict.fromkeys(range(50), "crash"))
    monkeypatch.setattr(pool_module, "HOPELESS", 2)
    with RenderPool(1) as pool, pytest.raises(UserError, match="the first 2 scenes failed"):
        list(pool.render(DrawJob(TINY, index) for index in range(50)))


def test_a_hung_worker_ends_with_its_parent(tmp_path: Path) -> None:
    code = "from datagen.workers.jobs import *; from datagen.workers.pool import *\n"
    code += "import datagen.workers.process; datagen.workers.process.WORKER = 'faulty_plain_worker'\n"
    code += "with RenderPool(1) as pool: list(pool.render([DrawJob(DatasetSettings(width=48, height=36), 0)]))"
    path = os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "FAULTS": '{"0": "hang"}', "FAULTS_FOLDER": str(tmp_path), "PYTHONPATH": path}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    log = tmp_path / "0"
    until = time.monotonic() + 600
    while not (log.exists() and log.read_text()) and time.monotonic() < until:
        time.sleep(0.1)
    worker = int(log.read_text())
    os.kill(worker, 0)  # raises an error unless the worker lives
    parent.kill()
    parent.wait()
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_settings_are_stated_once_and_again_when_they_change_or_a_job_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS", str(tmp_path / "requests"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(process_module, "WORKER", "plain_worker")
    other = replace(TINY, seed=6)
    order = [(TINY, 0), (TINY, 1), (other, 0), (other, 13), (other, 2), (TINY, 2), (TINY, 3)]
    jobs = [DrawJob(settings, index) for settings, index in order]
    with RenderPool(1) as pool:
        for job in jobs:
            list(pool.render([job]))
    requests = read_jsonl(tmp_path / "requests")
    assert [request["index"] for request in requests] == [job.index for job in jobs]
    seeds = [request.get("settings", {}).get("seed") for request in requests]
    assert seeds == [5, None, 6, None, 6, 5, None]


def test_what_is_not_done_in_time_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS", str(tmp_path / "requests"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(process_module, "WORKER", "plain_worker")
    with RenderPool(1) as pool:
        assert list(pool.render([DrawJob(TINY, 0)], seconds=0.0)) == []  # no worker has started yet
        [(job, outcome)] = pool.render([DrawJob(TINY, 1)], seconds=600.0)
    assert job.index == 1
    assert isinstance(outcome, EncodedSample)


def test_a_killed_worker_is_replaced_and_its_job_done(renders: Samples) -> None:
    sample = renders[renders.keys[0]]
    job = RenderJob("a", sample.scene, sample.shot)
    with RenderPool(1) as pool:
        [(_, before)] = pool.render([job])
        os.kill(pool.pids[0], signal.SIGKILL)
        [(_, after)] = pool.render([job])
    assert isinstance(before, EncodedSample)
    assert isinstance(after, EncodedSample)
    before, after = before.decoded(), after.decoded()
    assert same_image(before.pixels(), after.pixels())
    assert same_image(before.pixels(), sample.pixels())
    assert after.code == sample.code
    assert after.record["labels"] == sample.record["labels"]


def test_a_scene_that_blender_refuses_is_a_failure(renders: Samples) -> None:
    sample = renders[renders.keys[0]]
    stranger = Scene("clevr", (Object("add", {**sample.scene.objects[0].values, "shape": "cone"}),))
    with RenderPool(1) as pool:
        [(_, outcome)] = pool.render([RenderJob("seventeen", stranger, sample.shot)])
    assert isinstance(outcome, UserError)
    assert "cone" in str(outcome)


def test_a_blender_that_never_starts_is_told(renders: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = renders[renders.keys[0]]
    monkeypatch.setattr(process_module, "WORKER", "no_such_worker")
    with RenderPool(1) as pool, pytest.raises(UserError, match=r"no_such_worker[\s\S]*igllm doctor"):
        list(pool.render([RenderJob("a", sample.scene, sample.shot)]))
    BlenderWorker([0], None, Kernels()).close()  # closing a worker that never started is no error


def test_pools_side_by_side_take_different_cores_while_there_are_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("datagen.workers.cores.available_cores", lambda: [0, 1, 4, 5])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one, other = CoreClaims(), CoreClaims()
    assert one.claim(1, 2) == [[0, 1]]
    assert other.claim(3, 1) == [[4], [5], [0]]  # and the third shares a core
    one.release()
    assert CoreClaims().claim(1, 9) == [[0, 1, 4, 5]]
    other.release()
    assert CoreClaims().claim(6, 1) == [[0], [1], [4], [5], [0], [1]]


def test_by_default_a_worker_a_core_and_with_gpus_one_a_device() -> None:
    with RenderPool() as pool:
        assert len(pool._workers) == len(available_cores())
    cards = [Gpu("OPTIX", "card 0", "A"), Gpu("OPTIX", "card 1", "B")]
    with RenderPool(gpus=cards) as pool:
        assert [worker._arguments[-3:] for worker in pool._workers] == [["--gpu", "OPTIX", "card 0"], ["--gpu", "OPTIX", "card 1"]]


def test_a_scene_that_kills_blender_is_set_aside_and_tried_again(
    faults: Callable[[dict[int, str]], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults({2: "crash"}, "faulty_worker")
    command = ["generate", "--num", "5", "--seed", "5", "--width", "48", "--height", "36", "--quality", "draft", "--max-objects", "3"]
    command += ["--out", str(tmp_path / "data"), "--workers", "1", "--captions", "--depth", "--format", "webp"]
    assert main(command) == 1
    assert "1 of 5 scenes could not be rendered" in capsys.readouterr().err
    [failure] = read_jsonl(tmp_path / "data" / "failures.jsonl")
    assert (failure["index"], failure["seed"], failure["key"]) == (2, 5, "000000002")
    assert "status -11" in failure["reason"]
    assert Samples(tmp_path / "data").keys == [f"{index:09d}" for index in (0, 1, 3, 4)]
    monkeypatch.setattr(process_module, "WORKER", "blender_scenes.worker")
    assert main(command) == 0
    assert not (tmp_path / "data" / "failures.jsonl").exists()
    samples = Samples(tmp_path / "data")
    assert len(samples) == 5
    assert list(samples["000000002"].files()) == [".webp", ".py", ".json", ".txt", ".depth.npy"]
    assert main(["verify", str(tmp_path / "data")]) == 0
