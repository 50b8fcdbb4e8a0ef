"""Numbers beside the text: the head that reads the value of a `[NUM]` token, and the embedding that feeds values back.

Values are in normalised units: the declared range is [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from model.constants import constant
from model.parts.tower import fourier

FEEDBACK_FREQUENCIES = 5


class NumericHead(nn.Module):
    """The value at a position that predicts `[NUM]`: tanh, linear, GELU, linear to a scalar (IG-LLM's published head)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.value = nn.Linear(width, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., width) hidden states to (...) normalised values, in the head's own precision: bfloat16 is too coarse for millimetres."""
        with torch.autocast(states.device.type, enabled=False):
            return self.value(self.features(states)).squeeze(-1)

    def features(self, states: torch.Tensor) -> torch.Tensor:
        """(..., width) hidden states to the last layer's input, of the same shape."""
        return nn.functional.gelu(self.hidden(torch.tanh(states.to(self.value.weight.dtype))))


class NumberFeedback(nn.Module):
    """Embeds the latest numbers of the text, to be added to the embeddings of its tokens.

    Each token gets the numbers up to it of the object that the latest number belongs to: within an object's description those of this
    object, at the start of a description those of the previous object. ``statements`` holds the name of each slot's statement.
    """

    def __init__(self, width: int, statements: Sequence[str]) -> None:
        super().__init__()
        self.statements = tuple(statements)
        self.hidden = nn.Linear(len(self.statements) * (2 * FEEDBACK_FREQUENCIES + 2), width)
        self.embed = nn.Linear(width, width)

    def forward(self, values: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """(batch, length) normalised values and their slots, -1 where a token is no number, to (batch, length, width)."""
        return self.embedded(*self._latest(values, slots))

    def embedded(self, numbers: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        """The latest number of each slot (..., slots), and whether it belongs to the current statement (..., slots), to (..., width)."""
        numbers = numbers.masked_fill(~current, 0.0)
        features = torch.cat([current[..., None], numbers[..., None], fourier(numbers, FEEDBACK_FREQUENCIES)], dim=-1)
        features = (features * current[..., None]).flatten(-2).to(self.hidden.weight.dtype)
        return self.embed(nn.functional.gelu(self.hidden(features))) * current.any(-1, keepdim=True)

    def together(self, device: torch.device) -> torch.Tensor:
        """(slots + 1, slots) bool: whether a statement with its latest number in slot i has a number in slot j by then, as slots come in
        order. The last row is for slot -1: no number yet.
        """
        return self._of_one_statement(device).tril()

    def _of_one_statement(self, device: torch.device) -> torch.Tensor:
        """(slots + 1, slots) bool: whether slots i and j are of the same statement. The last row is for slot -1, of none."""
        names = self.statements
        return constant((*(tuple(name == other for other in names) for name in names), (False,) * len(names)), device)

    def _latest(self, values: torch.Tensor, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The arguments of `embedded` for each token, (batch, length, slots) each. Keywords may be shuffled (`model.tokens.codec.Style`).

        Every statement writes each of its slots once, so that the numbers of a kind of statement can be counted off into statements.
        """
        same = self._of_one_statement(slots.device)
        every = torch.arange(len(self.statements), device=slots.device)
        at = torch.arange(slots.shape[1], device=slots.device)[:, None].expand(-1, len(every))
        latest = torch.where(slots[..., None] == every, at, -1).cummax(1).values  # position of each slot's latest number
        last = latest.amax(-1)
        last_slot = slots.gather(1, last.clamp(min=0)).masked_fill(last < 0, -1)
        numbers = values.gather(1, latest.clamp(min=0).flatten(1)).view(latest.shape)
        statement = (same[slots].cumsum(1) - 1) // same[:-1].sum(0)  # which of its kind each slot's latest statement is, from 0
        current = (latest >= 0) & same[last_slot] & (statement.gather(1, latest.clamp(min=0)) == statement)
        return numbers, current


def squared_errors(predicted: torch.Tensor, true: torch.Tensor, period: torch.Tensor, close: float = 0.0) -> torch.Tensor:
    """The squared errors of normalised values; where ``period`` is positive, of the shorter way around the circle.

    With ``close``, errors beyond it count linearly (Huber 1964), so that a few large ones do not outweigh the rest.
    """
    off = distances(predicted, true, period)
    return torch.where(off > close, close * (2 * off - close), off.square()) if close else off.square()


def distances(predicted: torch.Tensor, true: torch.Tensor, period: torch.Tensor) -> torch.Tensor:
    """The distances of normalised values, the shorter way around where ``period`` is positive; all of one shape."""
    off = predicted - true
    around = torch.where(period > 0, period * torch.round(off / period.clamp(min=1e-6)), 0.0)
    return (off - around.detach()).abs()
