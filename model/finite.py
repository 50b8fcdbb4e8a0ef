"""Weights that have become useless."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def first_not_finite(state: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity; None if all numbers are finite."""
    return next((name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())), None)
