"""Numbers as a language model has them: one `[NUM]` token, its value beside it.

A value travels in normalised units, its declared range mapped to [-1, 1].
"""

from __future__ import annotations

import torch
from torch import nn

from model.tower import fourier

FEEDBACK_FREQUENCIES = 5


class NumericHead(nn.Module):
    """The value at a position that predicts `[NUM]`: tanh, linear, GELU, linear to a scalar (IG-LLM's published head)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.value = nn.Linear(width, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., width) hidden states to (...) normalised values."""
        return self.value(nn.functional.gelu(self.hidden(torch.tanh(states)))).squeeze(-1)


class NumberFeedback(nn.Module):
    """What is added to `[NUM]`'s embedding so that the model knows the value it has just read or predicted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(2 * FEEDBACK_FREQUENCIES + 1, width)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(...) normalised values to (..., width) embeddings."""
        return self.embed(torch.cat([values[..., None], fourier(values, FEEDBACK_FREQUENCIES)], dim=-1))


def number_loss(predicted: torch.Tensor, true: torch.Tensor, period: torch.Tensor) -> torch.Tensor:
    """The mean squared error of normalised values; where ``period`` is positive, of the shorter way around the circle."""
    off = predicted - true
    around = torch.where(period > 0, period * torch.round(off / period.clamp(min=1e-6)), 0.0)
    return (off - around.detach()).square().mean()
