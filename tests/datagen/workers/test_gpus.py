"""Which GPUs Blender can render on: its answer is found whatever else is printed, and it is not asked where no driver is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datagen.errors import UserError
from datagen.workers import gpus
from datagen.workers.gpus import Gpu, find_gpus, named_gpus

CARD = Gpu("OPTIX", "CUDA_NVIDIA H200_0000:04:00_OptiX", "NVIDIA H200")


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The program that is asked in Blender's place."""
    monkeypatch.setattr(gpus, "_DRIVERS", [str(tmp_path)])
    monkeypatch.setattr(gpus, "DEVICES", "probe_of_a_test")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path / "probe_of_a_test.py"


def test_the_probe_reads_its_own_line(probe: Path) -> None:
    answer = f"send_answer(sys.stdout.buffer, [{[CARD.kind, CARD.identity, CARD.name]!r}])\n"
    probe.write_text(
        "import os, sys\nfrom datagen.io.child import send_answer\n"
        "print('[]\\nCUEW initialization', end='', flush=True)\n" + answer + "print('[[\"a driver\"]]\\nfreed', flush=True)\nos.abort()"
    )
    assert find_gpus() == [CARD]  # although the driver crashes at the end
    assert named_gpus() == [CARD]
    assert str(CARD) == "NVIDIA H200 (OPTIX)"


@pytest.mark.parametrize(
    "program", ["print('[]')", "import os; os.abort()", "from datagen.io.child import *; send_answer(__import__('sys').stdout.buffer, [1])"]
)
def test_a_blender_without_an_answer_has_no_gpus(probe: Path, program: str) -> None:
    probe.write_text(program)
    assert find_gpus() == []
    with pytest.raises(UserError, match="finds no GPU"):
        named_gpus()


def test_blender_is_not_started_where_no_driver_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_DRIVERS", [])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: pytest.fail("a process was started"))
    assert find_gpus() == []


def test_blender_itself_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpus, "_DRIVERS", [str(tmp_path)])
    answered: list[object] = []
    found = gpus.last_answer
    monkeypatch.setattr(gpus, "last_answer", lambda output: answered.append(found(output)) or found(output))
    assert all(isinstance(gpu, Gpu) for gpu in find_gpus())  # this machine may have some
    [answer] = answered
    assert isinstance(answer, list)
