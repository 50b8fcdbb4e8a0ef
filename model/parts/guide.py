"""Supervised attention (Mi, Wang and Ittycheriah 2016): training shows a model which part of the image it should attend to.

What a small language model learns slowest is to attend to the object that its own text describes. For every rendered sample, the visual
token at that object's centre is known, so the guided head, the first head of the middle layer, is trained to attend to it. The attention
of `model.parts.cell_head` is trained in the same way. Prediction needs neither loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

LEAST = 1e-6
"""A lower attention weight does not raise the loss further."""
GUIDED = "igllm_guided"
"""The name of `guided_sdpa` among transformers' implementations of attention."""


def guided_sdpa(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """torch's fused attention, which has no weights to show, and beside it the weights of the guided head, (batch, 1, length, length).

    An implementation of attention as `transformers.AttentionInterface` describes it. There are no weights in other layers, and none for
    tokens that follow cached ones. (Not every model tells attention whether weights are asked for.)
    """
    options.pop("output_attentions", None)
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if query.shape[2] < key.shape[2] or module.layer_idx != module.config.num_hidden_layers // 2:
        return output, None
    scaling = options.get("scaling") or query.shape[-1] ** -0.5
    scores = query[:, :1] @ key[:, :1].transpose(2, 3) * scaling
    causal = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).tril()
    seen = causal if attention_mask is None else attention_mask[:, :1]
    scores = scores.masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else scores + seen
    return output, scores.softmax(-1, dtype=torch.float32).to(query.dtype)


AttentionInterface.register(GUIDED, guided_sdpa)
AttentionMaskInterface.register(GUIDED, sdpa_mask)


def use_guided_attention(language_model: Any) -> None:
    """Have a language model give the guided head's weights: by `guided_sdpa` where it takes fused attention, else by eager attention."""
    fused = language_model.config._attn_implementation in ("sdpa", GUIDED)
    language_model.set_attn_implementation(GUIDED if fused else "eager")


def guided_attention(attentions: Sequence[torch.Tensor | None], start: int, tokens: int) -> torch.Tensor:
    """(batch, text's length, tokens): the guided head's attention on visual tokens; at t, that of the state which predicts token t.

    ``attentions``: of all layers, or of the middle one alone, (batch, heads, length, length), where the text begins at ``start``, right
    after the visual tokens.
    """
    there = [weights for weights in attentions if weights is not None]
    return there[len(there) // 2][:, 0, start - 1 : -1, start - tokens : start]


def guide_loss(attention: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The negative logarithm of the guided head's attention (batch, length, tokens) on the right visual tokens, summed.

    ``centres`` (batch, length): the visual token at the centre of the object that a text's token describes, -1 if it describes none.
    """
    known = (centres >= 0).nonzero(as_tuple=True)
    right = attention[known].gather(1, centres[known][:, None])
    return -right.float().clamp(min=LEAST).log().sum()


def attention_loss(log_weights: torch.Tensor, tokens: torch.Tensor, split: int) -> torch.Tensor:
    """(n,) the negative logarithm of the attention on all ``split`` x ``split`` cells of one visual token each.

    ``log_weights`` (n, cells) are the logarithms of attention weights, ``tokens`` (n,) the visual tokens.
    """
    of_tokens = log_weights.reshape(len(tokens), -1, split**2).logsumexp(-1)
    return -of_tokens.gather(1, tokens[:, None]).squeeze(1)
