"""Which device renders a data set: what is asked for, what it was begun on, or what was faster in a trial."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import pytest
from gpu_machine import CARD, Inject, generate, lines

import datagen.generate as generate_module
from datagen.errors import UserError
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import STATEMENT
from datagen.shards.writer import open_dataset
from datagen.workers import faster
from datagen.workers.gpus import Gpu
from datagen.workers.jobs import DrawJob
from igllm import main

SETTINGS = DatasetSettings(width=48, height=36, quality="draft", min_objects=1, max_objects=2)


class Machine:
    """Sixteen cores and a card whose workers take so many seconds for a sample, by a clock that only they move."""

    def __init__(self, core: float, card: float, start: float = 100.0, trouble: str = "") -> None:
        self.core, self.card, self.start, self.trouble, self.now = core, card, start, trouble, 0.0
        self.tried: list[str] = []

    def pool(self, workers: int | None, gpus: Sequence[Gpu] = ()) -> Pool:
        self.tried.append(gpus[0].kind if gpus else "CPU")
        return Pool(self, (workers or 1, self.card) if gpus else (workers or 16, self.core), bool(gpus))

    def monotonic(self) -> float:
        return self.now


class Pool:
    """A stand-in for `RenderPool`, whose workers render side by side in the machine's time."""

    def __init__(self, machine: Machine, workers: tuple[int, float], on_gpus: bool) -> None:
        self.machine, self.on_gpus = machine, on_gpus
        self.size, self.seconds = workers

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def prepare(self) -> None:
        if self.machine.trouble:
            raise UserError(self.machine.trouble)
        self.machine.now += 300.0  # of compiling, which is not held against the card

    def render(self, jobs: Iterable[DrawJob], seconds: float) -> Iterator[tuple[DrawJob, EncodedSample]]:
        begin = self.machine.now
        for number, job in enumerate(jobs):
            now = begin + self.machine.start * bool(self.on_gpus) + self.seconds * (1 + number // self.size)
            if now > begin + seconds:
                self.machine.now = begin + seconds
                return
            self.machine.now = now
            yield job, EncodedSample(job.key, {".made": b"on the card" if self.on_gpus else b"on cores"})


def chosen(monkeypatch: pytest.MonkeyPatch, machine: Machine, samples: int, workers: int | None = None) -> tuple[faster.Choice, str]:
    """The choice for so many samples on that machine, and what is told."""
    monkeypatch.setattr(faster, "RenderPool", machine.pool)
    monkeypatch.setattr(faster, "time", machine)
    told: list[str] = []
    choice = faster.choose_faster(SETTINGS, range(7, 7 + samples), workers, [CARD], told.append)
    [line] = told
    return choice, line


def test_the_faster_renders_and_keeps_what_it_made_in_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    choice, line = chosen(monkeypatch, Machine(core=1.0, card=0.02, start=10.0), 100_000)
    assert (choice.gpus, choice.device) == ([CARD], "HIP")
    assert line == "rendering with 1 worker on Card (HIP): 50 samples/s in a trial; 16 workers on the CPU: 16"
    assert sorted(choice.made) == list(range(7, 7 + 24))
    assert {sample.content[".made"] for sample in choice.made.values()} == {b"on the card"}
    choice, line = chosen(monkeypatch, Machine(core=1.0, card=0.2, start=10.0), 100_000)
    assert (choice.gpus, choice.device) == ((), "CPU")
    assert line == "rendering with 16 workers on the CPU: 16 samples/s in a trial; 1 worker on Card (HIP): 5"
    assert sorted(choice.made) == list(range(7, 7 + 64))
    assert {sample.content[".made"] for sample in choice.made.values()} == {b"on cores"}
    choice, line = chosen(monkeypatch, Machine(core=1.0, card=0.2, start=10.0), 100_000, workers=4)
    assert line == "rendering with 4 workers on Card (HIP): 20 samples/s in a trial; 4 workers on the CPU: 4"


def test_few_samples_are_rendered_on_the_cores_without_compiling_for_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(core=1.0, card=0.001)
    choice, line = chosen(monkeypatch, machine, 10)
    assert (choice.gpus, sorted(choice.made), machine.tried) == ((), list(range(7, 17)), ["CPU"])
    assert line == "rendered with 16 workers on the CPU: too few samples to try Card (HIP)"
    choice, line = chosen(monkeypatch, machine, 64 + 16 * 300)
    assert (choice.gpus, machine.tried) == ((), ["CPU", "CPU"])
    assert line == "rendering with 16 workers on the CPU: what is left takes about 300 s, too little to try Card (HIP)"
    monkeypatch.setattr(faster.Kernels, "known", lambda kernels, gpu: 1)  # it is tried sooner where the kernels are there
    chosen(monkeypatch, machine, 64 + 16 * 31)
    assert machine.tried == ["CPU", "CPU", "CPU", "HIP"]


def test_a_card_that_cannot_be_used_is_told_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    choice, line = chosen(monkeypatch, Machine(core=1.0, card=0.001, trouble="a driver without luck"), 100_000)
    assert (choice.gpus, len(choice.made)) == ((), 64)
    assert line == "rendering with 16 workers on the CPU, because Card (HIP) cannot be used: a driver without luck"


@pytest.mark.parametrize(("core", "card", "device"), [(500.0, 20.0, "HIP"), (500.0, 500.0, "HIP"), (20.0, 500.0, "CPU")])
def test_frames_that_take_longer_than_a_trial(monkeypatch: pytest.MonkeyPatch, core: float, card: float, device: str) -> None:
    assert chosen(monkeypatch, Machine(core, card, start=0.0), 100_000)[0].device == device


def test_generate_renders_on_the_card_where_cores_cannot(gpu_machine: Inject, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = gpu_machine(CPU="errors")
    assert main(generate(tmp_path)) == 0
    assert "note: rendering with 1 worker on Card (HIP): " in capsys.readouterr().err
    assert made_on(tmp_path) == "HIP"
    assert sorted(lines(folder / "rendered")) == [f"card-0 {index}" for index in range(6)]  # those of the trial are kept


def test_generate_renders_on_cores_where_the_card_cannot(
    gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = gpu_machine(card_0="errors")
    for name in ("FEWEST", "WORTH_SECONDS", "WORTH_COMPILING_SECONDS"):
        monkeypatch.setattr(faster, name, 0)
    assert main(generate(tmp_path)) == 0
    assert re.search(
        r"note: rendering with 1 worker on the CPU: .* samples/s in a trial; 1 worker on Card \(HIP\): 0\n", capsys.readouterr().err
    )
    assert made_on(tmp_path) == "CPU"
    assert sorted(lines(folder / "rendered")) == [f"CPU {index}" for index in range(6)]


def test_a_data_set_goes_on_where_it_was_begun(gpu_machine: Inject, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = gpu_machine()
    assert main([*generate(tmp_path), "--device", "cpu"]) == 0
    assert main(generate(tmp_path, num=8)) == 0
    assert "note: rendering on CPU, as this data set was begun" in capsys.readouterr().err
    assert sorted(lines(folder / "rendered")) == [f"CPU {index}" for index in range(8)]
    assert main([*generate(tmp_path, num=8), "--device", "gpu"]) == 2
    assert "was begun on CPU, not HIP" in capsys.readouterr().err
    assert not lines(folder / "compilations")


def test_calls_that_begin_a_data_set_together_render_on_one_kind_of_device(
    gpu_machine: Inject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu_machine()

    def choose(settings: DatasetSettings, indices: Sequence[int], workers: int | None, gpus: Sequence[Gpu]) -> faster.Choice:
        with open_dataset(tmp_path / "data", settings, 6, device="CPU"):  # as another call does meanwhile
            return faster.Choice(gpus)

    monkeypatch.setattr(generate_module, "choose_faster", choose)
    assert main(generate(tmp_path)) == 0
    assert made_on(tmp_path) == "CPU"


def test_a_folder_that_cannot_hold_a_data_set_is_refused_before_a_trial(
    gpu_machine: Inject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = gpu_machine()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shard-000000.tar").touch()
    assert main(generate(tmp_path)) == 2
    assert "holds tars but no dataset.json" in capsys.readouterr().err
    assert not lines(folder / "ready")


def made_on(tmp_path: Path) -> str:
    """The kind of device that the data set states, after a check that it is whole."""
    assert main(["verify", str(tmp_path / "data")]) == 0
    return str(json.loads((tmp_path / "data" / STATEMENT).read_text())["device"])
