"""Making the runs of an evaluation: data, training, prediction and scores of every run that is not finished yet; then the results of all.

In the folder: ``data`` (a data set for each training size, one for validation, one for each condition), ``runs`` (the folders of trainings,
named by method and digest), ``predictions``, ``cells`` (the files of finished runs), and the results. Each step goes on from what an
earlier call has finished, and waits while another call does the same step, so that several calls may share a folder, each with methods or
seeds of its own.
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
from datagen.metrics.summary import summarize
from datagen.samples.settings import DatasetSettings
from datagen.screen import print_line
from datagen.shards.pictures import DatasetImages
from render.evals.clock import clocked, seconds
from render.evals.declaration import Condition, Evaluation, Shown
from render.evals.plan import Plan, Request
from render.evals.results import PICTURES, write_figure, write_results
from render.evals.runs import Run, read_run, write_run
from render.sides import Side

if TYPE_CHECKING:
    from model.prediction.predict import Predictor
    from model.preset import Preset
    from model.training.train import Data

DATA, TRAININGS, PREDICTIONS, FINISHED = "data", "runs", "predictions", "cells"


def evaluate(
    evaluation: Evaluation, plan: Plan, out: Path, *, cells: Path | None = None, workers: int | None = None, device: str = "auto"
) -> list[Run]:
    """Make the runs of a plan whose files are not in the folder `cells` (``out/cells`` by default), and write table, plots and pictures.

    `workers` is the number of Blender processes, `device` is where models run. Table and plots are written anew after each run. Raises
    `UserError` for what cannot be asked or is damaged, and whatever generation and training raise.
    """
    requests = plan.requests(evaluation)
    check_folder(out, "the folder of the evaluation")
    folder = out / FINISHED if cells is None else cells
    check_folder(folder, "the folder of cells")  # now, and not after the first training
    finished = {request.digest: run for request in requests if (run := read_run(folder, request)) is not None}
    runner = Runner(evaluation, out, workers, device)
    for number, request in enumerate(requests, 1):
        title = f"run {number} of {len(requests)} ({request.title})"
        if request.digest in finished:
            _report(f"{title}: {folder / request.digest}.json is there")
            continue
        _report(f"{title}: {request.digest}")
        with turn(folder / request.digest, _report):
            run = read_run(folder, request)  # another call may have finished it meanwhile
            if run is None:
                run = runner.make(request)
                write_run(folder, run)
        finished[request.digest] = run
        write_results(out, evaluation, [finished[r.digest] for r in requests if r.digest in finished])
    runs = [finished[request.digest] for request in requests]
    write_results(out, evaluation, runs)
    runner.write_pictures(requests)
    return runs


class Runner:
    """Makes the runs of an evaluation in its folder. What several runs share is made by the first that needs it."""

    def __init__(self, evaluation: Evaluation, out: Path, workers: int | None, device: str) -> None:
        self.evaluation, self.out, self.workers, self.device = evaluation, out, workers, device
        self._complete: set[str] = set()  # names of data sets that this call has completed
        self._truths: dict[Path, Side] = {}
        self._shown: dict[Path, Shown] = {}  # by the file of the predictions: each is read and scored once

    def make(self, request: Request) -> Run:
        """Train the model of a run, or go on with its training, and score what it predicts."""
        from model.device import pick_device
        from model.load import find_model
        from model.prediction.predict import Predictor

        tower = None if request.pretraining is None else self._pretrain(request)
        folder = self._train(request, tower)
        predictor = Predictor.of(find_model(str(folder)), self.device)
        shown = {condition.key: self._predict(request, condition, predictor) for condition in self.evaluation.conditions}
        scores = {key: [scored.scene for scored in one.scored] for key, one in shown.items()}
        return Run(
            request,
            training=_facts(request.training, folder),
            pretraining=None if request.pretraining is None else self._pretraining_facts(request),
            scores={key: summarize(scores[key]) | self.evaluation.measure(one.guesses) for key, one in shown.items()},
            intervals={key: intervals(of_scenes) for key, of_scenes in scores.items()},
            versions={"igllm": version("igllm"), "torch": version("torch"), "device": pick_device(self.device).type},
        )

    def write_pictures(self, requests: Sequence[Request]) -> None:
        """Write the page of pictures, with each method at its largest size, and the evaluation's figures, with every size. Both show the
        runs of the first seed whose predictions are in this folder."""
        from render.evals.pictures import write_pictures

        first = [r for r in requests if r.seed == requests[0].seed]
        largest = [max((r for r in first if r.method == m), key=lambda r: r.size) for m in dict.fromkeys(r.method for r in first)]
        paged = [(request, condition) for request in largest for condition in self.evaluation.conditions[::-1]]
        shown = [self._read_predictions(request, condition) for request, condition in paged]
        absent = [f"{r.title}, {c.label}" for (r, c), there in zip(paged, shown, strict=True) if there is None]
        write_pictures(self.out / PICTURES, self.evaluation, [one for one in shown if one is not None], absent)
        if self.evaluation.figures:
            every = [one for r in first for c in self.evaluation.conditions if (one := self._read_predictions(r, c)) is not None]
            for name, draw in self.evaluation.figures.items():
                write_figure(self.out / name, draw(self.evaluation, every))

    def _pretrain(self, request: Request) -> Path:
        """The folder of the tower's pretraining, which begins with the lesson if the evaluation has one."""
        assert request.pretraining is not None
        init = None if request.lesson is None else self._train_lesson(request)
        name = f"pretrain-{request.pretraining_digest}"
        return self._train_tower(request, request.pretraining, name, lambda: self._training_data(request), init)

    def _train_lesson(self, request: Request) -> Path:
        assert request.lesson is not None
        lesson = self.evaluation.lesson
        assert lesson is not None

        def data() -> Data:
            from model.training.train import Data

            return Data([self._dataset(f"lesson-{request.lesson_scenes}", lesson.data, request.lesson_scenes)])

        return self._train_tower(request, request.lesson, f"lesson-{request.lesson_digest}", data, None)

    def _train_tower(self, request: Request, preset: Preset, name: str, data: Callable[[], Data], init: Path | None) -> Path:
        """The folder of a training of the tower alone, finished; `data` is called if it is not finished yet."""
        from model.training.train import pretrain

        folder = self.out / TRAININGS / name
        with turn(folder.with_name(f"{name}.turn"), _report):
            if not _is_finished(folder):
                given = data()
                with clocked(folder):
                    pretrain(preset, request.preset_name, data=given, out=folder, device=self.device, init=_absolute(init))
        return folder

    def _pretraining_facts(self, request: Request) -> dict[str, float]:
        """The `TrainingFacts` of the pretraining, its lesson included."""
        assert request.pretraining is not None
        facts = _facts(request.pretraining, self.out / TRAININGS / f"pretrain-{request.pretraining_digest}")
        if request.lesson is None:
            return facts
        before = _facts(request.lesson, self.out / TRAININGS / f"lesson-{request.lesson_digest}")
        return {name: round(facts[name] + before[name], 1) for name in facts}

    def _train(self, request: Request, tower: Path | None) -> Path:
        """The folder of the training, finished, which begins with the weights of a pretrained tower if there is one."""
        from model.training.train import train

        folder = self.out / TRAININGS / f"{request.method.name}-{request.digest}"
        if not _is_finished(folder):
            data = self._training_data(request)
            with clocked(folder):
                train(request.training, request.preset_name, data=data, out=folder, device=self.device, init=_absolute(tower))
        return folder

    def _training_data(self, request: Request) -> Data:
        from model.training.train import Data

        train = self._dataset(f"train-{request.size}", self.evaluation.train, request.size)
        return Data([train], val=self._dataset("val", self.evaluation.val, self.evaluation.val_scenes))

    def _dataset(self, name: str, settings: DatasetSettings, num: int) -> Path:
        """The folder of a data set of at least `num` samples; those that are missing are generated."""
        folder = self.out / DATA / name
        if name not in self._complete:
            with turn(folder, _report):
                generate(settings, num, folder, self.workers)
            self._complete.add(name)
        return folder

    def _predictions(self, request: Request, condition: Condition) -> Path:
        return self.out / PREDICTIONS / f"{request.method.name}-{request.digest}-{condition.key}.jsonl"

    def _test_set(self, condition: Condition) -> Path:
        return self.out / DATA / f"test-{condition.key}"

    def _predict(self, request: Request, condition: Condition, predictor: Predictor) -> Shown:
        """A trained model's predictions. The file of an earlier call is written anew, as its weights may have been others; of a call that
        was interrupted, predictions are kept where model and images are the same."""
        from model.prediction.predict import predict_file

        scenes = self.evaluation.test_scenes
        test = self._dataset(self._test_set(condition).name, condition.data, scenes)
        predict_file(predictor, DatasetImages(test, scenes), self._predictions(request, condition))
        shown = self._read_predictions(request, condition)
        assert shown is not None
        return shown

    def _read_predictions(self, request: Request, condition: Condition) -> Shown | None:
        """The predictions of a run on the test scenes; None if they are not in this folder. An earlier call may have generated more scenes
        than this one asks for."""
        test, path = self._test_set(condition), self._predictions(request, condition)
        if path not in self._shown and path.exists() and test.exists():
            if test not in self._truths:
                self._truths[test] = Side(test)
            truth = self._truths[test]
            keys = truth.keys[: self.evaluation.test_scenes]
            self._shown[path] = Shown(request.method, request.size, condition, truth, Side(path), keys)
        return self._shown.get(path)


def _absolute(init: Path | None) -> str | None:
    """The folder that a training begins with, as its own folder states it: the same, whatever a later call names it relative to."""
    return None if init is None else os.path.abspath(init)


def _is_finished(folder: Path) -> bool:
    """Whether a training has its model, which is written last."""
    return (folder / "config.json").is_file()


def _facts(preset: Preset, folder: Path) -> dict[str, float]:
    """The `TrainingFacts` of a finished training."""
    how = preset.optimisation
    return {"steps": how.steps, "images": how.steps * how.batch_size * how.accumulation, "seconds": round(seconds(folder), 1)}


def _report(text: str) -> None:
    print_line(f"eval: {text}")
