"""Any vision model that gives a map or patch tokens is a tower: what it is read by, its frame, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from towers import KINDS, PATCHES, Kind
from transformers import AutoModel

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from igllm import main
from model.build import build, plan
from model.igllm import IGLLM
from model.load import check_extent
from model.parts.tower import PLACE_FREQUENCIES
from model.preset import Preset, get_preset

DOTS = get_domain("dot2d")
BLIND = {"dense_weight": 0.0, "number_cells": False, "word_cells": False, "guide_weight": 0.0, "augment": False}

BY_NAME = {kind.name: kind for kind in KINDS}
COMMON = {"resnet", "convnext", "swin", "clip", "siglip", "dinov2_with_registers", "dinov3_vit"}
"""Kinds that between them have what the others have: maps, merged patches, class tokens, registers, and none of these."""


def on(folder: Path, **changes: Any) -> Preset:
    """The tiny preset with the tower in a folder, frozen."""
    return get_preset("tiny").replaced(vision_model=str(folder), freeze_vision=True, **BLIND, **changes)


def cases(*cases: tuple[Any, ...]) -> list[Any]:
    """Parameters, of which those of kinds other than `COMMON` are slow; a case begins with its kind's name."""
    return [pytest.param(*case, id=case[0], marks=() if case[0] in COMMON else pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("name", "kind"), cases(*BY_NAME.items()))
def test_a_model_on_disk_is_read_by_what_comes_out(name: str, kind: Kind, tmp_path: Path) -> None:
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
    again = IGLLM.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(again.tower(images), seen)
    again.tower.requires_grad_(True)(images).square().mean().backward()
    first = next(p for p in again.tower.parameters() if p.ndim == 4)  # the kernels that see pixels
    assert first.grad is not None
    assert first.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "grid"),
    cases(
        *((name, (6, 8)) for name in ("clip", "siglip", "vit", "deit", "beit", "dinov3_vit")),
        ("dinov2_with_registers", (7, 9)),  # patches of 14 pixels: 98 x 126
        ("swin", (12, 16)),
        ("swinv2", (12, 16)),
        ("convnext", (3, 4)),
        ("mobilenet_v2", (3, 4)),
    ),
)
def test_a_stated_frame_is_taken(name: str, grid: tuple[int, int], tmp_path: Path) -> None:
    """Position embeddings are interpolated, where there are some, by transformers' own function."""
    kind = BY_NAME[name]
    model, _ = build(on(kind.save(tmp_path / "tower"), image_height=96, image_width=128), DOTS)
    assert (model.tower.rows, model.tower.columns) == grid
    images = torch.randn(1, 3, model.config.image_height, model.config.image_width)
    interpolated = {"interpolate_pos_encoding": True} if name in {"clip", "siglip", "vit", "deit", "beit"} else {}
    with torch.no_grad():
        made = AutoModel.from_pretrained(tmp_path / "tower").eval()(images, output_hidden_states=True, **interpolated)
        seen = model.eval().tower(images)
        model.save_pretrained(tmp_path / "saved")
        check_extent(model.config, IGLLM, tmp_path / "saved")
        again = IGLLM.from_pretrained(tmp_path / "saved")
        assert torch.equal(again.tower(images), seen)
    if kind.before is not None:
        expected = (made.last_hidden_state if kind.staged else made.hidden_states[-2])[:, kind.before :]
        assert torch.allclose(seen[..., : kind.channels], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "frame", "fitted"),
    [
        (replace(BY_NAME["clip"], fields=PATCHES | {"patch_size": 14}), (240, 320), (238, 322)),
        (replace(BY_NAME["clip"], fields=PATCHES | {"patch_size": 32}), (240, 320), (256, 320)),
        (BY_NAME["convnext"], (112, 100), (128, 96)),
        (replace(BY_NAME["clip"], fields=PATCHES | {"patch_size": 14}), (64, 64), (64, 64)),  # its own, as it was trained
        (BY_NAME["mobilenet_v2"], (100, 110), (100, 110)),  # which is padded within
    ],
)
def test_a_frame_is_fitted_to_whole_patches(
    kind: Kind, frame: tuple[int, int], fitted: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = kind.save(tmp_path / "tower")
    config = plan(on(folder, image_height=frame[0], image_width=frame[1]), DOTS).config
    assert (config.image_height, config.image_width) == fitted
    told = f"note: {folder}: the frame is {fitted[0]} x {fitted[1]} pixels, "
    assert (told in capsys.readouterr().err) == (fitted != frame)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (BY_NAME["clip"], {"image_height": 64}, "image_height without the other side: a frame has an image_height and an image_width"),
        (
            replace(BY_NAME["clip"], fields=PATCHES | {"patch_size": 32}),
            {"image_height": 16, "image_width": 64},
            "the tower's patches are larger than its frame of 16 x 64 pixels",
        ),
        (
            Kind("aimv2_vision_model", PATCHES, (4, 4), 32, 0),
            {"image_height": 96, "image_width": 128},
            "the tower cannot take a frame of 96 x 128 pixels",
        ),
        (
            BY_NAME["clip"],
            {"image_height": 80, "image_width": 96, "vision_merge": 2},
            "vision_merge=2 does not divide the tower's map of 5 x 6 cells",
        ),
    ],
)
def test_a_frame_that_cannot_be_taken_is_one_message(kind: Kind, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = kind.save(tmp_path / "tower")
    with pytest.raises(UserError, match=message) as raised:
        plan(on(folder, **changes), DOTS)
    assert "\n" not in str(raised.value)
    assert message.startswith("image_height") or str(raised.value).startswith(str(folder))


def test_a_frame_belongs_to_the_tower_that_it_was_stated_for(tmp_path: Path) -> None:
    """The sizes that tiny states are those of its own tower."""
    clip = str(BY_NAME["clip"].save(tmp_path / "clip"))
    tiny = get_preset("tiny")
    stated = ["image_height=96", "image_width=128"]
    file = tmp_path / "mine.toml"
    file.write_text(f'[tower]\nvision_model = "{clip}"\nimage_height = 96\nimage_width = 128\n')
    frames = {
        "another tower": tiny.changed([f"vision_model={clip}"]),
        "with it": tiny.changed([*stated, f"vision_model={clip}"]),
        "later": tiny.changed([f"vision_model={clip}"]).changed(stated),
        "earlier": tiny.changed(stated).changed([f"vision_model={clip}"]),
        "taken back": tiny.changed([*stated, f"vision_model={clip}", "frame=own"]),
        "in a file": get_preset(str(file)),
    }
    assert {name: preset.tower.frame for name, preset in frames.items()} == {
        "another tower": "own",
        "with it": "stated",
        "later": "stated",
        "earlier": "own",
        "taken back": "own",
        "in a file": "stated",
    }
    assert tiny.tower.frame == "own"
    for name in ("another tower", "with it"):
        config = plan(frames[name].replaced(dense_weight=0.0, number_cells=False, word_cells=False), DOTS).config
        assert (config.image_height, config.image_width) == ((64, 64) if name == "another tower" else (96, 128))


def test_a_run_in_a_stated_frame_is_trained_resumed_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line; images of 4:3 fill a frame of 4:3."""
    monkeypatch.chdir(tmp_path)
    BY_NAME["siglip"].save(Path("tower"))
    train = "train --data data --out run --vision-model tower --device cpu --batch-size 2 --set augment=false --set report_to=none"

    def call(line: str) -> int:
        return main(line.split())

    assert call("generate --domain dot2d --num 4 --seed 1 --width 64 --height 48 --out data") == 0
    assert call(f"{train} --steps 1 --set image_height=48 --set image_width=64") == 0
    config = json.loads(Path("run", "config.json").read_text())
    assert (config["image_height"], config["image_width"]) == (48, 64)
    assert call(f"{train} --steps 2 --set image_height=48 --set image_width=64") == 0
    capsys.readouterr()
    assert call(f"{train} --steps 2 --set image_height=48 --set image_width=80") == 2
    assert "with image_width=64, not 80" in capsys.readouterr().err
    assert call("predict --model run --data data --out pred.jsonl --device cpu") == 0
    assert len(Path("pred.jsonl").read_text().splitlines()) == 4
    replace(BY_NAME["siglip"], seed=6).save(Path("tower"))
    assert call(f"{train} --steps 3 --set image_height=48 --set image_width=64") == 2
    assert "with other weights of the pretrained vision tower" in capsys.readouterr().err


TIMM: list[tuple[str, dict[str, Any], tuple[int, int]]] = [
    ("resnet10t", {}, (2, 3)),
    ("mobilenetv3_small_050", {}, (2, 3)),
    ("vit_tiny_patch16_224", {"img_size": [64, 96], "embed_dim": 24, "depth": 3}, (4, 6)),
    ("vit_small_patch14_reg4_dinov2", {"img_size": [56, 84], "embed_dim": 24, "depth": 3}, (4, 6)),
    ("swin_tiny_patch4_window7_224", {"img_size": [64, 96], "embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2]}, (8, 12)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "arguments", "grid"), TIMM, ids=[name for name, *_ in TIMM])
def test_a_model_that_timm_saved_is_read(architecture: str, arguments: dict[str, Any], grid: tuple[int, int], tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(5)
    saved = timm.create_model(architecture, num_classes=3, **arguments).eval()
    timm.models.save_for_hf(saved, tmp_path / "tower", model_args=arguments or None, safe_serialization=True)
    stated = {} if "img_size" in arguments else {"image_height": 64, "image_width": 96}
    model, _ = build(on(tmp_path / "tower", **stated), DOTS)
    assert (model.tower.rows, model.tower.columns) == grid
    assert model.config.image_mean == pytest.approx(saved.pretrained_cfg["mean"])
    images = torch.randn(2, 3, model.config.image_height, model.config.image_width)
    with torch.no_grad():
        seen = model.eval().tower(images)
        if architecture.startswith("vit"):
            expected = saved.forward_intermediates(images, intermediates_only=True)[-2].flatten(2).transpose(1, 2)
        else:
            expected = saved.forward_features(images)
            expected = expected.flatten(1, 2) if "swin" in architecture else expected.flatten(2).transpose(1, 2)
    assert torch.allclose(seen[..., : expected.shape[-1]], expected, atol=1e-5)
    model.save_pretrained(tmp_path / "saved")
    check_extent(model.config, IGLLM, tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(IGLLM.from_pretrained(tmp_path / "saved").tower(images), seen)
