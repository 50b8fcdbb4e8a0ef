"""Numbers as a language model has them: one `[NUM]` token, its value beside it.

A value travels in normalised units, its declared range mapped to [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from model.parts.tower import fourier

FEEDBACK_FREQUENCIES = 5


class NumericHead(nn.Module):
    """The value at a position that predicts `[NUM]`: tanh, linear, GELU, linear to a scalar (IG-LLM's published head)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.value = nn.Linear(width, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., width) hidden states to (...) normalised values, in the head's own precision: bfloat16 has no digits for millimetres."""
        with torch.autocast(states.device.type, enabled=False):
            return self.value(self.features(states)).squeeze(-1)

    def features(self, states: torch.Tensor) -> torch.Tensor:
        """(..., width) hidden states to what the last layer computes the value from, of the same shape."""
        return nn.functional.gelu(self.hidden(torch.tanh(states.to(self.value.weight.dtype))))


class NumberFeedback(nn.Module):
    """What is added to a token's embedding so that the model knows the numbers it has just read or said.

    A token gets all numbers, so far, of the statement that was last given one: while an object is being described, where it is; at
    the start of the next, where the last one was. ``statements`` names each slot's statement.
    """

    def __init__(self, width: int, statements: Sequence[str]) -> None:
        super().__init__()
        self.statements = tuple(statements)
        self.hidden = nn.Linear(len(self.statements) * (2 * FEEDBACK_FREQUENCIES + 2), width)
        self.embed = nn.Linear(width, width)

    def forward(self, values: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """(batch, length) normalised values and their slots, -1 where a token is no number, to (batch, length, width)."""
        return self.embedded(*self._last_said(values, slots))

    def embedded(self, numbers: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        """(..., slots) the latest number of each slot, and whether it belongs to the statement that spoke last, to (..., width)."""
        numbers = numbers.masked_fill(~said, 0.0)
        features = torch.cat([said[..., None], numbers[..., None], fourier(numbers, FEEDBACK_FREQUENCIES)], dim=-1) * said[..., None]
        features = features.flatten(-2).to(self.hidden.weight.dtype)
        return self.embed(nn.functional.gelu(self.hidden(features))) * said.any(-1, keepdim=True)

    def together(self, device: torch.device) -> torch.Tensor:
        """(slots + 1, slots): once a slot has spoken, has another, in the same statement? Slots speak in their order. The last row is for
        slot -1, where none has spoken yet.
        """
        names = self.statements
        said = [[names[j] == names[i] and j <= i for j in range(len(names))] for i in range(len(names))]
        return torch.tensor([*said, [False] * len(names)], device=device)

    def _last_said(self, values: torch.Tensor, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """For each token, what `embedded` takes: (batch, length, slots) each."""
        every = torch.arange(len(self.statements), device=slots.device)
        at = torch.arange(slots.shape[1], device=slots.device)[:, None].expand(-1, len(every))
        latest = torch.where(slots[..., None] == every, at, -1).cummax(1).values  # position of each slot's latest number
        last = latest.amax(-1)
        speaking = slots.gather(1, last.clamp(min=0)).masked_fill(last < 0, -1)  # the slot that spoke last
        numbers = values.gather(1, latest.clamp(min=0).flatten(1)).view(latest.shape)
        return numbers, self.together(slots.device)[speaking]


def squared_errors(predicted: torch.Tensor, true: torch.Tensor, period: torch.Tensor, close: float = 0.0) -> torch.Tensor:
    """The squared errors of normalised values; where ``period`` is positive, of the shorter way around the circle.

    With ``close``, errors beyond it grow by their size from there on (Huber 1964), so that the few large ones do not outweigh the rest.
    """
    off = distances(predicted, true, period)
    return torch.where(off > close, close * (2 * off - close), off.square()) if close else off.square()


def distances(predicted: torch.Tensor, true: torch.Tensor, period: torch.Tensor) -> torch.Tensor:
    """How far normalised values are apart, the shorter way around where there is a period."""
    off = predicted - true
    around = torch.where(period > 0, period * torch.round(off / period.clamp(min=1e-6)), 0.0)
    return (off - around.detach()).abs()
