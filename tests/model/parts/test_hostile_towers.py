"""Towers and preprocessor files from unknown sources: one that cannot be used or followed ends in one message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from spoiled_parts import change, preset_on
from transformers import Siglip2VisionConfig, Siglip2VisionModel, ViTMAEConfig, ViTMAEModel, YolosConfig, YolosModel

from datagen.domains.clevr import CLEVR
from datagen.errors import UserError
from model.build import build
from model.parts.pretrained import Base


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch_size": 0}, "clip"),
        ({"image_size": 10**6}, "clip"),
        ({"num_hidden_layers": 5_000}, "model.safetensors holds"),
        ({"hidden_size": 2**40}, "clip"),
        ({"intermediate_size": 2**40}, "model.safetensors holds"),
    ],
)
def test_numbers_of_a_tower_are_held_against_its_weights(
    own_parts: dict[str, Path], canary: Path, fields: dict[str, Any], message: str
) -> None:
    stated = json.loads((own_parts["clip"] / "config.json").read_text())
    change(own_parts["clip"] / "config.json", vision_config=stated["vision_config"] | fields)
    with pytest.raises(UserError, match=message):
        build(preset_on(own_parts), CLEVR)


@pytest.mark.parametrize(
    "statistics",
    [{"image_mean": 0.5}, {"image_mean": [0.5] * 4}, {"image_std": [0.0] * 3}, {"image_std": ["x"] * 3}, {"image_mean": [1e300] * 3}],
)
def test_statistics_that_are_none_are_named(own_parts: dict[str, Path], canary: Path, statistics: dict[str, Any]) -> None:
    change(own_parts["clip"] / "preprocessor_config.json", size={"height": 10**6}, resample=99, **statistics)
    with pytest.raises(UserError, match=next(iter(statistics))):
        build(preset_on(own_parts), CLEVR)


PATCHES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64, "patch_size": 16}


def masked(folder: Path) -> None:
    ViTMAEModel(ViTMAEConfig(**PATCHES)).save_pretrained(folder)


def detecting(folder: Path) -> None:
    YolosModel(YolosConfig(**PATCHES | {"image_size": [64, 64]}, num_detection_tokens=5)).save_pretrained(folder)


def of_any_resolution(folder: Path) -> None:
    layers = {name: PATCHES[name] for name in PATCHES if name != "image_size"}
    Siglip2VisionModel(Siglip2VisionConfig(**layers, num_patches=16)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (masked, "of an image of 64 x 64 pixels it gives 5 tokens of 32 numbers, which are not one for each place of a map"),
        (
            detecting,
            "its patches are not the last of its tokens, in reading order: the last of the first row is token 5 of 22, and should be 10",
        ),
        (of_any_resolution, r"it takes more than the pixels of an image \(pixel_attention_mask, spatial_shapes\), .*; of SigLIP 2, the "),
        ("llama", "a llama cannot be loaded as a pretrained part that sees"),
    ],
)
def test_a_tower_that_cannot_be_used_is_told_why_and_which_can(own_parts: dict[str, Path], canary: Path, make: Any, why: str) -> None:
    if callable(make):
        shutil.rmtree(own_parts["clip"])
        make(own_parts["clip"])
    else:
        own_parts["clip"] = own_parts[make]
    with pytest.raises(UserError, match=rf"{why}.*towers that can be used are .*CLIP, SigLIP, DINOv2, ViT .*ResNet, RegNet") as raised:
        build(preset_on(own_parts), CLEVR)
    assert str(raised.value).startswith(str(own_parts["clip"]))
    assert "object has no attribute" not in str(raised.value)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"architecture": "hf-hub:someone/model"}, "architecture is 'hf-hub:someone/model'; a model that timm knows by name is expected"),
        ({"architecture": "local-dir:/tmp/model"}, "a model that timm knows by name is expected"),
        (
            {"model_args": {"checkpoint_path": "weights.pth"}},
            "model_args.checkpoint_path is stated, and weights are read from model.safetensors",
        ),
        ({"model_args": {"pretrained": True}}, "model_args.pretrained is stated"),
        ({"model_args": {"pretrained_cfg": {"file": "x"}}}, "model_args.pretrained_cfg is stated"),
        ({"model_args": {"cache_dir": "/tmp"}}, "model_args.cache_dir is '/tmp'; numbers are expected there"),
        ({"model_args": {"device": "cpu", "embed_dim": 10**9}}, "model_args.device is 'cpu'"),
        ({"model_args": {"act_layer": "os.system"}}, "model_args.act_layer is 'os.system'"),
        ({"model_args": {"channels": [8, "x"]}}, "model_args.channels is 'x'"),
        ({"model_args": {"depth": 10**6}}, "model_args.depth is 1e.06"),
    ],
)
def test_arguments_of_timm_fetch_and_read_nothing(own_parts: dict[str, Path], canary: Path, stated: dict[str, Any], message: str) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (own_parts["clip"] / name).write_text(json.dumps({"model_type": "timm_wrapper", "architecture": "resnet18"} | stated))
    with pytest.raises(UserError, match=message) as raised:
        build(preset_on(own_parts), CLEVR)
    assert str(raised.value).startswith(str(own_parts["clip"]))


HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("preprocessor_config.json", "{", "is not JSON"),
        ("preprocessor_config.json", "[]", "a JSON object is expected"),
        ("preprocessor_config.json", '"x"', "a JSON object is expected"),
        ("preprocessor_config.json", "{}", "image_mean is missing"),
        ("preprocessor_config.json", json.dumps({"image_mean": [0.5] * 3}), "image_std is missing"),
        ("preprocessor_config.json", json.dumps({"image_std": [0.5] * 3}), "image_mean is missing"),
        ("preprocessor_config.json", json.dumps(HALF | {"image_std": [1e-300] * 3}), "image_std"),
        ("preprocessor_config.json", json.dumps(HALF | {"image_std": [-0.5] * 3}), "image_std"),
        ("preprocessor_config.json", json.dumps(HALF | {"image_std": [float("nan")] * 3}), "NaN"),
        ("preprocessor_config.json", json.dumps(HALF | {"rescale_factor": 1.0}), "not in"),
        ("preprocessor_config.json", json.dumps(HALF | {"do_rescale": False}), "not in"),
        ("preprocessor_config.json", json.dumps(HALF | {"do_normalize": "no"}), "do_normalize"),
        ("preprocessor_config.json", json.dumps({"x": "y" * 10_000_000}), "has 10,000,009 bytes"),
        ("processor_config.json", json.dumps({"image_processor": []}), "image_processor"),
        ("processor_config.json", json.dumps({"image_processor": {"image_mean": [0.5] * 3}}), "image_std is missing"),
    ],
)
def test_a_preprocessors_file_that_cannot_be_followed_is_one_message(
    own_parts: dict[str, Path], canary: Path, name: str, content: str, message: str
) -> None:
    """CLIP's own statistics are not silently used instead."""
    (own_parts["clip"] / name).write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        Base.named(str(own_parts["clip"])).image_statistics()
    assert str(own_parts["clip"] / name) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"processor_config.json": {"processor_class": "CLIPProcessor"}}, None),
        ({"preprocessor_config.json": HALF | {"size": {"shortest_edge": 9}, "resample": 99}}, ([0.5] * 3, [0.5] * 3)),
        ({"preprocessor_config.json": HALF, "processor_config.json": {"image_processor": {"do_normalize": False}}}, ([0.0] * 3, [1.0] * 3)),
        ({"preprocessor_config.json": HALF | {"do_normalize": True, "rescale_factor": 0.00392156862745098}}, ([0.5] * 3, [0.5] * 3)),
    ],
)
def test_a_preprocessors_file_is_followed(own_parts: dict[str, Path], canary: Path, files: dict[str, Any], expected: Any) -> None:
    (own_parts["clip"] / "preprocessor_config.json").unlink()
    for name, content in files.items():
        (own_parts["clip"] / name).write_text(json.dumps(content))
    assert Base.named(str(own_parts["clip"])).image_statistics() == expected
