"""Running an evaluation: data, training and prediction of every cell that is not there yet; then what they say together.

In the folder: ``data`` (one data set for each training size, one for validation, one for each condition), ``runs`` (run folders, named
by method and digest), ``predictions``, ``cells``, and the reports. Every part takes up what an earlier call has finished, and waits for
what another call is just at, so that several may share a folder, each with methods or seeds of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.generate import generate
from datagen.io.files import check_folder
from datagen.io.locks import turn
from datagen.metrics.intervals import intervals
from datagen.metrics.scores import summarize
from datagen.samples.settings import DatasetSettings
from datagen.screen import print_line
from datagen.shards.pictures import DatasetImages
from render.compare import score_sides
from render.evals.cells import Cell, read_cell, write_cell
from render.evals.clock import clocked, seconds
from render.evals.declaration import Condition, Evaluation, Shown
from render.evals.plan import Plan, Request
from render.evals.results import PICTURES, write_figure, write_results
from render.sides import Side

if TYPE_CHECKING:
    from model.preset import Preset
    from model.training.train import Data

DATA, RUNS, PREDICTIONS, CELLS = "data", "runs", "predictions", "cells"


def evaluate(
    evaluation: Evaluation, plan: Plan, out: Path, *, cells: Path | None = None, workers: int | None = None, device: str = "auto"
) -> list[Cell]:
    """Run the cells of a plan that are not in the folder `cells` (``out/cells`` by default), and write table, plots and pictures.

    `workers` are Blender's processes, `device` is where models run. Table and plots are written anew after each cell. Raises `UserError`
    for what cannot be asked or is damaged, and whatever generation and training raise.
    """
    requests = plan.requests(evaluation)
    check_folder(out, "the folder of the evaluation")
    folder = out / CELLS if cells is None else cells
    check_folder(folder, "the folder of cells")  # better now than after the first training
    found = {request.digest: cell for request in requests if (cell := read_cell(folder, request)) is not None}
    workshop = Workshop(evaluation, out, workers, device)
    for number, request in enumerate(requests, 1):
        told = f"cell {number} of {len(requests)} ({request.title})"
        if request.digest in found:
            _tell(f"{told}: {folder / request.digest}.json is there")
            continue
        _tell(f"{told}: {request.digest}")
        with turn(folder / request.digest, _tell):
            cell = read_cell(folder, request)  # another call may have finished it meanwhile
            if cell is None:
                cell = workshop.run(request)
                write_cell(folder, cell)
        found[request.digest] = cell
        write_results(out, evaluation, [found[r.digest] for r in requests if r.digest in found])
    done = [found[request.digest] for request in requests]
    write_results(out, evaluation, done)
    workshop.write_pictures(requests)
    return done


class Workshop:
    """Where the cells of an evaluation are made."""

    def __init__(self, evaluation: Evaluation, out: Path, workers: int | None, device: str) -> None:
        self.evaluation, self.out, self.workers, self.device = evaluation, out, workers, device
        self._whole: set[str] = set()  # data sets that this call has seen to

    def run(self, request: Request) -> Cell:
        """Train a cell's model, or go on with it, and score it."""
        from model.device import pick_device

        pretrained = None if request.pretraining is None else self._pretrain(request)
        run = self._train(request, pretrained)
        scored, said = {}, {}
        for condition in self.evaluation.conditions:
            shown = self._predicted(request, condition, run)
            scored[condition.key] = [s.scene for s in score_sides(shown.truth, shown.guess, shown.keys, self.evaluation.domain)]
            answers = (shown.guess.answer(key, self.evaluation.domain) for key in shown.keys)
            said[condition.key] = [None if answer is None else answer.scene for answer in answers]
        return Cell(
            request,
            training=_facts(request.training, run),
            pretraining=None if request.pretraining is None else self._pretraining_facts(request),
            scores={key: summarize(scores) | self.evaluation.measure(said[key]) for key, scores in scored.items()},
            intervals={key: intervals(scores) for key, scores in scored.items()},
            versions={"igllm": version("igllm"), "torch": version("torch"), "device": pick_device(self.device).type},
        )

    def write_pictures(self, requests: Sequence[Request]) -> None:
        """Write the page of pictures, of each method at its largest size, and the evaluation's figures, of every size: those of the first
        seed, as far as their predictions are in this folder."""
        from render.evals.pictures import write_pictures

        first = [r for r in requests if r.seed == requests[0].seed]
        largest = [max((r for r in first if r.method == m), key=lambda r: r.size) for m in dict.fromkeys(r.method for r in first)]
        paged = [(request, condition) for request in largest for condition in self.evaluation.conditions[::-1]]
        shown = [self._shown(request, condition) for request, condition in paged]
        absent = [f"{r.title}, {c.label}" for (r, c), there in zip(paged, shown, strict=True) if there is None]
        write_pictures(self.out / PICTURES, self.evaluation, [one for one in shown if one is not None], absent)
        if self.evaluation.figures:
            every = [one for r in first for c in self.evaluation.conditions if (one := self._shown(r, c)) is not None]
            for name, draw in self.evaluation.figures.items():
                write_figure(self.out / name, draw(self.evaluation, every))

    def _pretrain(self, request: Request) -> Path:
        assert request.pretraining is not None
        init = None if request.lesson is None else self._teach(request)
        return self._see(request, request.pretraining, f"pretrain-{request.pretraining_digest}", lambda: self._learnt_from(request), init)

    def _teach(self, request: Request) -> Path:
        assert request.lesson is not None
        lesson = self.evaluation.lesson
        assert lesson is not None

        def data() -> Data:
            from model.training.train import Data

            return Data([self._data(f"lesson-{request.lesson_scenes}", lesson.data, request.lesson_scenes)])

        return self._see(request, request.lesson, f"lesson-{request.lesson_digest}", data, None)

    def _see(self, request: Request, preset: Preset, name: str, data: Callable[[], Data], init: Path | None) -> Path:
        """A tower's pretraining, or its lesson."""
        from model.training.train import pretrain

        run = self.out / RUNS / name
        with turn(run.with_name(f"{name}.turn"), _tell):
            if not _finished(run):
                learnt_from = data()
                with clocked(run):
                    pretrain(preset, request.preset_name, data=learnt_from, out=run, device=self.device, init=_stated(init))
        return run

    def _pretraining_facts(self, request: Request) -> dict[str, float]:
        """The `RunFacts` of the pretraining, its lesson included."""
        assert request.pretraining is not None
        facts = _facts(request.pretraining, self.out / RUNS / f"pretrain-{request.pretraining_digest}")
        if request.lesson is None:
            return facts
        before = _facts(request.lesson, self.out / RUNS / f"lesson-{request.lesson_digest}")
        return {name: round(facts[name] + before[name], 1) for name in facts}

    def _train(self, request: Request, pretrained: Path | None) -> Path:
        from model.training.train import train

        run = self.out / RUNS / f"{request.method.name}-{request.digest}"
        if not _finished(run):
            data = self._learnt_from(request)
            with clocked(run):
                train(request.training, request.preset_name, data=data, out=run, device=self.device, init=_stated(pretrained))
        return run

    def _learnt_from(self, request: Request) -> Data:
        from model.training.train import Data

        train = self._data(f"train-{request.size}", self.evaluation.train, request.size)
        return Data([train], val=self._data("val", self.evaluation.val, self.evaluation.val_scenes))

    def _data(self, name: str, settings: DatasetSettings, num: int) -> Path:
        """A data set of at least `num` samples, generated as far as it is not there."""
        place = self.out / DATA / name
        if name not in self._whole:
            with turn(place, _tell):
                generate(settings, num, place, self.workers)
            self._whole.add(name)
        return place

    def _predictions(self, request: Request, condition: Condition) -> Path:
        return self.out / PREDICTIONS / f"{request.method.name}-{request.digest}-{condition.key}.jsonl"

    def _test(self, condition: Condition) -> Path:
        return self.out / DATA / f"test-{condition.key}"

    def _predicted(self, request: Request, condition: Condition, run: Path) -> Shown:
        """A trained model's predictions. A file of an earlier call may be of other weights than the run has now, and is made anew; what
        such a call left unfinished is taken up where model and images are the same."""
        from model.load import find_model
        from model.prediction.predict import Predictor, predict_file

        test = self._data(self._test(condition).name, condition.data, self.evaluation.test_scenes)
        predictor = Predictor.of(find_model(str(run)), self.device)
        predict_file(predictor, DatasetImages(test, self.evaluation.test_scenes), self._predictions(request, condition))
        shown = self._shown(request, condition)
        assert shown is not None
        return shown

    def _shown(self, request: Request, condition: Condition) -> Shown | None:
        """The predictions that are in this folder, at its test scenes, of which an earlier call may have drawn more; None without."""
        test, path = self._test(condition), self._predictions(request, condition)
        if not (path.exists() and test.exists()):
            return None
        truth = Side(test)
        return Shown(request.method, request.size, condition, truth, Side(path), truth.keys[: self.evaluation.test_scenes])


def _stated(init: Path | None) -> str | None:
    """A run states where it began, and is the same run for whoever names the folder otherwise."""
    return None if init is None else os.path.abspath(init)


def _finished(run: Path) -> bool:
    """Whether a run has its model, which is the last that it gets."""
    return (run / "config.json").is_file()


def _facts(preset: Preset, run: Path) -> dict[str, float]:
    """The `RunFacts` of a finished run."""
    how = preset.optimisation
    return {"steps": how.steps, "images": how.steps * how.batch_size * how.accumulation, "seconds": round(seconds(run), 1)}


def _tell(text: str) -> None:
    print_line(f"eval: {text}")
