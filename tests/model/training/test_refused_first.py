"""What can be refused from settings alone is refused before torch is imported; what needs no data nor parts, before these are read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datagen.errors import UserError
from datagen.io.files import write_json
from igllm import main
from model.config import FORMAT_VERSION
from model.derender.config import DerenderConfig
from model.preset import Preset, get_preset
from model.tables import configuration
from model.training import run as running
from model.training.train import Data, align, pretrain, train

WANDB = ["--set", "report_to=wandb"]


@pytest.mark.parametrize(
    ("verb", "flags", "message"),
    [
        ("train", ["--set", "lora_rank=4"], "lora_rank without lora_alpha"),
        ("train", ["--cache-features"], "cache_features needs freeze_vision"),
        (
            "train",
            ["--numbers", "char", "--set", "number_cells=false", "--set", "word_cells=false", "--number-feedback"],
            "goes with --num",
        ),
        ("train", ["--preset", "derender", "--full"], "--full is about a language model"),
        ("train", ["--preset", "derender", "--init", "run"], "a de-rendering model begins from nothing"),
        ("train", ["--preset", "empty.toml"], "the preset has no [vision]"),
        ("train", ["--weight", "1", "--weight", "2"], "2 --weight for 1 --data"),
        ("train", WANDB, "pip install wandb"),
        ("pretrain", WANDB, "pip install wandb"),
        ("pretrain", ["--preset", "paper"], "--set freeze_vision=false"),
        ("pretrain", ["--set", "dense_weight=0", "--set", "number_cells=false", "--set", "word_cells=false"], "--set dense_weight=1"),
        ("pretrain", ["--preset", "derender"], "pretraining is a stage of IG-LLM"),
        ("align", [], "give --language-model"),
        ("align", ["--language-model", "a"], "give --vision-model"),
        ("align", ["--preset", "derender"], "alignment is a stage of IG-LLM"),
        ("predict", ["--samples", "3", "--temperature", "1", "--beams", "2"], "temperature and beams exclude each other"),
        ("predict", ["--top-p", "0.5"], "give a temperature too"),
    ],
)
def test_settings_are_refused_before_anything_is_imported(  # noqa: PLR0917
    verb: str, flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the data nor the models are there, and the modules that import torch cannot be imported."""
    monkeypatch.chdir(tmp_path)
    Path("empty.toml").touch()
    for module in ("model.training.train", "model.prediction.predict", "model.load"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main([verb, "--data", "nowhere", "--out", "out", *flags]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.toml"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "nonsense"}, "--device nonsense: not to be had here"),
        ({"out": "full"}, "full: holds something that is not a run"),
        ({"out": "other"}, "other: holds a run with seed=5, not 0"),
        ({"init": "nowhere"}, "nowhere: neither a shipped model nor a run folder"),
        ({"weights": [1.0, 0.0]}, "the weights of the data sets are 1.0, 0.0"),
    ],
)
def test_what_needs_neither_data_nor_parts_is_refused_before_they_are_read(
    changes: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full", "letter.txt").touch()
    preset = get_preset("tiny")
    Path("other").mkdir()
    write_json(
        Path("other", "run.json"), {"format_version": FORMAT_VERSION, "stage": "train", "model": "tiny", "settings": stated(preset, seed=5)}
    )
    Path("other", "best").mkdir()
    asked = {"out": "out", "device": "cpu", "init": None, "weights": None, **changes}
    monkeypatch.setattr(running.Samples, "for_training", unreachable)
    with pytest.raises(UserError, match=message):
        train(
            preset,
            "tiny",
            data=Data([Path("nowhere")] * 2, asked["weights"]),
            out=Path(asked["out"]),
            device=asked["device"],
            init=asked["init"],
        )


def stated(preset: Preset, **changes: object) -> dict:
    """The settings of a preset as ``run.json`` states them, some of them others."""
    return {**preset.to_json(), **changes}


def unreachable(*_: object) -> None:
    raise AssertionError("the data are read")


@pytest.mark.parametrize(("stage", "message"), [(pretrain, "freeze_vision=false"), (align, "give --language-model")])
def test_stages_in_python_refuse_settings_before_data(stage: Callable, message: str, tmp_path: Path) -> None:
    preset = get_preset("tiny").replaced(freeze_vision=True, augment=False)
    with pytest.raises(UserError, match=message):
        stage(preset, "tiny", data=Data([tmp_path / "nowhere"]), out=tmp_path / "out", device="cpu")


def test_a_model_is_asked_for_its_answers_before_it_is_loaded(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There are no weights."""
    vision = configuration("vision", get_preset("derender").vision)
    DerenderConfig(vision_config=vision, domain="dot2d", image_height=64, image_width=64).save_pretrained(tmp_path / "run")
    predict = ["predict", "--model", str(tmp_path / "run"), "--data", str(dots), "--out", str(tmp_path / "pred.jsonl")]
    assert main([*predict, "--samples", "2", "--temperature", "1"]) == 2
    assert "a de-rendering model has one answer to an image" in capsys.readouterr().err
    monkeypatch.setattr("model.prediction.predict.load_model", unreachable)
    assert main(["roundtrip", "--model", "tiny", "--data", str(dots), "--out", str(tmp_path / "report")]) == 2
    assert "choose a model that was trained on such scenes" in capsys.readouterr().err
