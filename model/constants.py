"""Tensors that never change, made once for each device: sending numbers to a GPU at every step would wait for all that it has to do."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch


@lru_cache(maxsize=256)
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """The tensor of these (nested) numbers on a device, of torch's own choice of ``dtype`` unless it is given. It must not be changed."""
    with torch.inference_mode(False):  # else, if prediction asks first, training cannot use it
        return torch.tensor(values, device=device, dtype=dtype)
