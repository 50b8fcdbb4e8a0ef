"""The vision tower: an adapter around any vision model of transformers' Auto classes."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from datagen.errors import UserError
from model.config import IGLLMConfig
from model.parts.layout import Layout, Size, layout_of

PLACE_FREQUENCIES = 8
MOST_LAYOUTS = 8  # that are kept
LAST_BUT_ONE = -2  # the hidden state that is read unless the configuration states another


class VisionTower(nn.Module):
    """Turns images into tokens in reading order, one for each place of a ``rows`` x ``columns`` grid.

    Of a transformer with patches of one size, the patch tokens of the hidden state ``config.vision_layer`` are used, without class tokens
    and registers; of any other network, its last map, or the tokens of its last stage (see `model.parts.layout`). With
    ``config.vision_merge`` above 1, neighbouring places are joined into one token, their channels side by side (the inverse of pixel
    shuffle, Shi et al. 2016), so that the tower computes on finer patches and the language model reads no more tokens. Unlike patch tokens,
    a map does not encode positions, so sines and cosines of each token's position are appended as channels.
    """

    def __init__(self, config: IGLLMConfig, encoder: nn.Module | None = None) -> None:
        """An adapter around `encoder`, by default one with random weights.

        `UserError` if the tower cannot be used or cannot take the frame, lacks the layer to read, or has a map that does not merge evenly.
        """
        super().__init__()
        self.encoder: Any = encoder or AutoModel.from_config(config.vision_config)
        self.layer = config.vision_layer
        self.layout = known_layout(self.encoder, config.vision_config, (config.image_height, config.image_width))
        self._check_layer()
        self.merge = config.vision_merge
        rows, columns = self.layout.rows, self.layout.columns
        if rows % self.merge or columns % self.merge:
            raise UserError(f"vision_merge={self.merge} does not divide the tower's map of {rows} x {columns} cells")
        self.rows, self.columns = rows // self.merge, columns // self.merge
        self.width = self.layout.channels * self.merge**2 + (4 * PLACE_FREQUENCIES if self.layout.states is None else 0)
        if config.freeze_vision:
            self.encoder.requires_grad_(False)

    @property
    def attended(self) -> int:
        """The number of an image's tokens that attend to each other: in a tower that is a transformer, else in the language model."""
        return self.rows * self.columns * (1 if self.layout.states is None else self.merge**2)

    def _check_layer(self) -> None:
        """`UserError` for a layer that the tower does not have."""
        if self.layout.states is None:
            if self.layer not in (LAST_BUT_ONE, -1):
                raise UserError(f"vision_layer={self.layer}: this tower is read at its end; leave vision_layer out")
            return
        layers = self.layout.states - 1
        if not -layers - 1 <= self.layer <= layers:
            raise UserError(
                f"vision_layer={self.layer}: this tower has {layers} layers, whose hidden states are 0 to {layers}, or from the end "
                f"-1 to {-layers - 1}"
            )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(batch, 3, height, width) normalised pixels to (batch, rows * columns, width)."""
        return self._tokens(self._run(pixel_values))

    def fault(self, frame: Size) -> str | None:
        """How an image's tokens differ from what the tower should give, in words; None if they do not. ``frame`` is height and width.

        The model reads a blank image, and one with noise at the last place of the first row: of patch tokens before the first layer, the
        one of this place alone may change.
        """
        layout, images = self.layout, torch.zeros(2, 3, *frame)
        images[1, :, : frame[0] // layout.rows, -(frame[1] // layout.columns) :].normal_()
        made = self._run(images)
        tokens = self._tokens(made)
        if tokens.shape[1:] != (self.rows * self.columns, self.width):
            return f"it gives {tokens.shape[1]} tokens {tokens.shape[2]} wide, and should give {self.rows} x {self.columns} of {self.width}"
        if layout.states is not None and made.hidden_states[0].ndim == 3:
            blank, noisy = made.hidden_states[0].float()
            changed, expected = int((noisy - blank).norm(dim=-1).argmax()), layout.before + layout.columns - 1
            if changed != expected:
                where = f"the last of the first row is token {changed + 1} of {len(blank)}, and should be {expected + 1}"
                return f"its patches are not the last of its tokens, in reading order: {where}"
        return None

    def _run(self, pixel_values: torch.Tensor) -> Any:
        return self.layout.run(self.encoder, pixel_values.to(self.encoder.dtype))

    def _tokens(self, made: Any) -> torch.Tensor:
        """What the model gives of images as tokens (batch, rows * columns, width)."""
        cells = self._merged(self.layout.places(made, self.layer))
        if self.layout.states is not None:
            return cells
        place = place_code(self.rows, self.columns, PLACE_FREQUENCIES).to(cells)
        return torch.cat([cells, place.expand(len(cells), -1, -1)], dim=-1)

    def _merged(self, cells: torch.Tensor) -> torch.Tensor:
        """(batch, patches, channels) to (batch, rows * columns, merge² * channels), a token's patches in reading order."""
        if self.merge == 1:
            return cells
        grid = cells.reshape(len(cells), self.rows, self.merge, self.columns, self.merge, -1)
        return grid.transpose(2, 3).flatten(3).flatten(1, 2)


_layouts: dict[tuple[type, str, Size], Layout] = {}  # of the last towers: planning, building and loading ask for the same one


def known_layout(encoder: Any, config: Any, frame: Size) -> Layout:
    """The layout of a model of this configuration, for images of this height and width, found once. `UserError` as by `layout_of`."""
    asked = (type(encoder), config.to_json_string(use_diff=False), frame)
    if asked not in _layouts:
        found = layout_of(_on_meta(encoder, config), frame)
        if len(_layouts) == MOST_LAYOUTS:
            _layouts.clear()
        _layouts[asked] = found
    return _layouts[asked]


def _on_meta(encoder: Any, config: Any) -> Any:
    """A model like `encoder` on the meta device. Never itself: it may keep what it makes in a pass, and would keep it without content."""
    if encoder.device.type == "meta":
        return deepcopy(encoder)
    with torch.device("meta"):
        return AutoModel.from_config(config)


def place_code(rows: int, columns: int, frequencies: int) -> torch.Tensor:
    """(rows * columns, 4 * frequencies): `fourier` of each place's y and x in [-1, 1]."""
    y = ((torch.arange(rows) + 0.5) * 2 / rows - 1).repeat_interleave(columns)
    x = ((torch.arange(columns) + 0.5) * 2 / columns - 1).repeat(rows)
    return torch.cat([fourier(y, frequencies), fourier(x, frequencies)], dim=-1)


def fourier(values: torch.Tensor, frequencies: int) -> torch.Tensor:
    """(...) values, about in [-1, 1], to (..., 2 * frequencies): sines, then cosines, at a quarter, a half, one, ... periods per unit."""
    angles = values[..., None] * (math.pi / 2) * 2 ** torch.arange(frequencies, device=values.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
