"""What the networks that look at regions are made of."""

from __future__ import annotations

import torch
from torch import nn

from model.derender.regions import geometry
from model.parts.tower import fourier

CROP = 24  # pixels, each way, that a region is looked at with
FREQUENCIES = 4  # of the sines and cosines that tell a box
GEOMETRY = 4 * (1 + 2 * FREQUENCIES)


def convolution(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def region_encoder(width: int) -> nn.Sequential:
    """(regions, 6, `CROP`, `CROP`), a region's crop and the same masked, to (regions, 4 * width, `CROP` / 4, `CROP` / 4)."""
    return nn.Sequential(
        convolution(6, width),
        convolution(width, 2 * width, stride=2),
        convolution(2 * width, 2 * width),
        convolution(2 * width, 4 * width, stride=2),
    )


def told_boxes(boxes: torch.Tensor, frame: tuple[int, int]) -> torch.Tensor:
    """Boxes (boxes, 4) as a linear layer can use them: (boxes, `GEOMETRY`)."""
    where = geometry(boxes, frame)
    return torch.cat([where, fourier(where, FREQUENCIES).flatten(1)], dim=1)
