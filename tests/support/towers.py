"""Vision models of many kinds, shrunk, with random weights, and what a tower should read of each: the tests' own list, made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
PATCHES = {**LAYERS, "image_size": 64, "patch_size": 16}
STAGES = {"hidden_sizes": [8, 12, 16, 24], "depths": [1] * 4}


@dataclass(frozen=True)
class Kind:
    """A kind of vision model, by the fields of a shrunk configuration.

    ``grid`` is the rows and columns of its map of a frame (64 x 64 pixels if the kind has a size of its own, else 128 x 160), ``channels``
    its width, ``before`` the number of tokens before the patches; None for a model whose last output is a map.
    """

    name: str
    fields: dict[str, Any]
    grid: tuple[int, int]
    channels: int
    before: int | None
    staged: bool = False
    model_type: str = ""
    seed: int = 5

    def save(self, folder: Path) -> Path:
        """Save a model of this kind with random weights."""
        torch.manual_seed(self.seed)
        AutoModel.from_config(AutoConfig.for_model(self.model_type or self.name, **self.fields)).save_pretrained(folder)
        return folder


KINDS = [
    Kind("resnet", {"embedding_size": 8, "hidden_sizes": [8, 12, 16], "depths": [1] * 3, "layer_type": "basic"}, (8, 10), 16, None),
    Kind("regnet", {"embedding_size": 8, "groups_width": 4, **STAGES}, (4, 5), 24, None),
    Kind("convnext", {**STAGES, "image_size": 64}, (2, 2), 24, None),
    Kind("convnextv2", {**STAGES, "image_size": 64}, (2, 2), 24, None),
    Kind("mobilenet_v1", {"depth_multiplier": 0.125, "image_size": 64}, (2, 2), 128, None),
    Kind("mobilenet_v2", {"depth_multiplier": 0.125, "finegrained_output": False, "image_size": 64}, (2, 2), 160, None),
    Kind(
        "efficientnet",
        {"width_coefficient": 0.1, "depth_coefficient": 0.1, "depth_divisor": 4, "hidden_dim": 128, "image_size": 64},
        (2, 2),
        128,
        None,
    ),
    Kind("swin", {"embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "image_size": 64}, (8, 8), 24, 0, staged=True),
    Kind(
        "swinv2", {"embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "image_size": 64}, (8, 8), 24, 0, staged=True
    ),
    Kind(
        "pvt",
        {"hidden_sizes": [8] * 4, "num_attention_heads": [1] * 4, "depths": [1] * 4, "image_size": 64},
        (2, 2),
        8,
        1,
        staged=True,
    ),
    Kind("dinov3_convnext", {**STAGES, "image_size": 64}, (2, 2), 24, 1, staged=True),
    Kind("clip", PATCHES, (4, 4), 32, 1, model_type="clip_vision_model"),
    Kind("siglip", PATCHES, (4, 4), 32, 0, model_type="siglip_vision_model"),
    Kind("vit", PATCHES, (4, 4), 32, 1),
    Kind("deit", PATCHES, (4, 4), 32, 2),
    Kind("beit", {**PATCHES, "use_relative_position_bias": True}, (4, 4), 32, 1),
    Kind("dinov2", {**LAYERS, "image_size": 56, "patch_size": 14}, (4, 4), 32, 1),
    Kind("dinov2_with_registers", {**LAYERS, "image_size": 56, "patch_size": 14, "num_register_tokens": 9}, (4, 4), 32, 10),
    Kind("dinov3_vit", {**PATCHES, "num_register_tokens": 4}, (4, 4), 32, 5),
]
