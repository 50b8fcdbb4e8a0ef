"""Segmentation: which pixels of a region's crop show its object. A small version of Mask R-CNN's mask branch (He et al. 2017)."""

from __future__ import annotations

import torch
from torch import nn

from model.derender.config import DerenderConfig
from model.derender.layers import CROP, convolution
from model.derender.regions import crop

FINE = 16  # channels at the crop's full size


class SegmentationNetwork(nn.Module):
    """Reads a coarse mask off the crop of the proposals' map, then refines its edges with the pixels."""

    def __init__(self, config: DerenderConfig) -> None:
        super().__init__()
        self.frame = (config.image_height, config.image_width)
        self.coarse = nn.Sequential(
            convolution(config.width, config.width), convolution(config.width, config.width), nn.Conv2d(config.width, FINE, 1)
        )
        self.fine = nn.Sequential(convolution(FINE + 3, FINE), nn.Conv2d(FINE, 1, 1))

    def forward(self, features: torch.Tensor, pixels: torch.Tensor, image: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """The log odds (regions, `CROP`, `CROP`) that a pixel of the crop shows the object.

        ``features`` (images, width, rows, columns) is the proposals' map, ``pixels`` (regions, 3, `CROP`, `CROP`) the regions' crops,
        ``image`` (regions,) and ``boxes`` (regions, 4) the regions.
        """
        coarse = self.coarse(crop(features, image, boxes, self.frame, CROP // 2))
        coarse = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
        return self.fine(torch.cat([coarse, pixels.to(coarse.dtype)], dim=1))[:, 0].float()

    def loss(
        self, log_odds: torch.Tensor, owners: torch.Tensor, number: torch.Tensor, image: torch.Tensor, boxes: torch.Tensor
    ) -> torch.Tensor:
        """The cross-entropy of the masks: the mean over a mask's pixels, summed over regions.

        ``owners`` (images, height, width) holds the number of each pixel's object, ``number`` (regions,) that of each region's object.
        """
        masks = (owners[image] == number[:, None, None])[:, None].to(log_odds.dtype)
        truth = crop(masks, torch.arange(len(masks), device=masks.device), boxes, self.frame, CROP)[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(log_odds, truth, reduction="none").mean((1, 2)).sum()
