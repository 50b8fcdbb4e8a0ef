"""The tensors that an `IGLLM` learns from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

IGNORED = -100
"""The label of a token that is not learnt."""


@dataclass(frozen=True)
class Batch:
    """The arguments of `IGLLM.forward`. An image is required in one of two forms, all else is optional. ValueError without an image.

    ``pixel_values`` (batch, 3, height, width) float, normalised, or ``visual_features`` (batch, tokens, tower's width), the tower's
    output for them. ``input_ids`` (batch, length) int64 is the text, padded on the right. Of the same shape are ``labels``, the tokens to
    learn, `IGNORED` elsewhere; ``number_values`` and ``number_slots``, for each `[NUM]` its value in normalised units and the index of its
    slot, -1 elsewhere; and ``centres``, the visual token that holds the centre of the object which a token describes, -1 elsewhere.
    ``dense_numbers``, ``dense_words`` and ``image_numbers`` are stacked `DenseLayout.targets`. ``counts`` (4,) are the divisors of the
    summed losses, by default those of this batch (`IGLLM.loss_counts`). A number that is not known is NaN.
    """

    pixel_values: torch.Tensor | None = None
    input_ids: torch.Tensor | None = None
    visual_features: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    number_values: torch.Tensor | None = None
    number_slots: torch.Tensor | None = None
    dense_numbers: torch.Tensor | None = None
    dense_words: torch.Tensor | None = None
    image_numbers: torch.Tensor | None = None
    centres: torch.Tensor | None = None
    counts: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.pixel_values is None and self.visual_features is None:
            raise ValueError("either pixel_values or visual_features are needed")
