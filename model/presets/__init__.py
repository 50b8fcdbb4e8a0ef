"""Presets: every setting of a model and its training, with one sentence each, in TOML files to read, copy and change.

``tiny.toml``, ``small.toml``, ``paper.toml`` and ``derender.toml`` lie beside this file; ``--preset`` takes their names or a file of
yours, and ``--set KEY=VALUE`` changes any setting.
"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from datagen.dialects import Rotations
from datagen.errors import UserError
from datagen.files import read_text

FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
FROM_SCRATCH = "none"
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


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Preset:
    """A model's parts and how it is trained. ``vision`` and ``text`` describe parts that are made from scratch: the fields of their
    Hugging Face configurations."""

    vision: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["igllm", "derender"] = _setting("igllm", "what is trained: an IG-LLM, or the de-rendering baseline")
    vision_model: str = _setting(FROM_SCRATCH, "hub name (NAME@REVISION) or folder of the vision tower; none: the preset's [vision]")
    language_model: str = _setting(FROM_SCRATCH, "hub name (NAME@REVISION) or folder of the language model; none: the preset's [text]")
    image_height: int = _setting(336, "height of the frame of a tower made from scratch, pixels")
    image_width: int = _setting(336, "width of that frame, pixels")
    vision_layer: int = _setting(-2, "hidden state that is read from a transformer tower")
    vision_merge: int = _setting(1, "cells of the tower, each way, that make one visual token")
    freeze_vision: bool = _setting(True, "whether the tower keeps its weights")
    lora_rank: int = _setting(0, "rank of LoRA's adapters on the language model; 0: all of it is trained")
    lora_alpha: int = _setting(0, "LoRA's alpha: adapters are scaled by alpha / rank")
    lora_dropout: float = _setting(0.0, "dropout before LoRA's adapters")
    rotations: Rotations = _setting("own", "how free rotations are written in training; own: as the domain's code does")  # noqa: RUF009 - the type is a Literal
    numbers: Literal["head", "char"] = _setting("head", "numbers by the numeric head, or written as characters")
    number_cells: bool = _setting(
        False, "whether a number may be what the dense read-out says of a cell, if that is likelier (numbers=head)"
    )
    word_cells: bool = _setting(False, "whether what the dense read-out says of a cell helps to say words, too (with number_cells)")
    number_feedback: bool = _setting(False, "whether a number's value is embedded back into the sequence (numbers=head)")
    feedback_noise: float = _setting(0.0, "noise on the true values fed back in training, normalised units")
    number_weight: float = _setting(1.0, "weight of the numbers' error")
    number_close: float = _setting(0.0, "error, normalised units, beyond which a number's loss grows linearly; 0: squared throughout")
    dense_weight: float = _setting(0.0, "weight of the auxiliary loss on the visual tokens; 0 leaves it out")
    dense_split: int = _setting(1, "cells, each way, that the auxiliary loss splits a visual token's cell into")
    guide_weight: float = _setting(0.0, "weight of the loss that shows one attention head where an object is; 0 leaves it out")
    augment: bool = _setting(False, "whether images are mirrored and jittered in training")
    cache_features: bool = _setting(False, "whether a frozen tower's features are computed once and kept on disk")
    vary_prompts: bool = _setting(True, "whether training asks for the code in varying words")
    shuffle_attributes: bool = _setting(False, "whether training shuffles the order of keywords")
    order_noise: float = _setting(0.0, "noise, metres, on where objects stand when training puts them in order")
    synonyms: bool = _setting(False, "whether training replaces attribute words by synonyms")
    learning_rate: float = _setting(2e-5, "peak learning rate of the language model or its adapters, and of a tower that is trained")
    projector_learning_rate: float = _setting(2e-5, "peak learning rate of the projector and the dense read-out")
    head_learning_rate: float = _setting(2e-4, "peak learning rate of the numeric head and the number feedback")
    align_learning_rate: float = _setting(1e-3, "peak learning rate of the projector in alignment")
    align_batch_size: int = _setting(128, "samples a step on one device in alignment")
    weight_decay: float = _setting(0.0, "weight decay")
    warmup: float = _setting(0.03, "share of the steps over which the learning rate rises")
    batch_size: int = _setting(32, "samples a step on one device")
    accumulation: int = _setting(1, "batches whose gradients are added up before a step")
    steps: int = _setting(40_000, "optimizer steps")
    save_seconds: float = _setting(60.0, "seconds between checkpoints: the most work that a kill can cost")
    save_steps: int = _setting(0, "steps between further checkpoints; 0: by the clock alone")
    log_steps: int = _setting(10, "steps that a line of the log is the mean of")
    eval_steps: int = _setting(500, "steps between measurements on --val")
    bf16: bool = _setting(False, "whether to compute in bfloat16 (what is trained stays float32)")
    gradient_checkpointing: bool = _setting(False, "whether activations are computed twice to save memory")
    loaders: int = _setting(0, "processes that read and decode samples; 0: the training process itself")
    report_to: Literal["tensorboard", "wandb", "none"] = _setting("tensorboard", "where curves are logged, beside log.jsonl")
    seed: int = _setting(0, "seed of weights, order and augmentation")

    def __post_init__(self) -> None:
        sizes = (
            "image_height",
            "image_width",
            "vision_merge",
            "dense_split",
            "batch_size",
            "align_batch_size",
            "accumulation",
            "steps",
        )
        intervals = ("save_seconds", "log_steps", "eval_steps")
        rates = ("learning_rate", "projector_learning_rate", "head_learning_rate", "align_learning_rate")
        for name in (*sizes, *intervals, *rates):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}: it must be positive")
        for name in (
            "number_weight",
            "number_close",
            "dense_weight",
            "guide_weight",
            "feedback_noise",
            "order_noise",
            "weight_decay",
            "lora_rank",
            "lora_alpha",
            "loaders",
            "save_steps",
        ):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} is {getattr(self, name)}: it must not be negative")
        for name in ("warmup", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be a share, at least 0 and below 1")
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
            if not equals or key not in settings():
                raise UserError(f"--set {assignment}: give KEY=VALUE with a KEY of {', '.join(settings())}")
            changes[key] = _parsed(key, text, settings()[key][0])
        return replace(self, **changes)  # together, so that settings that depend on each other can change at once

    def to_json(self) -> dict[str, Any]:
        """The settings as plain data."""
        return asdict(self)


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
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable preset ({error})") from None
    return _from_table(content, str(path))


def _from_table(content: Mapping[str, Any], where: str) -> Preset:
    known = settings()
    for key, value in content.items():
        if key in ("vision", "text"):
            fine = isinstance(value, dict)
        elif key not in known:
            raise UserError(f"{where}: there is no setting {key!r}; known are vision, text, {', '.join(known)}")
        else:
            fine = _fits(value, known[key][0])
        if not fine:
            raise UserError(f"{where}: {key} = {value!r}: {_expected(known[key][0]) if key in known else 'a table'} is expected")
    return Preset(**content)


def _fits(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _parsed(key: str, text: str, kind: Any) -> Any:
    try:
        value = {"true": True, "false": False}[text.lower()] if kind is bool else text if typing.get_origin(kind) else kind(text)
    except (ValueError, KeyError):
        value = None
    if not _fits(value, kind):
        raise UserError(f"--set {key}={text}: {_expected(kind)} is expected")
    return value


def _expected(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(typing.get_args(kind))}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
