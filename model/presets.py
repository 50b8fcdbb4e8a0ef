"""Presets: every setting of a model and its training, with one sentence each; ``--set KEY=VALUE`` changes any of them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from transformers import AutoConfig

from datagen.domain import Domain
from datagen.errors import UserError
from model.config import PROMPT, IGLLMConfig


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Preset:
    """A model's parts and how it is trained."""

    vision: Mapping[str, Any]
    text: Mapping[str, Any]
    image_height: int = _setting(336, "height of the tower's frame, pixels")
    image_width: int = _setting(336, "width of the tower's frame, pixels")
    vision_layer: int = _setting(-2, "hidden state that is read from a transformer tower")
    freeze_vision: bool = _setting(True, "whether the tower keeps its weights")
    number_feedback: bool = _setting(False, "whether a number's value is embedded back into the sequence")
    feedback_noise: float = _setting(0.0, "noise on the true values fed back in training, normalised units")
    number_weight: float = _setting(1.0, "weight of the numbers' squared error")
    dense_weight: float = _setting(0.0, "weight of the auxiliary loss on the visual tokens; 0 leaves it out")
    augment: bool = _setting(True, "whether images are mirrored and jittered in training")
    learning_rate: float = _setting(2e-5, "peak learning rate")
    head_learning_rate: float = _setting(2e-4, "peak learning rate of the numeric head and the number feedback")
    weight_decay: float = _setting(0.0, "weight decay")
    warmup: float = _setting(0.03, "share of the steps over which the learning rate rises")
    batch_size: int = _setting(32, "samples a step")
    steps: int = _setting(40_000, "optimizer steps")
    save_steps: int = _setting(100, "steps between checkpoints")
    bf16: bool = _setting(False, "whether to compute in bfloat16 (weights stay float32)")
    seed: int = _setting(0, "seed of weights, order and augmentation")

    def __post_init__(self) -> None:
        for name in ("image_height", "image_width", "batch_size", "steps", "save_steps", "learning_rate", "head_learning_rate"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}: it must be positive")
        if min(self.number_weight, self.dense_weight, self.feedback_noise) < 0 or not 0 <= self.warmup < 1:
            raise UserError("weights and noise must not be negative, and warmup must be a share below 1")

    def changed(self, assignments: Iterable[str]) -> Preset:
        """A copy with ``KEY=VALUE`` settings applied; `UserError` for an unknown key or a value of the wrong type."""
        preset = self
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals or key not in settings():
                raise UserError(f"--set {assignment}: give KEY=VALUE with a KEY of {', '.join(settings())}")
            preset = replace(preset, **{key: _parsed(key, text, settings()[key][0])})
        return preset

    def config(self, domain: Domain, vocabulary: int, special: Mapping[str, int]) -> IGLLMConfig:
        """The configuration of a new model for a domain, ``vocabulary`` tokens, and the ids of ``num``, ``bos``, ``eos`` and ``pad``."""
        ids = {f"{name}_token_id": special[name] for name in ("bos", "eos", "pad")}
        return IGLLMConfig(
            vision_config=AutoConfig.for_model(**self.vision),
            text_config=AutoConfig.for_model(**self.text, vocab_size=vocabulary, **ids),
            domain=domain.name,
            prompt=PROMPT,
            num_token_id=special["num"],
            **{
                name: getattr(self, name)
                for name in (
                    "image_height",
                    "image_width",
                    "vision_layer",
                    "freeze_vision",
                    "number_feedback",
                    "feedback_noise",
                    "number_weight",
                    "dense_weight",
                )
            },
        )


def settings() -> dict[str, tuple[type, str]]:
    """What ``--set`` takes: type and help by key."""
    hints = typing.get_type_hints(Preset)
    return {f.name: (hints[f.name], f.metadata["help"]) for f in fields(Preset) if "help" in f.metadata}


def _parsed(key: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError):
        name = "true or false" if kind is bool else {"int": "a whole number", "float": "a number"}[kind.__name__]
        raise UserError(f"--set {key}={text}: {name} is expected") from None


PRESETS: Mapping[str, Preset] = types.MappingProxyType(
    {
        # Trains from nothing on a laptop: the same classes, small, with what lets few renders teach it: a convolutional tower,
        # dense labels, numbers fed back, and many small steps.
        "tiny": Preset(
            vision={
                "model_type": "resnet",
                "embedding_size": 32,
                "hidden_sizes": [48, 96, 192],
                "depths": [2, 2, 2],
                "layer_type": "basic",
            },
            text={
                "model_type": "llama",
                "hidden_size": 192,
                "intermediate_size": 512,
                "num_hidden_layers": 4,
                "num_attention_heads": 6,
                "num_key_value_heads": 6,
                "max_position_embeddings": 512,
            },
            image_height=128,  # 4:3 frames, padded to a whole number of the tower's 16-pixel cells
            image_width=160,
            freeze_vision=False,
            number_feedback=True,
            feedback_noise=0.2,
            number_weight=5.0,
            dense_weight=1.0,
            learning_rate=1e-3,
            head_learning_rate=1e-3,
            weight_decay=0.05,
            warmup=0.05,
            batch_size=16,
            steps=4000,
        ),
    }
)


def get_preset(name: str) -> Preset:
    """The preset of that name; `UserError` if there is none."""
    if name not in PRESETS:
        raise UserError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
