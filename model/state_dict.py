"""State dictionaries of models: tied tensors (embeddings, shared layers), names changed by wrappers, and non-finite values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

WRAPPERS = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod")
"""The parts that FSDP, activation checkpointing and `torch.compile` add to the names in wrapped modules."""
REPLICATED = "module."  # DDP and DeepSpeed put it before every name


def plain_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state under the names of the model without wrappers."""
    plain = {".".join(part for part in name.split(".") if part not in WRAPPERS): value for name, value in state.items()}
    while plain and all(name.startswith(REPLICATED) for name in plain):
        plain = {name.removeprefix(REPLICATED): value for name, value in plain.items()}
    return plain


def tied_names(model: nn.Module, declared: Mapping[str, str] | None = None) -> dict[str, str]:
    """For each tensor with several names in a model's state, every further name, mapped to the first.

    Tensors that are merely equal are not tied. For a model that has no weights yet, the names that will be tied must be ``declared``.
    """
    state = plain_names(model.state_dict(keep_vars=True))
    tensors = {name: id(value) for name, value in state.items()}
    tensors |= {name: tensors[other] for name, other in (declared or {}).items() if other in tensors}
    first: dict[int, str] = {}
    names = {name: first.setdefault(tensor, name) for name, tensor in tensors.items()}
    return {name: kept for name, kept in names.items() if name != kept}


def without_twins(state: Mapping[str, torch.Tensor], tied: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """A state with every tied tensor once. Where the values of tied names differ, all are kept, so that none is lost."""
    twins = {name for name, kept in tied.items() if name in state and kept in state and torch.equal(state[name], state[kept])}
    return {name: value for name, value in state.items() if name not in twins}


def first_not_finite(state: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity; None if all numbers are finite."""
    return next((name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())), None)
