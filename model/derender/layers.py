"""Layers that the networks of regions share."""

from __future__ import annotations

import torch
from torch import nn

from model.derender.regions import box_coordinates
from model.parts.tower import fourier

CROP = 24  # pixels of a region's crop, each way
FREQUENCIES = 4  # of the sines and cosines of a box
BOX_FEATURES = 4 * (1 + 2 * FREQUENCIES)


def convolution(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def region_encoder(width: int) -> nn.Sequential:
    """Views (regions, 6, `CROP`, `CROP`), a region's crop and the same masked, to (regions, 4 * width, `CROP` / 4, `CROP` / 4)."""
    return nn.Sequential(
        convolution(6, width),
        convolution(width, 2 * width, stride=2),
        convolution(2 * width, 2 * width),
        convolution(2 * width, 4 * width, stride=2),
    )


def box_features(boxes: torch.Tensor, frame: tuple[int, int]) -> torch.Tensor:
    """Boxes (boxes, 4) as features (boxes, `BOX_FEATURES`) for a linear layer."""
    coordinates = box_coordinates(boxes, frame)
    return torch.cat([coordinates, fourier(coordinates, FREQUENCIES).flatten(1)], dim=1)
