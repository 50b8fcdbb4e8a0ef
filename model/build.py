"""A new model and its tokenizer, as a preset wants them: parts from scratch or pretrained, `[NUM]` among the tokens."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoTokenizer

from datagen.dialects import dialect
from datagen.domain import Domain, Language
from datagen.errors import UserError
from model.bases import Base, vision_config_of
from model.codec import NUM, word_tokens
from model.config import IGLLMConfig
from model.igllm import IGLLM
from model.presets import FROM_SCRATCH, Preset
from model.prompts import PROMPTS, VICUNA_TEMPLATE, prompt_tokens
from model.tokens import domain_tokenizer

_SHARED = (
    "vision_layer",
    "vision_merge",
    "freeze_vision",
    "rotations",
    "numbers",
    "number_feedback",
    "feedback_noise",
    "number_cells",
    "number_weight",
    "number_close",
    "dense_weight",
    "dense_split",
    "guide_weight",
)

Stage = Literal["pretrain", "align", "train"]
TRAINED: dict[Stage, tuple[str, ...]] = {"pretrain": ("tower", "projector", "dense_head"), "align": ("projector",)}
"""What the stages before instruction tuning train; that trains whatever the preset does not freeze."""


def build(preset: Preset, domain: Domain, *, stage: Stage = "train", told: Mapping[str, Any] | None = None) -> tuple[IGLLM, Any]:
    """The model and its tokenizer. ``told`` goes into the configuration: what is known of the preset, the data and the code.

    Frozen is all that the stage does not train (`TRAINED`). Raises `UserError` for a checkpoint that cannot be loaded or does not fit,
    and for rotations that the domain does not have.
    """
    tokenizer, language_base = make_tokenizer(preset, dialect(domain, preset.rotations))
    vision, vision_base, frame = _vision(preset)
    text, language_base = _text(preset, tokenizer, language_base)
    config = IGLLMConfig(
        vision_config=vision,
        text_config=text,
        vision_base=vision_base and vision_base.to_json(),
        language_base=language_base and language_base.to_json(),
        lora=_lora(preset),
        domain=domain.name,
        prefix_token_ids=prompt_tokens(tokenizer).prefix,
        num_token_id=tokenizer.convert_tokens_to_ids(NUM),
        word_token_ids=word_tokens(dialect(domain, preset.rotations), tokenizer) if preset.word_cells else [],
        **frame,
        **{name: getattr(preset, name) for name in _SHARED},
        **(told or {}),
    )
    # What is trained keeps the digits of its checkpoint.
    frozen = torch.bfloat16 if preset.bf16 else torch.float32
    vision_dtype = frozen if preset.freeze_vision else torch.float32
    language_dtype = frozen if preset.lora_rank or stage == "align" else torch.float32
    model = IGLLM.on_bases(config, vision_dtype, language_dtype)
    if stage != "align":
        _own_what_is_trained(model, preset)
    if stage in TRAINED:
        model.requires_grad_(False)
        for name in TRAINED[stage]:
            model.get_submodule(name).requires_grad_(True)
    return model, tokenizer


def make_tokenizer(preset: Preset, domain: Language) -> tuple[Any, Base | None]:
    """The language model's tokenizer with `[NUM]`, an end and a chat template, and the checkpoint that it is of."""
    if preset.language_model == FROM_SCRATCH:
        return domain_tokenizer(domain, PROMPTS), None
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # loaders fork
    base = Base.named(preset.language_model)
    tokenizer = base.tokenizer()
    if tokenizer.eos_token_id is None:
        raise UserError(f"{base.name}: its tokenizer has no end-of-sequence token, with which an answer ends")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # what is padded is neither seen nor learnt
    if tokenizer.chat_template is None:
        tokenizer.chat_template = VICUNA_TEMPLATE
    tokenizer.add_tokens([NUM], special_tokens=True)
    with tempfile.TemporaryDirectory() as folder:  # a tokenizer that was saved may cut text otherwise than one of an old checkpoint
        tokenizer.save_pretrained(folder)
        return AutoTokenizer.from_pretrained(folder), base


def _vision(preset: Preset) -> tuple[Any, Base | None, dict[str, Any]]:
    """The tower's configuration, the checkpoint that it is of, and its frame."""
    if preset.vision_model == FROM_SCRATCH:
        if not preset.vision:
            raise UserError("the preset has no [vision] to make a tower from; give --vision-model")
        config = AutoConfig.for_model(**preset.vision)
        return config, None, _frame(config, preset)
    base = Base.named(preset.vision_model)
    whole = base.config()
    config = vision_config_of(whole)
    if not hasattr(config, "patch_size") and not hasattr(config, "hidden_sizes"):
        raise UserError(f"{base.name}: a {whole.model_type} cannot be loaded as a pretrained part that sees: a vision tower is needed")
    frame = _frame(config, preset)
    if (statistics := base.image_statistics()) is not None:
        frame["image_mean"], frame["image_std"] = statistics
    return config, base.at(getattr(whole, "_commit_hash", None)), frame


def _frame(config: Any, preset: Preset) -> dict[str, Any]:
    """A tower's own frame, or the preset's where the tower takes any."""
    side = getattr(config, "image_size", None)
    height, width = side if isinstance(side, list | tuple) else (side or preset.image_height, side or preset.image_width)
    return {"image_height": height, "image_width": width}


def _text(preset: Preset, tokenizer: Any, base: Base | None) -> tuple[Any, Base | None]:
    """The language model's configuration, with a token for each of the tokenizer's, and the checkpoint that it is of."""
    if base is None:
        if not preset.text:
            raise UserError("the preset has no [text] to make a language model from; give --language-model")
        ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        return AutoConfig.for_model(**preset.text, vocab_size=len(tokenizer), **ids), None
    config = base.config()
    if not hasattr(config, "vocab_size"):
        raise UserError(f"{base.name}: a {config.model_type} cannot be loaded as a pretrained part that writes: a language model is needed")
    config.vocab_size = max(config.vocab_size, len(tokenizer), 1 + tokenizer.convert_tokens_to_ids(NUM))
    return config, base.at(getattr(config, "_commit_hash", None))


def _lora(preset: Preset) -> dict[str, Any] | None:
    if not preset.lora_rank:
        return None
    return {"rank": preset.lora_rank, "alpha": preset.lora_alpha, "dropout": preset.lora_dropout}


def _own_what_is_trained(model: IGLLM, preset: Preset) -> None:
    """Parts of a checkpoint that are trained as a whole are no longer that checkpoint's, but the model's from here on."""
    if not preset.freeze_vision:
        model.config.vision_base = None
    if not preset.lora_rank and model.config.language_base is not None:
        model.config.language_base = None
        model.language_model.requires_grad_(True)
