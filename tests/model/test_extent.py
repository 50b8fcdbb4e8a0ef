"""The memory of a model and its images: counted and compared with its weight files before it is allocated."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPTJConfig

from datagen.errors import UserError
from model.extent import Extent, numbers_of_an_image, within
from model.load import WEIGHTS, load_model
from model.prediction.predict import Predictor


def test_buffers_and_what_no_one_registers_are_held_against_the_weights() -> None:
    """GPT-J's position table is a buffer, of 17 GB for a hundred million positions; some models keep one as a plain attribute."""
    small = {"n_embd": 32, "n_layer": 1, "n_head": 1, "rotary_dim": 32, "vocab_size": 64}
    extent = Extent(2**24, 1000, "the file holds less")
    with within(extent, "x"):
        AutoModelForCausalLM.from_config(GPTJConfig(n_positions=2048, **small))
    with pytest.raises(UserError, match=r"x: describes a model of at least 3,2.*the file holds less"), within(extent, "x"):
        AutoModelForCausalLM.from_config(GPTJConfig(n_positions=10**8, **small))
    with pytest.raises(UserError, match="the file holds less"), within(extent, "x"):
        nn.Sequential(nn.Identity())[0].table = torch.zeros(2**25)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_height": 8192, "image_width": 8192}, "cells of an image"),
        ({"vision_config.embedding_size": 2**15}, "model.safetensors"),
        ({"text_config.max_seq_len": 10**8}, "max_seq_len is 1e\\+08"),
    ],
)
def test_what_an_image_would_take_is_told_before_it_is_read(canary: Path, tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "tiny"))
    (folder / "whole.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    for path, value in fields.items():
        *parts, name = path.split(".")
        (config[parts[0]] if parts else config)[name] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        load_model(folder)


def test_no_more_images_are_read_at_once_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    predictor = Predictor.around(replace(load_model(WEIGHTS / "tiny", "cpu"), most_images=2))
    monkeypatch.setattr(predictor, "_read", lambda keys, *_: read.append(len(keys)) or iter(()))
    list(predictor.predict([(str(i), np.zeros((8, 8, 3), np.uint8)) for i in range(5)], batch_size=4))
    assert read == [2, 2, 1]


def test_a_wider_tower_reads_fewer_images_at_once() -> None:
    def numbers(width: int) -> int:
        with torch.device("meta"):
            return numbers_of_an_image(nn.Conv2d(3, width, 1), (64, 64), "x")

    assert numbers(8) == 8 * 64 * 64
    with pytest.raises(UserError, match="x: makes 134,217,728 numbers of an image"):
        numbers(2**15)
