"""What an evaluation asks: which models, trained on how much of what, tested on what. Nothing here is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import UserError
from datagen.settings import DatasetSettings

if TYPE_CHECKING:
    from model.presets import Preset

FORMAT_VERSION = 1
"""Of cells. A change of what is measured, or of what training with the same settings does, raises it, and older cells are run again."""


@dataclass(frozen=True)
class Method:
    """A way to a trained model. ``preset`` None is the one asked for; ``changes`` are ``KEY=VALUE``; ``pretrained`` says whether a tower
    that can be pretrained is, within the same budget."""

    name: str
    label: str
    preset: str | None = None
    changes: tuple[str, ...] = ()
    pretrained: bool = True


METHODS = {
    method.name: method
    for method in (
        Method("head", "IG-LLM, numeric head", changes=("numbers=head",)),
        Method("char", "IG-LLM, characters", changes=("numbers=char",)),
        Method("derender", "neural scene de-rendering", preset="derender", pretrained=False),
    )
}


@dataclass(frozen=True)
class Condition:
    """Scenes to test on: ``key`` in files and folders, ``label`` for people."""

    key: str
    label: str
    data: DatasetSettings


@dataclass(frozen=True)
class Evaluation:
    """What models learn from and are tested on. The first of ``conditions`` is what they were trained on (ID), the other is not (OOD).

    Training sets of several sizes are drawn with the same seed, so the smaller are the beginnings of the larger. The seeds of all data
    must differ: neighbouring seeds share no scene.
    """

    name: str
    title: str
    train: DatasetSettings
    val: DatasetSettings
    conditions: tuple[Condition, Condition]
    val_scenes: int
    test_scenes: int


@dataclass(frozen=True)
class Plan:
    """Which cells are asked for: each method at each size with each seed.

    ``preset`` is IG-LLM's, a name or a file; ``changes`` (``KEY=VALUE``) go to the presets of all methods. ``budget`` is the number of
    images that each model sees in training, whatever the size of its data; ``pretrain_share`` of it goes to the tower's pretraining where
    the method has one. ``seeds`` are those of weights, order and augmentation; the data stay the same. `UserError` for what cannot be.
    """

    methods: Sequence[str] = tuple(METHODS)
    sizes: Sequence[int] = (500, 4000)
    seeds: Sequence[int] = (0,)
    preset: str = "tiny"
    changes: Sequence[str] = ()
    budget: int = 24_000
    pretrain_share: float = 0.5

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                raise UserError(f"there is no method {name!r}; choose among {', '.join(METHODS)}")
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

    def requests(self, evaluation: Evaluation) -> list[Request]:
        """The cells in the order in which they are run: those that share a pretraining are neighbours. `UserError` for a bad preset."""
        return [
            self._request(METHODS[method], size, seed, evaluation) for seed in self.seeds for size in self.sizes for method in self.methods
        ]

    def _request(self, method: Method, size: int, seed: int, evaluation: Evaluation) -> Request:
        from model.presets import get_preset

        name = method.preset or self.preset
        base = get_preset(name).changed([*self.changes, f"seed={seed}"])
        preset = base.changed(method.changes)
        step = preset.batch_size * preset.accumulation
        possible = method.pretrained and not base.freeze_vision and base.dense_weight > 0
        seen = round(self.budget * self.pretrain_share) if possible else 0
        # Without a numeric head, which pretraining does not train: a model with one and a model without can both begin with it.
        pretraining = replace(base, numbers="char", steps=max(1, round(seen / step))) if seen else None
        training = replace(preset, steps=max(1, round((self.budget - seen) / step)))
        return Request(method, size, seed, Path(name).stem, training, pretraining, evaluation)


@dataclass(frozen=True)
class Request:
    """One cell that is asked for, and the digests of all that determines it."""

    method: Method
    size: int
    seed: int
    preset_name: str
    training: Preset
    pretraining: Preset | None
    evaluation: Evaluation

    @cached_property
    def asked(self) -> dict[str, Any]:
        """All that determines the cell, as plain data."""
        tests = {c.key: {"scenes": self.evaluation.test_scenes, **_drawn(c.data)} for c in self.evaluation.conditions}
        return {**self._learnt("train", self.training, self.pretraining), "tests": tests}

    @property
    def digest(self) -> str:
        """The name of the cell."""
        return digest(self.asked)

    @property
    def pretraining_digest(self) -> str:
        """The name of the pretraining, which cells of several methods may share."""
        assert self.pretraining is not None
        return digest(self._learnt("pretrain", self.pretraining, None))

    @property
    def title(self) -> str:
        """The cell in words."""
        return f"{self.method.name}, {self.size} images, seed {self.seed}"

    def _learnt(self, stage: str, preset: Preset, pretraining: Preset | None) -> dict[str, Any]:
        """All that determines a trained model; of the pretraining, the settings that differ."""
        from model.config import FORMAT_VERSION as MODEL_FORMAT

        settings = _learning(preset)
        return {
            "format_version": FORMAT_VERSION,
            "model_format": MODEL_FORMAT,
            "evaluation": self.evaluation.name,
            "stage": stage,
            **({"method": self.method.name} if stage == "train" else {}),
            "size": self.size,
            "seed": self.seed,
            "preset": self.preset_name,
            "settings": settings,
            "pretraining": None if pretraining is None else {k: v for k, v in _learning(pretraining).items() if v != settings[k]},
            "train": _drawn(self.evaluation.train),
            "val": {"scenes": self.evaluation.val_scenes, **_drawn(self.evaluation.val)},
        }


def digest(asked: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name what is asked."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _learning(preset: Preset) -> dict[str, Any]:
    """The settings that make a difference to what is learnt."""
    from model.run import FREE_TO_CHANGE

    counted = ("steps", "batch_size", "accumulation")
    free = set(FREE_TO_CHANGE) - set(counted)
    return {name: value for name, value in preset.to_json().items() if name not in free}


def _drawn(data: DatasetSettings) -> dict[str, Any]:
    """The settings that make a difference to samples."""
    return {name: value for name, value in data.to_json().items() if name != "shard_size"}
