"""Attributes: a word for every choice that the domain declares, from a region's crop beside the same crop masked.

NS-VQA's attribute network (Yi et al. 2018) takes the masked crop beside the whole image. Ours takes the surroundings of the object, and
is told where in the image they are: enough to tell a small object nearby from a large one far off.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from model.derender.config import DerenderConfig
from model.derender.layers import GEOMETRY, convolution, region_encoder, told_boxes

HIDDEN = 128


class AttributeNetwork(nn.Module):
    """``words`` holds the sizes of the vocabularies, choice by choice."""

    def __init__(self, config: DerenderConfig, words: Sequence[int]) -> None:
        super().__init__()
        self.frame, self.words = (config.image_height, config.image_width), tuple(words)
        width = 4 * config.region_width
        self.encoder = nn.Sequential(*region_encoder(config.region_width), convolution(width, width))
        self.hidden = nn.Linear(width + GEOMETRY, HIDDEN)
        self.read = nn.Linear(HIDDEN, sum(self.words))

    def forward(self, views: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Regions as `region_encoder` takes them, and their boxes, to the logits (regions, words) of every choice."""
        seen = self.encoder(views).mean((2, 3))
        hidden = torch.relu(self.hidden(torch.cat([seen, told_boxes(boxes, self.frame).to(seen.dtype)], dim=1)))
        return self.read(hidden).float().split(self.words, dim=1)

    def loss(self, logits: Sequence[torch.Tensor], words: torch.Tensor) -> torch.Tensor:
        """The cross-entropy of the true words (regions, choices), summed over choices and regions."""
        losses = [nn.functional.cross_entropy(choice, words[:, i], reduction="sum") for i, choice in enumerate(logits)]
        return torch.stack(losses).sum() if losses else words.new_zeros((), dtype=torch.float32)
