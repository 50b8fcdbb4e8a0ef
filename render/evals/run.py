"""Makes the runs of an evaluation: data, training, prediction and scores of every run that is not finished yet; then the results of all.

The folder holds ``data`` (a data set for each training size, one for validation, one for each condition), ``runs`` (the folders of
trainings, named by method and digest), ``predictions``, ``cells`` (the files of finished runs), and the results. Each step continues the
work of earlier calls, and waits while another call does the same step, so that several calls may share a folder, each with methods or seeds
of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.errors import UserError
from datagen.generate import generate
from datagen.io.files import check_folder
from datagen.io.locks import turn
from datagen.metrics.intervals import intervals
from datagen.metrics.summary import summarize
from datagen.samples.settings import DatasetSettings
from datagen.screen import print_line
from datagen.shards.checks import check_drawn
from datagen.shards.pictures import DatasetImages
from datagen.shards.reader import Samples
from render.evals.clock import clocked, seconds
from render.evals.declaration import Condition, Evaluation, Shown
from render.evals.plan import Plan, RunRequest
from render.evals.results import PICTURES, check_results, figure_bytes, write_files, write_results
from render.evals.runs import Run, read_run, write_run
from render.sides import Side

if TYPE_CHECKING:
    from model.prediction.predict import Predictor
    from model.preset import Preset
    from model.training.run import Training
    from model.training.train import Data

DATA, TRAININGS, PREDICTIONS, FINISHED = "data", "runs", "predictions", "cells"


def evaluate(
    evaluation: Evaluation, plan: Plan, out: Path, *, cells: Path | None = None, workers: int | None = None, device: str = "auto"
) -> list[Run]:
    """Make the runs of a plan whose files are not in the folder `cells` (``out/cells`` by default), and write table, plots and pictures.

    `workers` is the number of Blender processes, `device` is the device of the models. Table and plots are written anew after each run.
    Raises `UserError` for an impossible plan or damaged files, and all errors of generation and training.
    """
    requests = plan.requests(evaluation)
    check_folder(out, "the folder of the evaluation")
    folder = out / FINISHED if cells is None else cells
    for place in (folder, *(out / name for name in (DATA, TRAININGS, PREDICTIONS))):
        check_folder(place, f"the folder {place.name}")  # before the first training, not after it
    finished = {request.digest: run for request in requests if (run := read_run(folder, request)) is not None}
    check_results(out, evaluation)
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
        if number < len(requests):
            write_results(out, evaluation, [finished[r.digest] for r in requests if r.digest in finished])
    runs = [finished[request.digest] for request in requests]
    write_results(out, evaluation, runs)
    runner.write_pictures(requests)
    return runs


class Runner:
    """Makes the runs of an evaluation in its folder. Data and pretrainings that runs share are made by the first that needs them."""

    def __init__(self, evaluation: Evaluation, out: Path, workers: int | None, device: str) -> None:
        self.evaluation, self.out, self.workers, self.device = evaluation, out, workers, device
        self._complete: set[str] = set()  # names of data sets that this call has completed
        self._truths: dict[Path, Side] = {}
        self._shown: dict[Path, Shown | None] = {}  # by the file of the predictions, so that each is read and scored once

    def make(self, request: RunRequest) -> Run:
        """Train the model of a run, or go on with its training, and score its predictions."""
        from model.device import pick_device
        from model.load import find_model
        from model.prediction.predict import Predictor

        tower = None if request.pretraining is None else self._pretrain(request)
        folder = self._train(request, tower)
        training, pretraining = self._facts(request, folder)
        predictor = Predictor.of(find_model(str(folder)), self.device)
        shown = {condition.key: self._predict(request, condition, predictor) for condition in self.evaluation.conditions}
        scores = {key: [scored.scene for scored in one.scored] for key, one in shown.items()}
        return Run(
            request,
            training=training,
            pretraining=pretraining,
            scores={key: summarize(scores[key]) | self.evaluation.measure(one.guesses) for key, one in shown.items()},
            intervals={key: intervals(of_scenes) for key, of_scenes in scores.items()},
            versions={"igllm": version("igllm"), "torch": version("torch"), "device": pick_device(self.device).type},
        )

    def write_pictures(self, requests: Sequence[RunRequest]) -> None:
        """Write the page of pictures, with each method at its largest size, and the evaluation's figures, with every size. Both show the
        runs of the first seed whose predictions are in this folder."""
        from render.evals.pictures import pictures_page

        first = [r for r in requests if r.seed == requests[0].seed]
        largest = [max((r for r in first if r.method == m), key=lambda r: r.size) for m in dict.fromkeys(r.method for r in first)]
        paged = [(request, condition) for request in largest for condition in self.evaluation.conditions[::-1]]
        shown = [self._readable_predictions(request, condition) for request, condition in paged]
        absent = [f"{r.title}, {c.label}" for (r, c), there in zip(paged, shown, strict=True) if there is None]
        files = {PICTURES: pictures_page(self.evaluation, [one for one in shown if one is not None], absent).encode()}
        if self.evaluation.figures:
            every = [one for r in first for c in self.evaluation.conditions if (one := self._readable_predictions(r, c)) is not None]
            files |= {name: figure_bytes(draw(self.evaluation, every)) for name, draw in self.evaluation.figures.items()}
        write_files(self.out, self.evaluation, files)

    def _pretrain(self, request: RunRequest) -> Path:
        """Pretrain the tower, after the lesson if the evaluation has one; return the folder of the pretraining."""
        assert request.pretraining is not None
        init = None if request.lesson is None else self._train_lesson(request)
        name = f"pretrain-{request.pretraining_digest}"
        return self._train_tower(request, request.pretraining, name, self._training_data(request), init)

    def _train_lesson(self, request: RunRequest) -> Path:
        from model.training.train import Data

        assert request.lesson is not None
        lesson = self.evaluation.lesson
        assert lesson is not None
        data = Data([self._dataset(f"lesson-{request.lesson_scenes}", lesson.data, request.lesson_scenes)])
        return self._train_tower(request, request.lesson, f"lesson-{request.lesson_digest}", data, None)

    def _train_tower(self, request: RunRequest, preset: Preset, name: str, data: Data, init: Path | None) -> Path:
        """Train the tower alone, or finish that training; return its folder."""
        from model.training.train import pretraining_of

        folder = self.out / TRAININGS / name
        with turn(folder.with_name(f"{name}.turn"), _report):
            _finish(pretraining_of(preset, request.preset_name, data=data, out=folder, device=self.device, init=_absolute(init)))
        return folder

    def _facts(self, request: RunRequest, folder: Path) -> tuple[dict[str, float], dict[str, float] | None]:
        """The `TrainingFacts` of a finished training, and of its pretraining, lesson included."""
        work, runs = request.work, self.out / TRAININGS
        before = [] if request.pretraining is None else [runs / f"pretrain-{request.pretraining_digest}"]
        before += [] if request.lesson is None else [runs / f"lesson-{request.lesson_digest}"]
        training = {**(work["training"] or {}), "seconds": round(seconds(folder), 1)}
        if work["pretraining"] is None:
            return training, None
        return training, {**work["pretraining"], "seconds": round(sum(round(seconds(run), 1) for run in before), 1)}

    def _train(self, request: RunRequest, tower: Path | None) -> Path:
        """Train the model, or finish its training, with the weights of a pretrained tower if there is one; return the folder."""
        from model.training.train import training_of

        folder, data = self.out / TRAININGS / f"{request.method.name}-{request.digest}", self._training_data(request)
        _finish(training_of(request.training, request.preset_name, data=data, out=folder, device=self.device, init=_absolute(tower)))
        return folder

    def _training_data(self, request: RunRequest) -> Data:
        from model.training.train import Data

        train = self._dataset(f"train-{request.size}", self.evaluation.train, request.size)
        return Data([train], val=self._dataset("val", self.evaluation.val, self.evaluation.val_scenes))

    def _dataset(self, name: str, settings: DatasetSettings, num: int) -> Path:
        """The folder of a data set of at least `num` samples; missing samples are generated."""
        folder = self.out / DATA / name
        if name not in self._complete:
            with turn(folder, _report):
                check_drawn(generate(settings, num, folder, self.workers), settings)
            self._complete.add(name)
        return folder

    def _predictions(self, request: RunRequest, condition: Condition) -> Path:
        return self.out / PREDICTIONS / f"{request.method.name}-{request.digest}-{condition.key}.jsonl"

    def _test_set(self, condition: Condition) -> Path:
        return self.out / DATA / f"test-{condition.key}"

    def _predict(self, request: RunRequest, condition: Condition, predictor: Predictor) -> Shown:
        """A trained model's predictions. The file of an earlier call is written anew, as the model may have had other weights then; the
        predictions of an interrupted call are kept where model and images are the same."""
        from model.prediction.predict import predict_file

        scenes = self.evaluation.test_scenes
        test = self._dataset(self._test_set(condition).name, condition.data, scenes)
        predict_file(predictor, DatasetImages(test, scenes), self._predictions(request, condition))
        shown = self._read_predictions(request, condition)
        assert shown is not None
        return shown

    def _readable_predictions(self, request: RunRequest, condition: Condition) -> Shown | None:
        """As `_read_predictions`; also None, after a message, where predictions or test scenes are damaged or do not fit."""
        try:
            return self._read_predictions(request, condition)
        except UserError as error:
            _report(f"{request.title}, {condition.label}: left out of the pictures: {error}; delete that for pictures without this line")
            self._shown[self._predictions(request, condition)] = None
            return None

    def _read_predictions(self, request: RunRequest, condition: Condition) -> Shown | None:
        """The predictions of a run on the test scenes; None if they are not in this folder. Only the first ``test_scenes`` scenes are used,
        as an earlier call may have generated more. `UserError` for damaged predictions or other scenes."""
        test, path = self._test_set(condition), self._predictions(request, condition)
        if path not in self._shown and path.exists() and test.exists():
            if test not in self._truths:
                samples = Samples(test)
                check_drawn(samples, condition.data)
                self._truths[test] = Side(samples)
            truth = self._truths[test]
            keys = truth.keys[: self.evaluation.test_scenes]
            shown = Shown(request.method, request.size, condition, truth, Side(path), keys)
            list(shown.guesses)  # reads all, as any may be damaged
            self._shown[path] = shown
        return self._shown.get(path)


def _absolute(init: Path | None) -> str | None:
    """The absolute path of a training's initial weights, which stays the same if a later call runs in another folder."""
    return None if init is None else os.path.abspath(init)


def _finish(training: Training) -> None:
    """Train, or go on with a training, unless its finished model is there. `UserError` if the folder belongs to another training."""
    from model.training.run import is_finished, run

    folder = training.out
    check_folder(folder, "the folder of a training")
    seconds(folder)  # raises now if its file is damaged
    try:
        finished = is_finished(training)
    except UserError as error:
        raise UserError(f"{error}; or remove {folder} to have it trained anew") from None
    if not finished:
        with clocked(folder):
            run(training)


def _report(text: str) -> None:
    print_line(f"eval: {text}")
