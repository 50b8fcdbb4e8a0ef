"""A guided attention head: shown in training where the object is that the code is at.

What a small language model learns slowest is to look where its own numbers point. Which visual token an object's centre falls on is known
of every rendered sample, so one head is taught it outright (supervised attention: Mi, Wang and Ittycheriah 2016). It plays no part in
prediction but by what the head has learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

LEAST = 1e-6
"""Attention, below which a loss would grow without telling more."""


def guide_loss(attentions: Sequence[torch.Tensor], start: int, cells: int, centres: torch.Tensor) -> torch.Tensor:
    """The cross-entropy, summed over tokens, of where the first head of the middle layer looks and where it should.

    ``attentions``: of each layer (batch, heads, length, length), the text beginning at ``start`` behind ``cells`` visual tokens.
    ``centres`` (batch, text's length): the visual token where the centre of the object is that a token tells of; -1 if of none.
    """
    weights = attentions[len(attentions) // 2][:, 0]
    looks = weights[:, start - 1 : -1, start - cells : start]  # from the state at t - 1, which predicts token t
    told = centres >= 0
    right = looks[told].gather(1, centres[told][:, None])
    return -right.float().clamp(min=LEAST).log().sum()
