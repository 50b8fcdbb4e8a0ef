"""The plan of an evaluation: which models are trained, on how much data, and the digests that identify them. Nothing here is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import UserError
from datagen.samples.settings import DatasetSettings
from render.evals.declaration import Evaluation, Method

if TYPE_CHECKING:
    from model.preset import Preset

FORMAT_VERSION = 1
"""The version of the files of finished runs. A change of the measures, or of what training with the same settings does, raises it, so that
older runs are made again."""
LATER_SETTINGS: Mapping[str, Any] = {
    "vision_merge": 1,
    "rotations": "own",
    "number_cells": False,
    "order_noise": 0.0,
    "word_cells": False,
    "frame": "own",
    "places": "world",
    "shot_in_code": False,
    "dense_reader": "linear",
}
"""Settings added to presets after runs were first kept, each with the value that gives the earlier behaviour. Where a preset has that
value, a run does not state the setting, so that older runs keep their names. The value is written here and not read from the preset's
defaults: a default may change, but not the meaning of a kept run."""
FORMER_NAMES: Mapping[str, str] = {"cogent": "clevr-cogent", "dot2d": "2d", "pose6d": "6dof"}
"""The names of evaluations when runs were first kept. Runs still state these names, so that older runs keep their digests."""


@dataclass(frozen=True)
class Plan:
    """The runs to make: each method at each size with each seed.

    ``methods`` are names of the evaluation's methods. ``preset`` is IG-LLM's, a name or a file; ``changes`` (``KEY=VALUE``) apply to the
    presets of all methods. ``budget`` is the number of images that each model sees in training, whatever the size of its data;
    ``pretrain_share`` of it goes to the tower's pretraining where the method has one. ``seeds`` are those of weights, order and
    augmentation, not of the data. `UserError` for values that are out of range or given twice.
    """

    methods: Sequence[str]
    sizes: Sequence[int]
    seeds: Sequence[int]
    preset: str
    changes: Sequence[str]
    budget: int
    pretrain_share: float

    def __post_init__(self) -> None:
        for what, values in (("method", self.methods), ("size", self.sizes), ("seed", self.seeds)):
            if not values:
                raise UserError(f"no {what} is given: at least one is needed")
            if len(set(values)) < len(values):
                raise UserError(f"a {what} is given twice: {', '.join(map(str, values))}")
        for what, numbers, least in (("size", self.sizes, 1), ("seed", self.seeds, 0)):
            if min(numbers) < least:
                raise UserError(f"a {what} of {min(numbers)}: at least {least} is needed")
        if self.budget < 1:
            raise UserError(f"a budget of {self.budget} images: at least 1 is needed")
        if not 0 <= self.pretrain_share < 1:
            raise UserError(f"a pretraining share of {self.pretrain_share:g}: it must be at least 0 and below 1")

    def requests(self, evaluation: Evaluation) -> list[RunRequest]:
        """The planned runs in the order in which they are made; runs that share a pretraining follow each other. `UserError` for an unknown
        method or a bad preset."""
        known = {method.name: method for method in evaluation.methods}
        for name in self.methods:
            if name not in known:
                raise UserError(f"the evaluation {evaluation.name} has no method {name!r}; choose among {', '.join(known)}")
        return [
            self._request(known[method], size, seed, evaluation) for seed in self.seeds for size in self.sizes for method in self.methods
        ]

    def _request(self, method: Method, size: int, seed: int, evaluation: Evaluation) -> RunRequest:
        from model.preset import get_preset

        name = method.preset or self.preset
        base = get_preset(name).changed([*self.changes, f"seed={seed}"])
        preset = base.changed(method.changes)
        step = preset.optimisation.batch_size * preset.optimisation.accumulation
        possible = method.pretrained and not base.tower.freeze_vision and base.auxiliary.dense_weight > 0
        seen = round(self.budget * self.pretrain_share) if possible else 0
        # Without a numeric head, which pretraining does not train: a model with one and a model without can both begin with it.
        pretraining = preset.changed([*evaluation.pretraining, "numbers=char"]) if seen else None
        training = preset.replaced(steps=max(1, round((self.budget - seen) / step)))
        training.check_stage("train")  # now, and not after other runs
        if pretraining is None:
            return RunRequest(method, size, seed, Path(name).stem, training, None, None, evaluation)
        first = round(seen * evaluation.lesson.share) if evaluation.lesson else 0
        lesson = pretraining.replaced(steps=max(1, round(first / step))) if evaluation.lesson else None
        pretraining = pretraining.replaced(steps=max(1, round((seen - first) / step)))
        return RunRequest(method, size, seed, Path(name).stem, training, pretraining, lesson, evaluation)


@dataclass(frozen=True)
class RunRequest:
    """One planned run, and the digests of all that determines it."""

    method: Method
    size: int
    seed: int
    preset_name: str
    training: Preset
    pretraining: Preset | None
    lesson: Preset | None
    evaluation: Evaluation

    @cached_property
    def asked(self) -> dict[str, Any]:
        """All that determines the scores, as plain data."""
        tests = {c.key: {"scenes": self.evaluation.test_scenes, **_drawn(c.data)} for c in self.evaluation.conditions}
        return {**self._model_facts("train", self.training, self.pretraining), **self._lesson_facts(), "tests": tests}

    @property
    def digest(self) -> str:
        """The name of the run."""
        return digest(self.asked)

    @property
    def work(self) -> dict[str, dict[str, int] | None]:
        """The steps and the images seen in ``training`` and in ``pretraining`` (None without one), which includes a lesson."""
        before = [_work(preset) for preset in (self.lesson, self.pretraining) if preset is not None]
        summed = {name: sum(one[name] for one in before) for name in ("steps", "images")}
        return {"training": _work(self.training), "pretraining": summed if before else None}

    @property
    def pretraining_digest(self) -> str:
        """The name of the pretraining, which runs of several methods may share."""
        assert self.pretraining is not None
        return digest({**self._model_facts("pretrain", self.pretraining, None), **self._lesson_facts()})

    @property
    def lesson_scenes(self) -> int:
        """The number of scenes of the lesson."""
        return max(1, self.size // 2)

    @property
    def lesson_digest(self) -> str:
        """The name of the lesson, which several pretrainings may share."""
        assert self.lesson is not None
        return digest({**self._model_facts("lesson", self.lesson, None), **self._lesson_facts()})

    @property
    def title(self) -> str:
        """The description of the run in messages."""
        return f"{self.method.name}, {self.size} images, seed {self.seed}"

    def _lesson_facts(self) -> dict[str, Any]:
        """The lesson, if there is one; empty for a run without, so that runs from before lessons were introduced keep their names."""
        if self.lesson is None or self.evaluation.lesson is None:
            return {}
        return {"lesson": {"steps": self.lesson.optimisation.steps, "scenes": self.lesson_scenes, **_drawn(self.evaluation.lesson.data)}}

    def _model_facts(self, stage: str, preset: Preset, pretraining: Preset | None) -> dict[str, Any]:
        """All that determines a trained model. For its pretraining, only the settings that differ from those of the training."""
        from model.config import FORMAT_VERSION as MODEL_FORMAT

        settings = _decisive(preset)
        return {
            "format_version": FORMAT_VERSION,
            "model_format": MODEL_FORMAT,
            "evaluation": FORMER_NAMES.get(self.evaluation.name, self.evaluation.name),
            "stage": stage,
            **({"method": self.method.name} if stage == "train" else {}),
            "size": self.size,
            "seed": self.seed,
            "preset": self.preset_name,
            "settings": _stated(settings),
            "pretraining": None if pretraining is None else {k: v for k, v in _decisive(pretraining).items() if v != settings[k]},
            "train": _drawn(self.evaluation.train),
            "val": {"scenes": self.evaluation.val_scenes, **_drawn(self.evaluation.val)},
        }


def digest(asked: Mapping[str, Any]) -> str:
    """The digest of plain data: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _work(preset: Preset) -> dict[str, int]:
    optimisation = preset.optimisation
    return {"steps": optimisation.steps, "images": optimisation.steps * optimisation.batch_size * optimisation.accumulation}


def _decisive(preset: Preset) -> dict[str, Any]:
    """The settings on which the trained weights depend."""
    from model.run_folder import FREE_TO_CHANGE

    counted = ("steps", "batch_size", "accumulation")
    free = set(FREE_TO_CHANGE) - set(counted)
    return {name: value for name, value in preset.to_json().items() if name not in free}


def _stated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run states: see `LATER_SETTINGS`."""
    return {name: value for name, value in settings.items() if name not in LATER_SETTINGS or value != LATER_SETTINGS[name]}


def _drawn(data: DatasetSettings) -> dict[str, Any]:
    """The settings on which samples depend."""
    return {name: value for name, value in data.to_json().items() if name != "shard_size"}
