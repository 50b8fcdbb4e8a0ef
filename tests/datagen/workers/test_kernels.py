"""Compiling Blender's kernels for a GPU, without one: stand-ins for Blender and its driver compile, for as long as a test lets them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from gpu_machine import CARD, Inject, generate, lines, wait_for

import datagen.workers.kernels as kernels_module
import datagen.workers.pool as pool_module
import datagen.workers.process as process_module
from datagen import doctor
from datagen.errors import UserError
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import STATEMENT
from datagen.shards.reader import Samples
from datagen.workers.cores import available_cores
from datagen.workers.jobs import DrawJob
from datagen.workers.kernels import Kernels, driver_caches
from datagen.workers.pool import RenderPool
from igllm import main

TINY = DatasetSettings(seed=5, width=48, height=36, quality="draft", min_objects=1, max_objects=2)
COMPILING = "note: compiling Blender's kernels for Card: once, some minutes\n"
WAITING = "note: waiting for another call, which compiles Blender's kernels for Card: once, some minutes\n"


def ignoring(error: type[Exception], function: Callable[..., object], *arguments: object) -> None:
    with suppress(error):
        function(*arguments)


def rendered(pool: RenderPool, indices: Iterable[int] = range(6)) -> dict[int, EncodedSample | UserError]:
    return {job.index: outcome for job, outcome in pool.render(DrawJob(TINY, index) for index in indices)}


def whole(outcomes: dict[int, EncodedSample | UserError]) -> bool:
    return sorted(outcomes) == list(range(6)) and all(isinstance(outcome, EncodedSample) for outcome in outcomes.values())


@pytest.mark.parametrize("seconds", [2.0, pytest.param(310.0, marks=pytest.mark.slow)])
def test_compiling_much_longer_than_a_job_may_take_loses_nothing_and_is_done_once(
    gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: float
) -> None:
    folder = gpu_machine(card_0="wait")
    if seconds < process_module.START_SECONDS:  # a twentieth of it, for jobs that are sent before a worker is ready
        monkeypatch.setattr(DrawJob, "patience", property(lambda job: 600.0 if (folder / "release").exists() else 0.1))
    outcomes: dict[int, EncodedSample | UserError] = {}
    with RenderPool(3, gpus=[CARD]) as pool:
        rendering = threading.Thread(target=lambda: outcomes.update(rendered(pool)))
        rendering.start()
        wait_for(lambda: lines(folder / "compilations"))
        time.sleep(seconds)
        assert not outcomes
        (folder / "release").touch()
        rendering.join()
    assert whole(outcomes)
    assert capsys.readouterr().err == COMPILING
    assert len(lines(folder / "compilations")) == 1
    [compiler, *workers] = lines(folder / "ready")
    assert compiler == "all"  # it is not pinned, as the others are
    assert set(workers) <= {str(core) for core in available_cores()}
    with RenderPool(1, gpus=[CARD]) as pool:  # another call finds the kernels
        assert whole(rendered(pool))
    assert len(lines(folder / "compilations")) == 1
    assert capsys.readouterr().err == ""


def test_of_two_calls_at_once_one_compiles_and_the_other_waits(gpu_machine: Inject, capsys: pytest.CaptureFixture[str]) -> None:
    folder = gpu_machine(card_0="wait")
    outcomes: list[dict[int, EncodedSample | UserError]] = []

    def call() -> None:
        with RenderPool(2, gpus=[CARD]) as pool:
            outcomes.append(rendered(pool))

    calls = [threading.Thread(target=call) for _ in range(2)]
    told = ""
    for each in calls:
        each.start()
    while sorted(told.splitlines(keepends=True)) != [COMPILING, WAITING]:
        told += capsys.readouterr().err
        time.sleep(0.01)
    (folder / "release").touch()
    for each in calls:
        each.join()
    assert [whole(found) for found in outcomes] == [True, True]
    assert len(lines(folder / "compilations")) == 1
    assert capsys.readouterr().err == ""


def test_a_worker_that_dies_while_it_compiles_is_replaced(gpu_machine: Inject) -> None:
    folder = gpu_machine(card_0="dies once")
    with RenderPool(2, gpus=[CARD]) as pool:
        assert whole(rendered(pool))
    assert len(lines(folder / "compilations")) == 2


def test_kernels_that_cannot_be_compiled_are_one_message(gpu_machine: Inject, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu_machine(card_0="dies")
    assert main([*generate(tmp_path), "--device", "gpu"]) == 2
    error = capsys.readouterr().err
    assert "Blender's kernels for Card cannot be compiled: the Blender worker ended with status 3" in error
    assert "a driver without luck" in error
    assert "--device cpu" in error


def test_compiling_without_end_is_one_message(gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu_machine(card_0="wait")
    monkeypatch.setattr(kernels_module, "COMPILING_SECONDS", 0.0)
    with RenderPool(2, gpus=[CARD]) as pool, pytest.raises(UserError, match=r"not compiled within 0 min[\s\S]*doctor --compile"):
        rendered(pool)


def test_leaving_a_pool_ends_the_compiler(gpu_machine: Inject) -> None:
    folder = gpu_machine(card_0="wait")
    with pytest.raises(KeyboardInterrupt), RenderPool(2, gpus=[CARD]) as pool:
        thread = threading.Thread(target=ignoring, args=[UserError, rendered, pool])
        thread.start()
        wait_for(lambda: lines(folder / "compilations"))
        raise KeyboardInterrupt
    thread.join()
    [compiler] = lines(folder / "compilations")
    with pytest.raises(ProcessLookupError):
        os.kill(int(compiler), 0)


def test_a_stamp_that_lies_costs_a_second_compilation_and_no_sample(
    gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = gpu_machine(card_0="")
    with Kernels() as kernels:
        stamp = kernels.ensure(CARD)
        assert kernels.known(CARD) == kernels.ensure(CARD) == stamp
    (folder / "kernels").unlink()  # the driver has lost them
    gpu_machine(card_0="wait")
    monkeypatch.setattr(pool_module, "FIRST_FRAME_SECONDS", 0.0)
    outcomes: dict[int, EncodedSample | UserError] = {}
    capsys.readouterr()
    with RenderPool(1, gpus=[CARD]) as pool:
        rendering = threading.Thread(target=lambda: outcomes.update(rendered(pool)))
        rendering.start()
        told = ""
        while COMPILING not in told:
            told += capsys.readouterr().err
            time.sleep(0.01)
        (folder / "release").touch()
        rendering.join()
    assert whole(outcomes)
    with Kernels() as kernels:
        assert kernels.known(CARD) not in {None, stamp}


def test_a_call_killed_while_it_compiles_is_called_again(gpu_machine: Inject, tmp_path: Path) -> None:
    folder = gpu_machine(card_0="wait")
    command = [*generate(tmp_path), "--device", "gpu"]
    program = (
        "import sys, datagen.generate as g, datagen.workers.process as p, datagen.workers.kernels as k\n"
        "from datagen.workers.gpus import Gpu\n"
        "p.WORKER, p.TELL_SECONDS, k.TELL_SECONDS = 'compiling_worker', 0.0, 0.0\n"
        f"g.named_gpus = lambda: [{CARD!r}]\n"
        "from igllm import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    call = subprocess.Popen([sys.executable, "-c", program, *command], stderr=subprocess.PIPE, text=True)
    assert call.stderr is not None
    assert call.stderr.readline() == COMPILING
    wait_for(lambda: lines(folder / "compilations"))
    call.send_signal(signal.SIGKILL)
    call.communicate()
    [compiler] = lines(folder / "compilations")
    wait_for(lambda: not Path(f"/proc/{compiler}").exists())
    (folder / "release").touch()
    assert main(command) == 0
    assert len(lines(folder / "compilations")) == 2
    assert len(Samples(tmp_path / "data")) == 6
    assert json.loads((tmp_path / "data" / STATEMENT).read_text())["device"] == "HIP"
    assert main(["verify", str(tmp_path / "data")]) == 0


def test_a_worker_that_prints_before_it_answers(gpu_machine: Inject) -> None:
    gpu_machine(card_0="prints")
    with RenderPool(1, gpus=[CARD]) as pool:
        assert whole(rendered(pool))


def test_without_a_cache_kernels_are_compiled_once_a_call(gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = gpu_machine(card_0="")
    monkeypatch.setattr(kernels_module, "cache_folder", lambda name: Path(os.devnull, name))
    monkeypatch.setattr(kernels_module, "private_home", lambda: None)
    with Kernels() as kernels:
        assert kernels.known(CARD) is None
        assert kernels.ensure(CARD) == kernels.ensure(CARD) == kernels.known(CARD)
        assert len(lines(folder / "ready")) == 1
    with Kernels() as kernels:
        kernels.ensure(CARD)
    assert len(lines(folder / "ready")) == 2


def test_stamps_are_of_a_card_a_driver_a_blender_and_the_drivers_caches(
    gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu_machine()
    card = replace(CARD, kind="OPTIX")
    cuda, optix = tmp_path / "cuda", tmp_path / "optix"
    monkeypatch.setenv("CUDA_CACHE_PATH", str(cuda))
    monkeypatch.setenv("OPTIX_CACHE_PATH", str(optix))
    assert driver_caches("OPTIX") == [cuda, optix]
    cuda.mkdir()
    (cuda / "index").touch()
    version = tmp_path / "version"
    version.write_text("580.1\n")
    monkeypatch.setattr(kernels_module, "_VERSIONS", [str(version)])
    with Kernels() as kernels:
        kernels.ensure(card)
        assert kernels.known(replace(card, identity="card-1")) is not None  # another card of the same name has the same kernels
        assert kernels.known(replace(card, name="Other")) is None
        version.write_text("581.0\n")
        assert kernels.known(card) is None
        version.write_text("580.1\n")
        assert kernels.known(card) is not None
        with monkeypatch.context() as patch:
            patch.setattr("importlib.metadata.version", lambda package: "9.9")
            assert kernels.known(card) is None
        (cuda / "index").unlink()  # somebody has emptied the driver's cache
        assert kernels.known(card) is None


def test_cuda_is_lent_a_folder_where_it_could_not_keep_what_it_compiles(
    gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu_machine()
    monkeypatch.delenv("CUDA_CACHE_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    card = replace(CARD, kind="CUDA")
    with Kernels() as kernels:
        kernels.known(card)
    assert "CUDA_CACHE_PATH" not in os.environ
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.setenv("CUDA_CACHE_PATH", "")  # so that it is as before after the test
    with Kernels() as kernels:
        kernels.known(card)
    assert os.environ["CUDA_CACHE_PATH"] == str(tmp_path / "cache" / "igllm" / "cuda")


def test_the_doctor_tells_whether_kernels_are_there_and_compiles_them(gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = gpu_machine(card_0="")

    def report(compile_kernels: bool) -> list[str]:
        return [str(check) for check in doctor.check_gpus(compile_kernels)]

    [missing] = report(compile_kernels=False)
    assert re.match(r"warning +GPU: Card \(HIP\): Blender's kernels for it have not been compiled\n +-> igllm doctor --compile", missing)
    there = ["ok       GPU: Card (HIP): Blender's kernels for it are there"]
    assert report(compile_kernels=True) == there
    assert report(compile_kernels=False) == there
    assert len(lines(folder / "compilations")) == 1
    (folder / "kernels").unlink()
    assert report(compile_kernels=True) == there  # it does not believe the stamp
    assert len(lines(folder / "compilations")) == 2
    (folder / "kernels").unlink()
    gpu_machine(card_0="dies")
    [problem] = report(compile_kernels=True)
    assert problem.startswith("problem  GPU: Blender's kernels for Card cannot be compiled")
    assert report(compile_kernels=False) == [missing]
    monkeypatch.setattr(doctor, "find_gpus", list)
    assert report(compile_kernels=True) == ["ok       GPU: none that Blender can render on, so there is nothing to compile"]
    assert report(compile_kernels=False) == []
    assert main(["doctor", "--libraries", "--compile"]) == 2


def test_the_doctor_tells_that_cuda_may_not_keep_kernels(gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = gpu_machine()
    monkeypatch.setattr(doctor, "find_gpus", lambda: [replace(CARD, kind="CUDA")])
    monkeypatch.setenv("CUDA_CACHE_PATH", str(folder))
    monkeypatch.setenv("CUDA_CACHE_DISABLE", "1")
    [check] = doctor.check_gpus(compile_kernels=True)
    assert (check.status, check.mend) == ("warning", "unset CUDA_CACHE_DISABLE")
