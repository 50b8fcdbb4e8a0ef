"""Attributes: a word for every choice of the domain, from a region's crop and the same crop masked.

NS-VQA's attribute network (Yi et al. 2018) takes the masked crop and the whole image. Ours takes the masked crop, the crop with its
surroundings, and its box in the image, which distinguishes a small object nearby from a large one far away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from model.derender.config import DerenderConfig
from model.derender.layers import BOX_FEATURES, box_features, convolution, region_encoder

HIDDEN = 128


class AttributeNetwork(nn.Module):
    """Classifies regions. ``words`` holds the size of each choice's vocabulary."""

    def __init__(self, config: DerenderConfig, words: Sequence[int]) -> None:
        super().__init__()
        self.frame, self.words = (config.image_height, config.image_width), tuple(words)
        width = 4 * config.region_width
        self.encoder = nn.Sequential(*region_encoder(config.region_width), convolution(width, width))
        self.hidden = nn.Linear(width + BOX_FEATURES, HIDDEN)
        self.read = nn.Linear(HIDDEN, sum(self.words))

    def forward(self, views: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Views of regions as `region_encoder` takes them, and boxes (regions, 4), to the logits (regions, words) of every choice."""
        features = self.encoder(views).mean((2, 3))
        hidden = torch.relu(self.hidden(torch.cat([features, box_features(boxes, self.frame).to(features.dtype)], dim=1)))
        return self.read(hidden).float().split(self.words, dim=1)

    def loss(self, logits: Sequence[torch.Tensor], words: torch.Tensor) -> torch.Tensor:
        """The cross-entropy of the true words (regions, choices), summed over choices and regions."""
        losses = [nn.functional.cross_entropy(choice, words[:, i], reduction="sum") for i, choice in enumerate(logits)]
        return torch.stack(losses).sum() if losses else words.new_zeros((), dtype=torch.float32)
