"""Regions of an image: boxes, the square crops around them, jitter and correction of boxes.

A box is (centre x, centre y, width, height) in pixels of the frame, from its top left corner: pixel (0, 0) covers [0, 1] x [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

CONTEXT = 1.3  # a crop's side over its box's longer side: shows surroundings, and the whole object if the box is slightly off
SMALLEST = 1.0  # pixels: the least width and height of a box that is cropped
MIDDLE_ERROR, SIZE_ERROR = 0.04, 0.06  # standard deviations of `jittered`, as shares of the box


def boxes_of(owners: np.ndarray, count: int) -> np.ndarray:
    """The boxes of `count` objects in ``owners`` (height, width), which holds each pixel's object as its index + 1, or 0.

    (count, 4) float32; width and height are 0 for an object that owns no pixel.
    """
    boxes = np.zeros((count, 4), np.float32)
    for index in range(count):
        rows, columns = np.nonzero(owners == index + 1)
        if len(rows):
            left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
            boxes[index] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    return boxes


def jittered(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Boxes (count, 4) with errors like those of proposals."""
    middle, size = boxes[:, :2], boxes[:, 2:]
    moved = middle + size * rng.normal(0.0, MIDDLE_ERROR, middle.shape)
    return np.concatenate([moved, size * np.exp(rng.normal(0.0, SIZE_ERROR, size.shape))], axis=1).astype(np.float32)


def sides(boxes: torch.Tensor) -> torch.Tensor:
    """(boxes,) the sides, in pixels, of the square crops around boxes (boxes, 4)."""
    return CONTEXT * boxes[:, 2:].amax(1).clamp(min=SMALLEST)


def crop(maps: torch.Tensor, image: torch.Tensor, boxes: torch.Tensor, frame: tuple[int, int], size: int) -> torch.Tensor:
    """The square crops of maps (images, channels, rows, columns) around boxes (boxes, 4): (boxes, channels, size, size).

    They are sampled bilinearly at the centres of the crop's pixels (He et al. 2017, RoIAlign), 0 outside the map. ``image`` (boxes,) is the
    image of each box; the map covers a ``frame`` of (height, width) pixels.
    """
    height, width = frame
    offsets = sides(boxes)[:, None] * ((torch.arange(size, device=boxes.device) + 0.5) / size - 0.5)
    x = (boxes[:, :1] + offsets) * (2 / width) - 1
    y = (boxes[:, 1:2] + offsets) * (2 / height) - 1
    shape = (len(boxes), size, size)
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1).to(maps.dtype)
    return nn.functional.grid_sample(maps[image], grid, padding_mode="zeros", align_corners=False)


def box_coordinates(boxes: torch.Tensor, frame: tuple[int, int]) -> torch.Tensor:
    """(boxes, 4): the centre's x and y in [-1, 1] over the frame, and the logarithms of width and height in eighths of the frame's."""
    height, width = frame
    whole = boxes.new_tensor([width, height])
    return torch.cat([boxes[:, :2] * 2 / whole - 1, (boxes[:, 2:].clamp(min=SMALLEST) * 8 / whole).log()], dim=1)


def refined(boxes: torch.Tensor, corrections: torch.Tensor) -> torch.Tensor:
    """Boxes (boxes, 4) moved by up to half their crop's side and scaled by up to e; ``corrections`` (boxes, 4) may have any size."""
    bounded = corrections.tanh()
    return torch.cat([boxes[:, :2] + sides(boxes)[:, None] / 2 * bounded[:, :2], boxes[:, 2:] * bounded[:, 2:].exp()], dim=1)
