"""Images as input of a tower: scaled to fit its frame as a whole, padded, normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image


@dataclass(frozen=True)
class Frame:
    """The size of a tower's images in pixels, and the ``mean`` and ``std`` of each channel, in [0, 1], for normalisation.

    IG-LLM pads images to a square; a frame with the shape of the data's images needs no padding.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @staticmethod
    def of(config: Any) -> Frame:
        """The frame of a model with this configuration."""
        return Frame(config.image_height, config.image_width, tuple(config.image_mean), tuple(config.image_std))

    def fit(self, pixels: np.ndarray) -> tuple[np.ndarray, Placement]:
        """An image (h, w, 3) uint8, scaled to fit and centred on a frame (height, width, 3) uint8 of the mean colour, and its placement."""
        h, w = pixels.shape[:2]
        new_h, new_w, top, left = self._fitted(h, w)
        if (new_h, new_w) != (h, w):
            pixels = np.asarray(Image.fromarray(pixels).resize((new_w, new_h), Image.Resampling.BICUBIC, reducing_gap=3.0))
        if (new_h, new_w) != (self.height, self.width):
            canvas = np.empty((self.height, self.width, 3), np.uint8)
            canvas[:] = np.round(255 * np.array(self.mean))
            canvas[top : top + new_h, left : left + new_w] = pixels
            pixels = canvas
        return pixels, self.placement(h, w)

    def fit_labels(self, labels: np.ndarray) -> np.ndarray:
        """Labels of pixels (h, w), fitted as `fit` fits their image: each pixel gets the nearest label, padding gets 0."""
        h, w = labels.shape
        new_h, new_w, top, left = self._fitted(h, w)
        rows = ((np.arange(new_h) + 0.5) * h / new_h).astype(int)
        columns = ((np.arange(new_w) + 0.5) * w / new_w).astype(int)
        canvas = np.zeros((self.height, self.width), labels.dtype)
        canvas[top : top + new_h, left : left + new_w] = labels[rows[:, None], columns]
        return canvas

    def placement(self, h: int, w: int) -> Placement:
        """Where an image of this size lies in the frame."""
        new_h, new_w, top, left = self._fitted(h, w)
        return Placement(new_w / w, new_h / h, left, top)

    def _fitted(self, h: int, w: int) -> tuple[int, int, int, int]:
        """Height, width, top and left of an image of this size in the frame, in pixels."""
        scale = min(self.height / h, self.width / w)
        new_h, new_w = max(1, round(h * scale)), max(1, round(w * scale))
        return new_h, new_w, (self.height - new_h) // 2, (self.width - new_w) // 2

    def tensor(self, fitted: np.ndarray) -> torch.Tensor:
        """A fitted image, values in [0, 255], as a normalised (3, height, width) float32 tensor."""
        values = (fitted.astype(np.float32) / 255 - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return torch.from_numpy(values.transpose(2, 0, 1).copy())


@dataclass(frozen=True)
class Placement:
    """Where an image lies in a frame: scales, then offsets in pixels."""

    scale_x: float
    scale_y: float
    left: int
    top: int

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """A point of the image, in its pixels, as a point of the frame, in the frame's pixels."""
        return x * self.scale_x + self.left, y * self.scale_y + self.top


def jitter(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image (h, w, 3) in [0, 255] with slightly changed brightness, tint and gamma, and added noise: float32 in the same range."""
    gain = (rng.uniform(0.85, 1.15) * rng.uniform(0.96, 1.04, 3) / 255).astype(np.float32)
    curve = np.float32(rng.uniform(0.9, 1.1))
    noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0.0, 0.015))
    varied = np.minimum(pixels * gain, 1.0) ** curve + noise
    return varied.clip(0.0, 1.0) * np.float32(255)
