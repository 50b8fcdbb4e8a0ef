"""What training does otherwise where FSDP or DeepSpeed spreads a model, or the state of its optimizer, over the processes."""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from datagen.errors import UserError

_OF_DEEPSPEED = (
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.zero.config.ZeroStageEnum",
    "deepspeed.utils.tensor_fragment.fragment_address",
)
"""The classes of DeepSpeed's own in the pickles that it saves: plain holders of numbers."""


def is_spread() -> bool:
    """Whether ``accelerate launch`` was told to use FSDP or DeepSpeed."""
    return _is_used("FSDP") or _is_used("DEEPSPEED")


def _is_used(name: str) -> bool:
    return os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true"


def autocast_forward(model: Any, device: torch.device) -> None:
    """Let a model's forward pass compute in bfloat16 with its weights as they are, as Trainer does where nothing is spread.

    FSDP and DeepSpeed would instead cast all weights, the numeric head's among them, and DeepSpeed would also save them like that.
    """
    forward = model.forward

    @wraps(forward)
    def autocast(*arguments: Any, **keywords: Any) -> Any:
        with torch.autocast(device.type, torch.bfloat16):
            return forward(*arguments, **keywords)

    model.forward = autocast


@contextmanager
def pickles_as_data(run: Path) -> Iterator[None]:
    """Within the block, let nothing in the checkpoints of a run be executed. DeepSpeed would run whatever their pickles call.

    `UserError` if one holds more than DeepSpeed saves there.
    """
    if not _is_used("DEEPSPEED"):
        yield
        return
    known = [getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in _OF_DEEPSPEED]
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # for this process, which only trains
    with torch.serialization.safe_globals(known):
        try:
            yield
        except pickle.UnpicklingError:
            why = "a file in the newest checkpoint holds more than DeepSpeed saves there, and is not read"
            raise UserError(f"{run}: {why}; remove that checkpoint, and training goes on from the one before it") from None
