"""Supervised attention (Mi, Wang and Ittycheriah 2016): training shows a model which part of the image it should attend to.

What a small language model learns slowest is to attend to the object that its own text describes. For every rendered sample it is known
on which visual token that object's centre lies, so the guided head, the first head of the middle layer, is taught to attend there. The
attention of `model.parts.cell_head` is taught in the same way. Both serve training alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

LEAST = 1e-6
"""A lower attention weight does not raise the loss further."""


def guided_attention(attentions: Sequence[torch.Tensor], start: int, tokens: int) -> torch.Tensor:
    """(batch, text's length, tokens): the guided head's attention on visual tokens; at t, that of the state which predicts token t.

    ``attentions``: of each layer (batch, heads, length, length), where the text begins at ``start``, right after the visual tokens.
    """
    return attentions[len(attentions) // 2][:, 0, start - 1 : -1, start - tokens : start]


def guide_loss(attention: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Minus the logarithm of the guided head's attention (batch, length, tokens) on the right visual token, summed over a text's tokens.

    ``centres`` (batch, length): the right one, which holds the centre of the object that a token describes; -1 if it describes none.
    """
    known = centres >= 0
    right = attention[known].gather(1, centres[known][:, None])
    return -right.float().clamp(min=LEAST).log().sum()


def attention_loss(log_weights: torch.Tensor, tokens: torch.Tensor, split: int) -> torch.Tensor:
    """(n,) minus the logarithm of the attention on the ``split`` x ``split`` cells of one visual token each.

    ``log_weights`` (n, cells) are the logarithms of attention weights, ``tokens`` (n,) the visual tokens.
    """
    of_tokens = log_weights.reshape(len(tokens), -1, split**2).logsumexp(-1)
    return -of_tokens.gather(1, tokens[:, None]).squeeze(1)
