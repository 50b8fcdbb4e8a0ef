"""The vision tower: an adapter around any vision model of transformers' Auto classes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from datagen.errors import UserError
from model.config import IGLLMConfig
from model.tables import reason

PLACE_FREQUENCIES = 8
USABLE = (
    "towers that can be used are transformers with patches of one size (CLIP, SigLIP, DINOv2, ViT and their like) and convolutional "
    "networks that end in one map (ResNet, RegNet and their like)"
)
LAST_BUT_ONE = -2  # the hidden state that is read unless the configuration states another


class VisionTower(nn.Module):
    """Turns images into tokens in reading order, one for each place of a ``rows`` x ``columns`` grid.

    Of a transformer, the patch tokens of the hidden state ``config.vision_layer`` are used, without class token; of a convolutional
    network, the last map. With ``config.vision_merge`` above 1, neighbouring patches are joined into one token, their channels side by
    side (the inverse of pixel shuffle, Shi et al. 2016), so that the tower computes on finer patches and the language model reads no more
    tokens. Unlike patch tokens, a map does not encode positions, so sines and cosines of each token's position are appended as channels.
    """

    def __init__(self, config: IGLLMConfig, encoder: nn.Module | None = None) -> None:
        """An adapter around `encoder`, by default one with random weights.

        `UserError` if the tower is of an unsupported kind, lacks the layer to read, is made for another frame, or has an empty map or one
        that cannot be merged evenly.
        """
        super().__init__()
        if not is_usable(config.vision_config):
            raise UserError(f"a {config.vision_config.model_type} cannot be used as a tower; {USABLE}")
        self.encoder: Any = encoder or AutoModel.from_config(config.vision_config)
        self.layer = config.vision_layer
        vision = config.vision_config
        self.convolutional = not hasattr(vision, "patch_size")
        if self.convolutional:
            stride = _stride(self.encoder)
            rows, columns = math.ceil(config.image_height / stride), math.ceil(config.image_width / stride)
            channels, places = vision.hidden_sizes[-1], 4 * PLACE_FREQUENCIES
        else:
            patch = vision.patch_size
            patch_height, patch_width = patch if isinstance(patch, list | tuple) else (patch, patch)
            rows, columns = config.image_height // patch_height, config.image_width // patch_width
            _check_frame(vision, config.image_height, config.image_width)
            channels, places = vision.hidden_size, 0
        self._check_layer(vision)
        if not rows * columns:
            raise UserError(f"the tower's patches are larger than its frame of {config.image_height} x {config.image_width} pixels")
        self.merge = config.vision_merge
        if rows % self.merge or columns % self.merge:
            raise UserError(f"vision_merge={self.merge} does not divide the tower's map of {rows} x {columns} cells")
        self.rows, self.columns = rows // self.merge, columns // self.merge
        self.width = channels * self.merge**2 + places
        if config.freeze_vision:
            self.encoder.requires_grad_(False)

    @property
    def attended(self) -> int:
        """The number of an image's tokens that attend to each other: in the tower or, if it is convolutional, in the language model."""
        return self.rows * self.columns * (1 if self.convolutional else self.merge**2)

    def _check_layer(self, vision: Any) -> None:
        """`UserError` for a layer that the tower does not have."""
        if self.convolutional:
            if self.layer not in (LAST_BUT_ONE, -1):
                raise UserError(f"vision_layer={self.layer}: a convolutional tower is read at its end; leave vision_layer out")
            return
        layers = getattr(vision, "num_hidden_layers", None)
        if layers is not None and not -layers - 1 <= self.layer <= layers:
            raise UserError(
                f"vision_layer={self.layer}: this tower has {layers} layers, whose hidden states are 0 to {layers}, or from the end "
                f"-1 to {-layers - 1}"
            )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(batch, 3, height, width) normalised pixels to (batch, rows * columns, width)."""
        pixel_values = pixel_values.to(self.encoder.dtype)
        if not self.convolutional:
            states = self.encoder(pixel_values, output_hidden_states=True).hidden_states[self.layer]
            return self._merged(states[:, -self.rows * self.columns * self.merge**2 :])
        # Channels last: the same convolutions, faster on a CPU (benchmarks/tower_layout.py).
        features = self.encoder(pixel_values.contiguous(memory_format=torch.channels_last)).last_hidden_state.flatten(2).transpose(1, 2)
        features = self._merged(features)
        place = place_code(self.rows, self.columns, PLACE_FREQUENCIES).to(features)
        return torch.cat([features, place.expand(len(features), -1, -1)], dim=-1)

    def _merged(self, cells: torch.Tensor) -> torch.Tensor:
        """(batch, patches, channels) to (batch, rows * columns, merge² * channels), a token's patches in reading order."""
        if self.merge == 1:
            return cells
        grid = cells.reshape(len(cells), self.rows, self.merge, self.columns, self.merge, -1)
        return grid.transpose(2, 3).flatten(3).flatten(1, 2)


def is_usable(vision: Any) -> bool:
    """Whether a configuration may describe a tower that `VisionTower` can read; only a trial run is certain."""
    patches, maps = hasattr(vision, "patch_size"), hasattr(vision, "hidden_sizes")
    return patches != maps and not (patches and hasattr(vision, "depths"))  # the excluded ones merge patches from stage to stage


def _check_frame(vision: Any, height: int, width: int) -> None:
    """`UserError` for a frame of another size than the position embeddings of a transformer are made for."""
    side = getattr(vision, "image_size", None)
    known = tuple(side) if isinstance(side, list | tuple) else (side, side)
    if side and known != (height, width):
        raise UserError(
            f"the tower's image_size is {known[0]} x {known[1]} pixels, and the frame is {height} x {width}; they must be equal"
        )


def place_code(rows: int, columns: int, frequencies: int) -> torch.Tensor:
    """(rows * columns, 4 * frequencies): `fourier` of each place's y and x in [-1, 1]."""
    y = ((torch.arange(rows) + 0.5) * 2 / rows - 1).repeat_interleave(columns)
    x = ((torch.arange(columns) + 0.5) * 2 / columns - 1).repeat(rows)
    return torch.cat([fourier(y, frequencies), fourier(x, frequencies)], dim=-1)


def fourier(values: torch.Tensor, frequencies: int) -> torch.Tensor:
    """(...) values, about in [-1, 1], to (..., 2 * frequencies): sines, then cosines, at a quarter, a half, one, ... periods per unit."""
    angles = values[..., None] * (math.pi / 2) * 2 ** torch.arange(frequencies, device=values.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _stride(encoder: nn.Module) -> int:
    """The number of pixels, each way, for each place of a convolutional tower's map."""
    training = encoder.training
    with torch.no_grad():
        try:
            side = encoder.eval()(torch.zeros(1, 3, 64, 64)).last_hidden_state.shape[-1]
        except Exception as error:  # of any kind: the network may be anything
            raise UserError(f"the tower makes no map of an image ({reason(error)}); {USABLE}") from None
    encoder.train(training)
    return 64 // side
