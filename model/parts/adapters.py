"""LoRA's adapters on a language model (Hu et al. 2022), which `peft` makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig


def lora_config(language_model: Any, lora: Mapping[str, Any], tokens: Sequence[int]) -> LoraConfig:
    """Adapters with the settings ``lora`` (`IGLLMConfig.lora`) on every linear layer of the decoder, and on the embeddings of ``tokens``,
    which no checkpoint has trained."""
    embedding, output = language_model.get_input_embeddings(), language_model.get_output_embeddings()
    parts = [embedding] if embedding.weight is output.weight else [embedding, output]
    names = [name for name, module in language_model.named_modules() if any(module is part for part in parts)]
    return LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules="all-linear",
        trainable_token_indices={name: list(tokens) for name in names} if tokens else None,
        task_type="CAUSAL_LM",
    )


def keep_precision(adapted: Any) -> None:
    """Have adapters take their input as it is under autocast.

    Else they copy it to their weights' float32, drop out there, and autocast copies the result back to bfloat16, for the same products.
    """
    for module in adapted.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = _UnlessAutocast()


class _UnlessAutocast:
    """False under autocast, else true. (Activations may be computed a second time within the backward pass, under autocast again.)"""

    def __bool__(self) -> bool:
        return not (torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu"))
