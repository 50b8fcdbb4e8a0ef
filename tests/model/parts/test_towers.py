"""Any vision model that gives a map or patch tokens is a tower: what it is read by, its frame, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from towers import KINDS, Kind
from transformers import AutoModel

from datagen.domains.registry import get_domain
from model.build import build
from model.igllm import IGLLM
from model.load import check_extent
from model.parts.tower import PLACE_FREQUENCIES
from model.preset import Preset, get_preset

DOTS = get_domain("dot2d")
BLIND = {"dense_weight": 0.0, "number_cells": False, "word_cells": False, "guide_weight": 0.0, "augment": False}


def on(folder: Path, **changes: Any) -> Preset:
    """The tiny preset with the tower in a folder, frozen."""
    return get_preset("tiny").replaced(vision_model=str(folder), freeze_vision=True, **BLIND, **changes)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_model_on_disk_is_read_by_what_comes_out(kind: Kind, tmp_path: Path) -> None:
    model, _ = build(on(kind.save(tmp_path / "tower")), DOTS)
    images = torch.randn(2, 3, model.config.image_height, model.config.image_width)
    with torch.no_grad():
        made = AutoModel.from_pretrained(tmp_path / "tower").eval()(images, output_hidden_states=True)
        seen = model.eval().tower(images)
    if kind.before is None:
        expected = made.last_hidden_state.flatten(2).transpose(1, 2)
    else:
        expected = (made.last_hidden_state if kind.staged else made.hidden_states[-2])[:, kind.before :]
    assert (model.tower.rows, model.tower.columns) == kind.grid
    assert torch.allclose(seen[..., : kind.channels], expected, atol=1e-5)
    positions = 4 * PLACE_FREQUENCIES if kind.before is None or kind.staged else 0
    assert seen.shape == (2, kind.grid[0] * kind.grid[1], kind.channels + positions)
    model.save_pretrained(tmp_path / "saved")
    check_extent(model.config, IGLLM, tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(IGLLM.from_pretrained(tmp_path / "saved").tower(images), seen)
