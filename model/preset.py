"""Presets: every setting of a model and its training, with one sentence each, in TOML files to read, copy and change.

``tiny.toml``, ``small.toml``, ``paper.toml`` and ``derender.toml`` lie beside this file; ``--preset`` takes their names or a file of
yours, and ``--set KEY=VALUE`` changes any setting.
"""

from __future__ import annotations

import math
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from datagen.domains.dialects import Rotations
from datagen.errors import UserError, did_you_mean
from datagen.io.files import read_text

FOLDER = Path(__file__).parent / "presets"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
FROM_SCRATCH = "none"
TABLES = ("vision", "text")
MOST_LEVELS = 20  # of lists and tables in each other
LONGEST_SHOWN = 60  # characters of a value in a message
IGLLM_ALONE = (
    "text",
    "vision_model",
    "language_model",
    "vision_layer",
    "vision_merge",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "rotations",
    "numbers",
    "number_feedback",
    "feedback_noise",
    "number_cells",
    "word_cells",
    "number_close",
    "dense_weight",
    "dense_split",
    "guide_weight",
    "cache_features",
    "vary_prompts",
    "shuffle_attributes",
    "synonyms",
    "order_noise",
    "projector_learning_rate",
    "head_learning_rate",
    "align_learning_rate",
    "align_batch_size",
    "gradient_checkpointing",
)
"""Settings that a de-rendering model has no use for."""


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may be, from ``least`` to ``most``; ``open`` says which of the two it must not be itself."""

    least: float
    most: float
    open: Literal["", "least", "most"] = ""

    def __contains__(self, value: float) -> bool:
        above = value > self.least if self.open == "least" else value >= self.least
        return above and (value < self.most if self.open == "most" else value <= self.most)  # which nan is not

    def __str__(self) -> str:
        above, below = ("above" if self.open == "least" else "at least"), ("below" if self.open == "most" else "at most")
        return f"{above} {self.least:,} and {below} {self.most:,}"


PIXELS = Range(16, 8192)
CELLS = Range(1, 64)
COUNT = Range(1, 10**6)
STEPS = Range(1, 10**9)
WEIGHT = Range(0, 10**6)
RATE = Range(0, 10, open="least")
SHARE = Range(0, 1, open="most")


def _setting(default: Any, help: str, within: Range | None = None) -> Any:
    return field(default=default, metadata={"help": help, "within": within})


@dataclass(frozen=True)
class Preset:
    """A model's parts and how it is trained. ``vision`` and ``text`` describe parts that are made from scratch: the fields of their
    Hugging Face configurations."""

    vision: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["igllm", "derender"] = _setting("igllm", "what is trained: an IG-LLM, or the de-rendering baseline")
    vision_model: str = _setting(FROM_SCRATCH, "hub name (NAME@REVISION) or folder of the vision tower; none: the preset's [vision]")
    language_model: str = _setting(FROM_SCRATCH, "hub name (NAME@REVISION) or folder of the language model; none: the preset's [text]")
    image_height: int = _setting(336, "height of the frame of a tower made from scratch, pixels", PIXELS)
    image_width: int = _setting(336, "width of that frame, pixels", PIXELS)
    vision_layer: int = _setting(-2, "hidden state that is read from a transformer tower", Range(-1000, 1000))
    vision_merge: int = _setting(1, "cells of the tower, each way, that make one visual token", CELLS)
    freeze_vision: bool = _setting(True, "whether the tower keeps its weights")
    lora_rank: int = _setting(0, "rank of LoRA's adapters on the language model; 0: all of it is trained", Range(0, 65536))
    lora_alpha: int = _setting(0, "LoRA's alpha: adapters are scaled by alpha / rank", WEIGHT)
    lora_dropout: float = _setting(0.0, "dropout before LoRA's adapters", SHARE)
    rotations: Rotations = _setting("own", "how free rotations are written in training; own: as the domain's code does")  # noqa: RUF009 - the type is a Literal
    numbers: Literal["head", "char"] = _setting("head", "numbers by the numeric head, or written as characters")
    number_cells: bool = _setting(
        False, "whether a number may be what the dense read-out says of a cell, if that is likelier (numbers=head)"
    )
    word_cells: bool = _setting(False, "whether what the dense read-out says of a cell helps to say words, too (with number_cells)")
    number_feedback: bool = _setting(False, "whether a number's value is embedded back into the sequence (numbers=head)")
    feedback_noise: float = _setting(0.0, "noise on the true values fed back in training, normalised units", WEIGHT)
    number_weight: float = _setting(1.0, "weight of the numbers' error", WEIGHT)
    number_close: float = _setting(0.0, "error, normalised units, beyond which a number's loss grows linearly; 0: always squared", WEIGHT)
    dense_weight: float = _setting(0.0, "weight of the auxiliary loss on the visual tokens; 0 leaves it out", WEIGHT)
    dense_split: int = _setting(1, "cells, each way, that the auxiliary loss splits a visual token's cell into", CELLS)
    guide_weight: float = _setting(0.0, "weight of the loss that shows one attention head where an object is; 0 leaves it out", WEIGHT)
    augment: bool = _setting(False, "whether images are mirrored and jittered in training")
    cache_features: bool = _setting(False, "whether a frozen tower's features are computed once and kept on disk")
    vary_prompts: bool = _setting(True, "whether training asks for the code in varying words")
    shuffle_attributes: bool = _setting(False, "whether training shuffles the order of keywords")
    order_noise: float = _setting(0.0, "noise, metres, on where objects stand when training puts them in order", WEIGHT)
    synonyms: bool = _setting(False, "whether training replaces attribute words by synonyms")
    learning_rate: float = _setting(2e-5, "peak learning rate of the language model or its adapters, and of a tower that is trained", RATE)
    projector_learning_rate: float = _setting(2e-5, "peak learning rate of the projector and the dense read-out", RATE)
    head_learning_rate: float = _setting(2e-4, "peak learning rate of the numeric head and the number feedback", RATE)
    align_learning_rate: float = _setting(1e-3, "peak learning rate of the projector in alignment", RATE)
    align_batch_size: int = _setting(128, "samples a step on one device in alignment", COUNT)
    weight_decay: float = _setting(0.0, "weight decay", WEIGHT)
    warmup: float = _setting(0.03, "share of the steps over which the learning rate rises", SHARE)
    batch_size: int = _setting(32, "samples a step on one device", COUNT)
    accumulation: int = _setting(1, "batches whose gradients are added up before a step", COUNT)
    steps: int = _setting(40_000, "optimizer steps", STEPS)
    save_seconds: float = _setting(60.0, "seconds between checkpoints: the most work that a kill can cost", Range(0, 10**9, open="least"))
    save_steps: int = _setting(0, "steps between further checkpoints; 0: by the clock alone", Range(0, 10**9))
    log_steps: int = _setting(10, "steps that a line of the log is the mean of", STEPS)
    eval_steps: int = _setting(500, "steps between measurements on --val", STEPS)
    bf16: bool = _setting(False, "whether to compute in bfloat16 (what is trained stays float32)")
    gradient_checkpointing: bool = _setting(False, "whether activations are computed twice to save memory")
    loaders: int = _setting(0, "processes that read and decode samples; 0: the training process itself", Range(0, 1024))
    report_to: Literal["tensorboard", "wandb", "none"] = _setting("tensorboard", "where curves are logged, beside log.jsonl")
    seed: int = _setting(0, "seed of weights, order and augmentation", Range(0, 2**32 - 1))

    def __post_init__(self) -> None:
        kinds = settings()
        for each in fields(self):
            if each.name in kinds:
                _check(each.name, getattr(self, each.name), kinds[each.name][0], each.metadata["within"])
        for name in TABLES:
            _check_table(name, getattr(self, name))
        self._check_cells()
        if self.lora_rank and not self.lora_alpha:
            raise UserError("lora_rank without lora_alpha: adapters scaled by 0 learn nothing; the paper takes twice the rank")
        if self.cache_features and self.augment:
            raise UserError("cache_features and augment exclude each other: cached features are those of the images as they are")
        if self.cache_features and not self.freeze_vision:
            raise UserError("cache_features needs freeze_vision: the features of a tower that is trained do not keep")
        if self.kind == "derender":
            self._check_derendering()

    def _check_cells(self) -> None:
        if self.number_cells and self.number_close:
            raise UserError("number_close belongs to squared errors, and with number_cells there are none: --set number_close=0")
        if self.word_cells and not self.number_cells:
            raise UserError("word_cells finds its cells as numbers do: --set number_cells=true, or word_cells=false too")
        if self.number_cells and not self.dense_weight:
            raise UserError("number_cells needs the dense read-out, whose numbers they are: --set dense_weight=1")

    def _check_derendering(self) -> None:
        default = Preset()
        for name in IGLLM_ALONE:
            if getattr(self, name) != getattr(default, name):
                raise UserError(f"{name} is a setting of IG-LLM: a de-rendering model (kind=derender) has no such part")
        if self.freeze_vision:
            raise UserError("kind=derender needs freeze_vision=false: its trunk begins from nothing")

    def changed(self, assignments: Iterable[str]) -> Preset:
        """A copy with ``KEY=VALUE`` settings applied; `UserError` for an unknown key or a value of the wrong type."""
        changes: dict[str, Any] = {}
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals:
                raise UserError(f"--set {assignment}: KEY=VALUE is expected, such as steps=5000")
            if key not in settings():
                raise UserError(f"--set {assignment}: {_unknown(key, settings())}")
            changes[key] = _parsed(key, text, settings()[key][0])
        return replace(self, **changes)  # together, so that settings that depend on each other can change at once

    def to_json(self) -> dict[str, Any]:
        """The settings as plain data."""
        return asdict(self)


@cache
def settings() -> dict[str, tuple[Any, str]]:
    """What ``--set`` takes: type and help by key."""
    hints = typing.get_type_hints(Preset)
    return {f.name: (hints[f.name], f.metadata["help"]) for f in fields(Preset) if "help" in f.metadata}


def get_preset(name: str) -> Preset:
    """The preset of that name, or in that TOML file; `UserError` if there is none or it cannot be read."""
    path = FOLDER / f"{name}.toml" if name in NAMES else Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise UserError(f"there is no preset {name!r}; choose one of {', '.join(NAMES)}, or give a .toml file")
    try:
        content = tomllib.loads(read_text(path))
    except RecursionError:
        raise UserError(f"{path}: not a readable preset (it is nested too deeply)") from None
    except ValueError as error:
        raise UserError(f"{path}: not a readable preset ({error})") from None
    for key in content:
        if key not in (*TABLES, *settings()):
            raise UserError(f"{path}: {_unknown(key, [*TABLES, *settings()])}")
    try:
        return Preset(**content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _unknown(key: str, known: Iterable[str]) -> str:
    meant = did_you_mean(key, known)
    return f"there is no setting {key!r}" + (meant or f"; known are {', '.join(known)}")


def _check(name: str, value: Any, kind: Any, within: Range | None) -> None:
    """`UserError` unless a setting's value is of its type and in its range."""
    if not _fits(value, kind) or (within is not None and value not in within):
        raise UserError(f"{name} is {_shown(value)}: {_expected(kind)}{f' {within}' if within else ''} is expected")


def _check_table(name: str, table: Any) -> None:
    """`UserError` unless a table holds only what the configuration of a model can."""
    if not isinstance(table, Mapping):
        raise UserError(f"{name} is {_shown(table)}: a table of the fields of a Hugging Face configuration is expected")
    for key, value in table.items():
        if not isinstance(key, str) or not _is_plain(value):
            raise UserError(
                f"[{name}]: {key} is {_shown(value)}: text, finite numbers, true, false, or lists and tables of them are expected, "
                f"{MOST_LEVELS} in each other at most"
            )


def _is_plain(value: Any, levels: int = MOST_LEVELS) -> bool:
    """Whether a value is text, a number, or lists and tables of them, in so many levels at most."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and _is_plain(list(value.values()), levels)
    if isinstance(value, list | tuple):
        return levels > 0 and all(_is_plain(item, levels - 1) for item in value)
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _fits(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return isinstance(value, str) and value in typing.get_args(kind)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _parsed(key: str, text: str, kind: Any) -> Any:
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else text if typing.get_origin(kind) else kind(text)
    except (ValueError, KeyError):
        raise UserError(f"--set {key}={_shown(text)}: {_expected(kind)} is expected") from None


def _expected(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(typing.get_args(kind))}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]


def _shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    try:
        text = value if isinstance(value, str) and value and value.isprintable() else repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = "too large a number"
    except RecursionError:
        text = "nested too deeply"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
