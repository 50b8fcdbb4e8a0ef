"""Region proposals: a convolutional trunk, a heat map of objects' centres, and a box for every centre.

This is CenterNet's way (Zhou et al. 2019, "Objects as Points"), which needs neither anchors nor suppression of overlapping boxes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoBackbone

from model.derender.config import DerenderConfig

HEAT_LOG_ODDS = -4.0  # approximately, of a centre in a cell, initially
SHARPNESS, LENIENCE = 2, 4  # CenterNet's alpha and beta
SPREAD = 0.09  # the target's standard deviation as a share of the box, a sixth of TTFNet's 0.54 (Liu et al. 2020)
LEAST_SPREAD = 0.4  # in cells; also keeps the spread of absent boxes, whose width is 0, positive
BOX_WEIGHT = 0.5  # of the boxes' loss relative to that of the heat


class Pyramid(nn.Module):
    """The trunk's maps added up from coarse to fine (Lin et al. 2017): one map of ``config.width`` channels at the finest stride."""

    def __init__(self, config: DerenderConfig) -> None:
        super().__init__()
        self.trunk: Any = AutoBackbone.from_config(config.vision_config)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, config.width, 1) for channels in self.trunk.channels)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(images, 3, height, width) normalised pixels to (images, width, rows, columns)."""
        # Channels last: the same convolutions, faster on a CPU (benchmarks/tower_layout.py).
        maps = self.trunk(pixel_values.contiguous(memory_format=torch.channels_last)).feature_maps
        *finer, summed = (layer(features) for layer, features in zip(self.lateral, maps, strict=True))
        for features in reversed(finer):
            summed = features + nn.functional.interpolate(summed, features.shape[-2:], mode="nearest")
        return torch.relu(summed)


class ProposalHead(nn.Module):
    """For each cell of a map: the log odds that the centre of an object's box is there, and that box.

    A box is read as the offset of its centre from the cell's, in cells, and the logarithms of its width and height in cells.
    """

    def __init__(self, config: DerenderConfig) -> None:
        super().__init__()
        self.frame = (config.image_height, config.image_width)
        self.hidden = nn.Sequential(
            nn.Conv2d(config.width, config.width, 3, padding=1, bias=False), nn.BatchNorm2d(config.width), nn.ReLU()
        )
        self.read = nn.Conv2d(config.width, 5, 1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(images, width, rows, columns) to log odds (images, rows, columns) and boxes as read (images, 4, rows, columns)."""
        output = self.read(self.hidden(features)).float()
        return output[:, 0] + HEAT_LOG_ODDS, output[:, 1:]

    def loss(self, heat: torch.Tensor, read: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """The focal loss of the heat, summed over cells, plus `BOX_WEIGHT` times the boxes' absolute errors, summed over objects.

        ``heat`` and ``read`` are the results of `forward`; ``boxes`` (images, objects, 4) in pixels, 0 wide where there is no object.
        """
        scaled = boxes / self._cell_size(heat.shape[-2:], boxes)
        present = boxes[..., 2] > 0
        target, at = heat_target(scaled, present, heat.shape[-2:])
        positive = (1 - heat.sigmoid()) ** SHARPNESS * nn.functional.logsigmoid(heat)
        negative = (1 - target) ** LENIENCE * heat.sigmoid() ** SHARPNESS * nn.functional.logsigmoid(-heat)
        focal = -torch.where(target == 1, positive, negative).sum()
        image = present.nonzero()[:, 0]
        x, y = at[present].unbind(-1)
        truth = torch.cat([scaled[present][:, :2] - at[present] - 0.5, scaled[present][:, 2:].log()], dim=1)
        return focal + BOX_WEIGHT * (read[image, :, y, x] - truth).abs().sum()

    def peaks(self, heat: torch.Tensor, read: torch.Tensor, most: int, threshold: float) -> tuple[torch.Tensor, ...]:
        """The proposals, at most ``most`` an image: local maxima of the heat that are above ``threshold``.

        Returns their images (proposals,), boxes (proposals, 4) in pixels, and heat (proposals,) in (threshold, 1], image by image, hottest
        first.
        """
        rows, columns = heat.shape[-2:]
        heat = heat.sigmoid()
        highest = nn.functional.max_pool2d(heat[:, None], 3, stride=1, padding=1)[:, 0]
        hottest, cell = (heat * (heat == highest)).flatten(1).topk(min(most, rows * columns))
        image, place = (hottest > threshold).nonzero().unbind(1)
        cell, score = cell[image, place], hottest[image, place]
        y, x = cell // columns, cell % columns
        output = read[image, :, y, x]
        scaled = torch.cat([torch.stack([x, y], dim=1) + 0.5 + output[:, :2], output[:, 2:].exp()], dim=1)
        return image, scaled * self._cell_size(heat.shape[-2:], scaled), score

    def _cell_size(self, shape: torch.Size, like: torch.Tensor) -> torch.Tensor:
        """(4,) the width and height, twice, of a cell of a map (rows, columns) in pixels: the unit of scaled boxes."""
        (height, width), (rows, columns) = self.frame, shape
        return like.new_tensor([width / columns, height / rows] * 2)


def heat_target(scaled: torch.Tensor, present: torch.Tensor, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
    """The target heat (images, rows, columns), 1 in cells with a centre and a Gaussian around them; and each object's cell.

    ``scaled`` (images, objects, 4) are boxes in units of cells, ``present`` (images, objects) marks existing ones, ``shape`` is the map's
    (rows, columns). An object's cell is (column, row): (images, objects, 2).
    """
    rows, columns = shape
    limits = torch.tensor([columns - 1, rows - 1], device=scaled.device)
    at = torch.minimum(scaled[..., :2].floor().long().clamp(min=0), limits)
    spread = (SPREAD * scaled[..., 2:]).clamp(min=LEAST_SPREAD)
    x, y = torch.arange(columns, device=scaled.device), torch.arange(rows, device=scaled.device)
    across = ((x - at[..., :1]) / spread[..., :1]).square()
    down = ((y - at[..., 1:]) / spread[..., 1:]).square()
    heat = (-(down[..., :, None] + across[..., None, :]) / 2).exp() * present[..., None, None]
    return heat.amax(1) if heat.shape[1] else heat.new_zeros(len(scaled), rows, columns), at
