"""Localisation: the numbers of an object, such as its place in the world, from its region and where that is in the image.

One camera looks at all images, so that an object's box tells where it stands; and its crop tells by how much the box is wrong, because it
was proposed a little off, or goes around what is seen of an object that is partly hidden.
"""

from __future__ import annotations

import torch
from torch import nn

from model.derender.config import DerenderConfig
from model.derender.layers import CROP, GEOMETRY, region_encoder, told_boxes
from model.derender.regions import refined

SEEN, HIDDEN = 128, 128
CLOSE = 0.05  # errors below this, in normalised units, count by their square


class LocalisationNetwork(nn.Module):
    """Corrects the box by what the crop shows, then reads ``numbers`` coordinates (see `model.tokens.codec.Slot.coordinates`) from both."""

    def __init__(self, config: DerenderConfig, numbers: int) -> None:
        super().__init__()
        self.frame = (config.image_height, config.image_width)
        self.encoder = region_encoder(config.region_width)
        self.seen = nn.Linear(4 * config.region_width * (CROP // 4) ** 2, SEEN)
        self.correct = nn.Linear(SEEN, 4)
        self.hidden = nn.Sequential(nn.Linear(SEEN + GEOMETRY, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.read = nn.Linear(HIDDEN, numbers)

    def forward(self, views: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Regions as `region_encoder` takes them, and their boxes, to coordinates (regions, numbers) in normalised units."""
        seen = torch.relu(self.seen(self.encoder(views).flatten(1)))
        with torch.autocast(views.device.type, enabled=False):  # bfloat16 has no digits for hundredths of a pixel
            seen = seen.float()
            where = told_boxes(refined(boxes.float(), self.correct(seen)), self.frame)
            return self.read(self.hidden(torch.cat([seen, where], dim=1)))

    def loss(self, coordinates: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The Huber loss of coordinates (regions, numbers), summed over both."""
        return nn.functional.smooth_l1_loss(coordinates, truth, reduction="sum", beta=CLOSE)
