"""A guided attention head: shown in training where the object is that the code is at.

What a small language model learns slowest is to look where its own numbers point. Which visual token an object's centre falls on is known
of every rendered sample, so one head is taught it outright (supervised attention: Mi, Wang and Ittycheriah 2016). With ``guide_read``, what
it looks at is added to the state that writes (after pointer networks: Vinyals, Fortunato and Jaitly 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

LEAST = 1e-6
"""Attention, below which a loss would grow without telling more."""


def guided_looks(attentions: Sequence[torch.Tensor], start: int, cells: int) -> torch.Tensor:
    """(batch, length, cells) how much the guided head, the first of the middle layer, looks at each visual token from each position.

    ``attentions``: of each layer (batch, heads, length, all positions so far); text begins at ``start``, behind ``cells`` visual tokens.
    """
    return attentions[len(attentions) // 2][:, 0, :, start - cells : start]


def guide_loss(looks: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The cross-entropy, summed over tokens, of where the guided head looks and where it should.

    ``looks`` (batch, text's length, cells) from the positions that predict the text's tokens; ``centres`` (batch, text's length): the
    visual token where the centre of the object is that a token tells of; -1 if of none.
    """
    told = centres >= 0
    right = looks[told].gather(1, centres[told][:, None])
    return -right.float().clamp(min=LEAST).log().sum()
