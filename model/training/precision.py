"""Computing in bfloat16 where FSDP or DeepSpeed spreads weights over the processes."""

from __future__ import annotations

import os
from functools import wraps
from typing import Any

import torch


def is_spread() -> bool:
    """Whether ``accelerate launch`` was told to spread the weights, or the state of the optimizer, by FSDP or DeepSpeed."""
    return any(os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true" for name in ("FSDP", "DEEPSPEED"))


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
