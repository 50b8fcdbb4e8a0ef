"""Training that is refused or goes astray: one message, and nothing useless is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from comparison_sets import save_loose
from damage import truncate
from small_run import PRESET, Train

from datagen.shards.reader import Samples
from model.igllm import IGLLM


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ('model_type = "resnet"\n', "", "model_type is missing"),
        ("num_attention_heads = 2", "num_attention_heads = 3", "not a multiple"),
        ("depths = [1, 1]", "depth = [1, 1]", 'did you mean "depths"'),
        ("freeze_vision = false", "freeze_vision = false\nvision_layer = 99", "vision_layer=99"),
    ],
)
def test_what_was_refused_does_not_stand_in_the_way(  # noqa: PLR0917
    was: str, now: str, message: str, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.toml").write_text(PRESET.replace(was, now))
    assert train("--steps", "1", preset="wrong.toml") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert train("--steps", "1") == 0


def test_training_that_goes_astray_ends_with_a_word(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    usual = IGLLM.forward

    def astray(self, *arguments, **keywords):
        output = usual(self, *arguments, **keywords)
        output.loss = output.loss * float("nan")
        return output

    monkeypatch.setattr(IGLLM, "forward", astray)
    assert train("--steps", "3", "--set", "save_steps=1", "--set", "log_steps=3") == 2
    message = capsys.readouterr().err
    assert "training has gone astray" in message
    assert "lower learning rates" in message
    assert "Traceback" not in message
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("command", "kept"),
    [("train --steps 2", set()), ("train --steps 9 --set save_steps=1", {"checkpoint-1"}), ("pretrain --steps 3", set())],
)
def test_weights_that_a_step_has_made_useless_are_not_saved(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, kept: set[str]
) -> None:
    """The loss of a step is that of the weights before it."""
    wild = [f"{rate}=10" for rate in ("learning_rate", "projector_learning_rate", "head_learning_rate")]
    wild += ["warmup=0", "weight_decay=1e6", "log_steps=20"]
    verb, *flags = command.split()
    assert train(*flags, *(word for setting in wild for word in ("--set", setting)), verb=verb) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"run: the weight [\w.]+ is not finite at step \d: training has gone astray", message)
    assert "lower learning rates" in message
    assert {path.name for path in (tmp_path / "run").iterdir()} - {"run.json", "tensorboard"} == kept


def test_an_optimizer_that_has_become_useless_is_not_saved(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call could go on with it."""
    usual = torch.optim.AdamW.step

    def overflowing(self, *arguments, **keywords):
        usual(self, *arguments, **keywords)
        next(iter(self.state.values()))["exp_avg_sq"].fill_(float("inf"))

    monkeypatch.setattr(torch.optim.AdamW, "step", overflowing)
    assert train("--steps", "3", "--set", "save_steps=1") == 2
    assert "the optimizer's state 0.exp_avg_sq is not finite at step 1" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_damaged_sample_in_a_loader_is_one_message(train: Train, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = save_loose(tmp_path / "loose", Samples(dots))
    for image in data.glob("*.png"):
        truncate(image)
    assert train("--steps", "1", "--set", "loaders=1", data=data) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("weight", ["nan", "inf", "-1", "0"])
def test_weights_of_data_are_refused_first(train: Train, weight: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--steps", "1", f"--weight={weight}") == 2
    assert "positive" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
