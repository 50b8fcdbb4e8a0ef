"""Presets: every setting of a model and its training, in groups, with one sentence each; TOML files to read, copy and change.

``tiny.toml``, ``small.toml``, ``paper.toml`` and ``derender.toml`` lie in ``presets/``; ``--preset`` takes their names or a file of yours,
with a table for each group. ``--set optimisation.steps=5000`` changes a setting, and so does ``--set steps=5000``, since no two groups have
a setting of the same name.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_type_hints

from datagen.domains.dialects import Places, Rotations
from datagen.errors import UserError, did_you_mean
from datagen.io.declared import MAX_BYTES
from datagen.io.files import read_text
from model.setting import Group, Range, Setting, check_table, check_values, declared, parsed, setting, shown

FOLDER = Path(__file__).parent / "presets"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
FROM_SCRATCH = "none"
TABLES = ("vision", "text")
"""Tables of a preset that are no groups of settings: the fields of Hugging Face configurations, for parts that are made from scratch."""
Stage = Literal["pretrain", "align", "train"]
_STAGES: dict[Stage, str] = {"pretrain": "pretraining", "align": "alignment", "train": "training"}
PIXELS = Range(16, 8192)
CELLS = Range(1, 64)
COUNT = Range(1, 10**6)
STEPS = Range(1, 10**9)
WEIGHT = Range(0, 10**6)
RATE = Range(0, 10, open="least")
SHARE = Range(0, 1, open="most")


@dataclass(frozen=True)
class TowerSettings(Group):
    """The vision tower and what it reads."""

    vision_model: str = setting(FROM_SCRATCH, "hub name (NAME@REVISION) or folder of the vision tower; none: the preset's [vision]")
    frame: Literal["own", "stated"] = setting(
        "own", "own: the size of images that the tower was made for, if for one; stated: the next two, set by stating them", shared=True
    )
    image_height: int = setting(336, "height of the frame, pixels, if it is stated or the tower was made for none", PIXELS, shared=True)
    image_width: int = setting(336, "width of that frame, pixels", PIXELS, shared=True)
    vision_layer: int = setting(-2, "hidden state that is read from a transformer tower", Range(-1000, 1000))
    vision_merge: int = setting(1, "cells of the tower, each way, that make one visual token", CELLS)
    freeze_vision: bool = setting(True, "whether the tower keeps its weights", shared=True)
    cache_features: bool = setting(False, "whether a frozen tower's features are computed once and kept on disk")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cache_features and not self.freeze_vision:
            raise UserError("cache_features needs freeze_vision: the features of a tower that is trained do not keep")


@dataclass(frozen=True)
class LanguageSettings(Group):
    """The language model, and LoRA's adapters on it."""

    language_model: str = setting(FROM_SCRATCH, "hub name (NAME@REVISION) or folder of the language model; none: the preset's [text]")
    lora_rank: int = setting(0, "rank of LoRA's adapters on the language model; 0: all of it is trained", Range(0, 65536))
    lora_alpha: int = setting(0, "LoRA's alpha: adapters are scaled by alpha / rank", WEIGHT)
    lora_dropout: float = setting(0.0, "dropout before LoRA's adapters", SHARE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora_rank and not self.lora_alpha:
            raise UserError("lora_rank without lora_alpha: adapters scaled by 0 learn nothing; the paper takes twice the rank")


@dataclass(frozen=True)
class HeadSettings(Group):
    """How scenes and numbers are written, and the numeric head, which reads numbers off the language model's hidden states."""

    rotations: Rotations = setting("own", "how free rotations are written in training; own: as the domain's code does")  # noqa: RUF009 - the type is a Literal
    places: Places = setting("world", "where objects are and how they are turned, in training: in the world, or as the camera sees them")  # noqa: RUF009 - the type is a Literal
    shot_in_code: bool = setting(False, "whether the code begins with the camera and the lamps")
    numbers: Literal["head", "char"] = setting("head", "numbers by the numeric head, or written as characters")
    number_cells: bool = setting(
        False, "whether a number may be what the dense read-out says of a cell, if that is likelier (numbers=head)"
    )
    word_cells: bool = setting(False, "whether what the dense read-out says of a cell helps to say words, too (with number_cells)")
    number_feedback: bool = setting(False, "whether a number's value is embedded back into the sequence (numbers=head)")
    feedback_noise: float = setting(0.0, "noise on the true values fed back in training, normalised units", WEIGHT)
    number_weight: float = setting(1.0, "weight of the numbers' error", WEIGHT, shared=True)
    number_close: float = setting(0.0, "error, normalised units, beyond which a number's loss grows linearly; 0: always squared", WEIGHT)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.number_cells and self.number_close:
            raise UserError("number_close belongs to squared errors, and with number_cells there are none: --set number_close=0")
        if self.word_cells and not self.number_cells:
            raise UserError("word_cells finds its cells as numbers do: --set number_cells=true, or word_cells=false too")


@dataclass(frozen=True)
class AuxiliarySettings(Group):
    """Auxiliary losses, which teach the tower and the attention of a small model."""

    dense_weight: float = setting(0.0, "weight of the auxiliary loss on the visual tokens; 0 leaves it out", WEIGHT)
    dense_split: int = setting(1, "cells, each way, that the auxiliary loss splits a visual token's cell into", CELLS)
    dense_reader: Literal["linear", "context"] = setting(
        "linear",
        "linear: a map of each visual token; context: a network of a patch and of the whole image, which knows how sure it is",
    )
    guide_weight: float = setting(0.0, "weight of the loss that shows one attention head where an object is; 0 leaves it out", WEIGHT)


@dataclass(frozen=True)
class ExampleSettings(Group):
    """How training makes an example of a sample: its image, its prompt, its code."""

    augment: bool = setting(False, "whether images are mirrored and jittered in training", shared=True)
    vary_prompts: bool = setting(True, "whether training asks for the code in varying words")
    shuffle_attributes: bool = setting(False, "whether training shuffles the order of keywords")
    synonyms: bool = setting(False, "whether training replaces attribute words by synonyms")
    order_noise: float = setting(0.0, "noise, metres, on where objects stand when training puts them in order", WEIGHT)


@dataclass(frozen=True)
class OptimisationSettings(Group):
    """How the weights are found."""

    learning_rate: float = setting(
        2e-5, "peak learning rate of the language model or its adapters, and of a tower that is trained", RATE, shared=True
    )
    projector_learning_rate: float = setting(2e-5, "peak learning rate of the projector and the dense read-out", RATE)
    head_learning_rate: float = setting(2e-4, "peak learning rate of the numeric head and the number feedback", RATE)
    align_learning_rate: float = setting(1e-3, "peak learning rate of the projector in alignment", RATE)
    align_batch_size: int = setting(128, "samples in a batch on one device in alignment", COUNT)
    weight_decay: float = setting(0.0, "weight decay", WEIGHT, shared=True)
    warmup: float = setting(0.03, "share of the steps over which the learning rate rises", SHARE, shared=True)
    batch_size: int = setting(32, "samples in a batch on one device", COUNT, shared=True)
    accumulation: int = setting(1, "batches whose gradients are added up before a step", COUNT, shared=True)
    steps: int = setting(40_000, "optimizer steps", STEPS, shared=True)
    bf16: bool = setting(False, "whether to compute in bfloat16 (what is trained stays float32)", shared=True)
    seed: int = setting(0, "seed of weights, order and augmentation", Range(0, 2**32 - 1), shared=True)


@dataclass(frozen=True)
class RunSettings(Group):
    """How a run saves, logs and uses the machine: nothing of it changes what is learnt."""

    save_seconds: float = setting(
        60.0, "seconds between checkpoints: the most work that a kill can cost", Range(0, 10**9, open="least"), shared=True
    )
    save_steps: int = setting(0, "steps between further checkpoints; 0: by the clock alone", Range(0, 10**9), shared=True)
    log_steps: int = setting(10, "steps that a line of the log is the mean of", STEPS, shared=True)
    eval_steps: int = setting(500, "steps between measurements on --val", STEPS, shared=True)
    gradient_checkpointing: Literal[False, True, "auto"] = setting(
        False, "whether activations are computed twice to save memory; auto: in as many layers as the GPU's memory asks for"
    )
    loaders: int = setting(0, "processes that read and decode samples; 0: the training process itself", Range(0, 1024), shared=True)
    report_to: Literal["tensorboard", "wandb", "none"] = setting("tensorboard", "where curves are logged, beside log.jsonl", shared=True)


@dataclass(frozen=True)
class Preset:
    """A model's parts and how it is trained. ``vision`` and ``text`` describe parts that are made from scratch: the fields of their
    Hugging Face configurations. `UserError`, naming a setting, for impossible values and combinations."""

    vision: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["igllm", "derender"] = setting("igllm", "what is trained: an IG-LLM, or the de-rendering baseline", shared=True)
    tower: TowerSettings = field(default_factory=TowerSettings)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    auxiliary: AuxiliarySettings = field(default_factory=AuxiliarySettings)
    examples: ExampleSettings = field(default_factory=ExampleSettings)
    optimisation: OptimisationSettings = field(default_factory=OptimisationSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        check_values(self)
        for name in TABLES:
            check_table(name, getattr(self, name))
        if self.head.number_cells and not self.auxiliary.dense_weight:
            raise UserError("number_cells needs the dense read-out, whose numbers they are: --set dense_weight=1")
        if self.auxiliary.dense_reader == "context" and self.auxiliary.dense_split != self.tower.vision_merge:
            raise UserError("dense_reader=context reads the tower's patches: dense_split must be what vision_merge is")
        if self.head.shot_in_code and self.head.numbers == "char" and self.examples.augment:
            raise UserError("shot_in_code and numbers=char exclude augment: camera and lamps of a mirrored image cannot be spelled")
        if self.tower.cache_features and self.examples.augment:
            raise UserError("cache_features and augment exclude each other: cached features are those of the images as they are")
        if self.kind == "derender":
            self._check_derendering()

    def _check_derendering(self) -> None:
        own = {"text", *(name for name, each in settings().items() if not each.shared)}
        default = Preset().to_json()
        for name, value in self.to_json().items():
            if name in own and value != default[name]:
                raise UserError(f"{name} is a setting of IG-LLM: a de-rendering model (kind=derender) has no such part")
        if self.tower.freeze_vision:
            raise UserError("kind=derender needs freeze_vision=false: its trunk begins from nothing")

    def check_stage(self, stage: Stage, init: str | None = None) -> None:
        """`UserError` if a stage of training cannot begin with these settings, whatever the data are and the parts hold.

        ``init`` is the run with whose weights it is to begin.
        """
        if self.kind == "derender" and stage != "train":
            raise UserError(f"{_STAGES[stage]} is a stage of IG-LLM; a de-rendering model is trained in one: igllm train")
        if self.kind == "derender" and init is not None:
            raise UserError("--init begins with the weights of a run of IG-LLM; a de-rendering model begins from nothing")
        if stage == "pretrain" and self.tower.freeze_vision:
            raise UserError("pretraining teaches the tower, and this preset freezes it: --set freeze_vision=false")
        if stage == "pretrain" and not self.auxiliary.dense_weight:
            raise UserError("pretraining learns by the dense loss alone: --set dense_weight=1")
        if stage == "align" and self.language.language_model == FROM_SCRATCH:
            raise UserError("alignment teaches a projector the words of a language model that knows some: give --language-model")
        if stage == "align" and self.tower.vision_model == FROM_SCRATCH:
            raise UserError("alignment is between parts that are trained already: give --vision-model")
        if self.run.report_to == "wandb" and find_spec("wandb") is None:
            raise UserError("report_to=wandb: Weights & Biases is not installed; pip install wandb")
        self.check_parts()

    def check_parts(self) -> None:
        """`UserError` for a part without a checkpoint to load it from, nor a table to make it from."""
        if self.tower.vision_model == FROM_SCRATCH and not self.vision:
            raise UserError("the preset has no [vision] to make a tower from; give --vision-model")
        if self.language.language_model == FROM_SCRATCH and not self.text and self.kind != "derender":
            raise UserError("the preset has no [text] to make a language model from; give --language-model")

    def replaced(self, /, **values: Any) -> Preset:
        """A copy with new values for settings, named without their groups, and for ``vision`` and ``text``.

        All change at once, since some depend on each other. `UserError` for an unknown name or an impossible value.
        """
        values |= self._implied_frame(values)
        changes: dict[str, dict[str, Any]] = defaultdict(dict)
        for name, value in values.items():
            if name not in (*TABLES, *settings()):
                raise UserError(_unknown(name, (*TABLES, *GROUPS, *settings())))
            changes["" if name in TABLES else settings()[name].group][name] = value
        ungrouped = changes.pop("", {})
        return replace(self, **ungrouped, **{group: replace(getattr(self, group), **inner) for group, inner in changes.items()})

    def _implied_frame(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The setting ``frame`` if ``values`` imply another: a tower that was made for one size of images has it, unless both sides are
        stated with it or later. `UserError` for one side alone."""
        if "frame" in values:
            return {}
        pretrained = values.get("vision_model", self.tower.vision_model) != FROM_SCRATCH
        sides, table = {"image_height", "image_width"} & values.keys(), values.get("vision", self.vision)
        if sides and (pretrained or (isinstance(table, Mapping) and "image_size" in table)):
            if len(sides) == 1 and self.tower.frame == "own":
                raise UserError(f"{sides.pop()} without the other side: a frame has an image_height and an image_width")
            return {"frame": "stated"}
        another = any(
            name in values and values[name] != before
            for name, before in (("vision_model", self.tower.vision_model), ("vision", self.vision))
        )
        return {"frame": "own"} if another else {}

    def changed(self, assignments: Iterable[str]) -> Preset:
        """A copy with ``KEY=VALUE`` settings applied; `UserError` for an unknown key or a value of the wrong type.

        A key is a setting's name, alone (``steps``) or with its group (``optimisation.steps``).
        """
        values: dict[str, Any] = {}
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals:
                raise UserError(f"--set {assignment}: KEY=VALUE is expected, such as steps=5000")
            named = settings().get(key.rpartition(".")[2])
            if named is None or key not in (named.name, named.key):
                raise UserError(f"--set {assignment}: {_unknown(key, settings())}")
            values[named.name] = parsed(key, text, named.kind)
        return self.replaced(**values)

    def to_json(self) -> dict[str, Any]:
        """The settings by name as plain data, without their groups. ``run.json`` and ``config.json`` hold this, and evaluations name the
        runs that they keep by digests of it: in another form, earlier runs would not be recognised."""
        plain = asdict(self)
        for group in GROUPS:
            plain |= plain.pop(group)
        return plain


GROUPS: dict[str, type[Group]] = {
    name: kind for name, kind in get_type_hints(Preset).items() if isinstance(kind, type) and issubclass(kind, Group)
}
"""The groups by their names in `Preset` and in files."""


@cache
def settings() -> dict[str, Setting]:
    """All settings by name. No two groups have one of the same name."""
    return {name: each for group, kind in {"": Preset, **GROUPS}.items() for name, each in declared(kind, group).items()}


def get_preset(name: str) -> Preset:
    """The preset of that name, or in that TOML file; `UserError` if there is none or it cannot be read."""
    path = FOLDER / f"{name}.toml" if name in NAMES else Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise UserError(f"there is no preset {name!r}; choose one of {', '.join(NAMES)}, or give a .toml file")
    try:
        content = tomllib.loads(read_text(path, MAX_BYTES))
    except RecursionError:
        raise UserError(f"{path}: not a readable preset (it is nested too deeply)") from None
    except ValueError as error:
        raise UserError(f"{path}: not a readable preset ({error})") from None
    try:
        return Preset().replaced(**_by_name(content))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _by_name(content: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a file by name. A file of igllm 0.1 has no groups, and states them all at the top.

    `UserError` for a file that mixes both forms, and for a setting in the table of another group.
    """
    groups = {key: table for key, table in content.items() if key in GROUPS}
    found = {key: value for key, value in content.items() if key not in GROUPS}
    outside = next((name for name in found if name in settings() and settings()[name].group), None)
    if groups and outside:
        raise UserError(f"{outside} stands at the top and others in [{next(iter(groups))}]: move it to [{settings()[outside].group}]")
    for group, table in groups.items():
        if not isinstance(table, Mapping):
            raise UserError(f"{group} is {shown(table)}: a table of settings is expected")
        for name in table:
            if name not in settings() or settings()[name].group != group:
                raise UserError(f"[{group}]: {_unknown(f'{group}.{name}', settings())}")
        found |= table
    return found


def _unknown(key: str, known: Iterable[str]) -> str:
    name = key.rpartition(".")[2]
    meant = f'; did you mean "{settings()[name].key}"?' if name in settings() else did_you_mean(name, known)
    return f"there is no setting {key!r}" + (meant or f"; known are {', '.join(known)}")
