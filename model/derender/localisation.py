"""Localisation: the numbers of an object, such as its place in the world, from its region's crop and box.

All images have about the same camera, so an object's box determines where it stands. The crop shows the error of the box, which may be
proposed a little off, or enclose only the visible part of an object.
"""

from __future__ import annotations

import torch
from torch import nn

from model.derender.config import DerenderConfig
from model.derender.layers import BOX_FEATURES, CROP, box_features, region_encoder
from model.derender.regions import refined

SEEN, HIDDEN = 128, 128
CLOSE = 0.05  # normalised units: smaller errors have a quadratic loss, others a linear one


class LocalisationNetwork(nn.Module):
    """Corrects the box with the crop, then reads ``numbers`` coordinates (see `model.tokens.pieces.Slot.coordinates`) off both."""

    def __init__(self, config: DerenderConfig, numbers: int) -> None:
        super().__init__()
        self.frame = (config.image_height, config.image_width)
        self.encoder = region_encoder(config.region_width)
        self.seen = nn.Linear(4 * config.region_width * (CROP // 4) ** 2, SEEN)
        self.correct = nn.Linear(SEEN, 4)
        self.hidden = nn.Sequential(nn.Linear(SEEN + BOX_FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.read = nn.Linear(HIDDEN, numbers)

    def forward(self, views: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Views of regions as `region_encoder` takes them, and boxes (regions, 4), to coordinates (regions, numbers), normalised."""
        seen = torch.relu(self.seen(self.encoder(views).flatten(1)))
        with torch.autocast(views.device.type, enabled=False):  # bfloat16 is too coarse for hundredths of a pixel
            seen = seen.float()
            box = box_features(refined(boxes.float(), self.correct(seen)), self.frame)
            return self.read(self.hidden(torch.cat([seen, box], dim=1)))

    def loss(self, coordinates: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The smooth L1 loss of coordinates (regions, numbers), summed over both."""
        return nn.functional.smooth_l1_loss(coordinates, truth, reduction="sum", beta=CLOSE)
