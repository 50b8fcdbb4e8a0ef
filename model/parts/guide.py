"""Supervised attention (Mi, Wang and Ittycheriah 2016): training shows a model which part of the image it should attend to.

What a small language model learns slowest is to attend to the object that its own text describes. For every rendered sample, the visual
token at that object's centre is known, so the guided head, the first head of the middle layer, is trained to attend to it. The attention
of `model.parts.cell_head` is trained in the same way. Prediction needs neither loss.
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
    """The negative logarithm of the guided head's attention (batch, length, tokens) on the right visual tokens, summed.

    ``centres`` (batch, length): the visual token at the centre of the object that a text's token describes, -1 if it describes none.
    """
    known = centres >= 0
    right = attention[known].gather(1, centres[known][:, None])
    return -right.float().clamp(min=LEAST).log().sum()


def attention_loss(log_weights: torch.Tensor, tokens: torch.Tensor, split: int) -> torch.Tensor:
    """(n,) the negative logarithm of the attention on all ``split`` x ``split`` cells of one visual token each.

    ``log_weights`` (n, cells) are the logarithms of attention weights, ``tokens`` (n,) the visual tokens.
    """
    of_tokens = log_weights.reshape(len(tokens), -1, split**2).logsumexp(-1)
    return -of_tokens.gather(1, tokens[:, None]).squeeze(1)
