"""What an `IGLLM` makes of a batch on the way to its losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput

from model.parts.cell_head import Cells


@dataclass(frozen=True)
class Seen:
    """What is read of images: the tower's ``features`` (batch, tokens, tower's width), and the ``visual`` tokens (batch, tokens, width)."""

    features: torch.Tensor
    visual: torch.Tensor


@dataclass(frozen=True)
class Reading:
    """The language model's output for a batch's images and texts.

    ``states`` (batch, length, width): at t, the hidden state that predicts token t. ``cells`` is the read-out of the images, None without
    a `CellHead`. ``word_attention`` (batch, length, cells) is the states' log attention on cells, None if no loss needs it.
    ``image_attention`` (batch, length, tokens) is the guided head's attention on visual tokens, None if it is not trained.
    """

    states: torch.Tensor
    cells: Cells | None
    word_attention: torch.Tensor | None
    image_attention: torch.Tensor | None


@dataclass
class IGLLMOutput(ModelOutput):
    """``loss`` and its parts (scalars), or without labels ``logits`` (batch, length, vocabulary): at t, those of token t."""

    loss: torch.Tensor | None = None
    token_loss: torch.Tensor | None = None
    number_loss: torch.Tensor | None = None
    dense_loss: torch.Tensor | None = None
    guide_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
