"""The trainer: a step does not depend on its batches, a killed run resumes exactly, best models are kept, data sets are mixed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pretrained_parts import make_parts
from safetensors.torch import load_file

from datagen.errors import UserError
from datagen.generate import generate
from datagen.io.files import read_json, read_jsonl
from datagen.shards.reader import Samples
from igllm import main
from model.build import build
from model.load import find_model, load_model
from model.prediction.predict import Predictor
from model.preset import FOLDER, get_preset
from model.run_folder import newest_checkpoint
from model.training.train import Data, align, train
from render.conformance import small_set

BLIND = {"dense_weight": 0.0, "number_cells": False, "word_cells": False}  # without a dense read-out
QUICK = get_preset("tiny").replaced(steps=4, save_steps=0, log_steps=2, batch_size=4, report_to="none", image_height=64, image_width=80)
CLI = [sys.executable, "-P", "-m", "igllm"]


def losses_of(run: Path) -> list[dict[str, float]]:
    losses = [{k: v for k, v in row.items() if "loss" in k} for row in read_jsonl(run / "log.jsonl") if "loss" in row]
    assert losses
    return losses


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=tolerance) for name in one)


def quiet_settings(**changes: object) -> list[str]:
    """Flags of `igllm train` for settings like `QUICK`'s, without noise from a process's own random numbers."""
    settings = {"save_steps": 2, "log_steps": 2, "report_to": "none", "feedback_noise": 0, **changes}
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_parts(tmp_path_factory.mktemp("parts"))


def test_a_step_is_the_same_however_its_samples_are_gathered(renders: Samples, tmp_path: Path) -> None:
    """Two batches of four, added up, are a batch of eight: each loss is divided by its own count over the step.

    Batch normalisation would see other batches, so the tower is CLIP-like, and scenes of two to four objects make the counts uneven.
    """
    vision = {"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 2, "image_size": 64, "patch_size": 16}
    base = QUICK.replaced(vision=vision, feedback_noise=0.0, steps=3)
    for name, changes in {"whole": {"batch_size": 8}, "halves": {"batch_size": 4, "accumulation": 2}}.items():
        train(base.replaced(**changes), "tiny", data=Data([renders.path]), out=tmp_path / name, device="cpu")
    # AdamW scales a tiny gradient, such as a rare word's, and so its rounding error, up to a share of a step (1e-3).
    assert close(weights_of(tmp_path / "whole"), weights_of(tmp_path / "halves"), 1e-4)
    for one, other in zip(losses_of(tmp_path / "whole"), losses_of(tmp_path / "halves"), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one_that_adds_up(renders: Samples, tmp_path: Path) -> None:
    """torchrun with gloo on the CPU: the same samples a step, so the same model."""
    vision = tmp_path / "preset.toml"
    text = (FOLDER / "tiny.toml").read_text().partition("[vision]")[0]
    vision.write_text(
        f'{text}\n[vision]\nmodel_type = "clip_vision_model"\nhidden_size = 32\nintermediate_size = 64\nnum_hidden_layers = 2\n'
        "num_attention_heads = 2\nimage_size = 64\npatch_size = 16\n"
        '[text]\nmodel_type = "llama"\nhidden_size = 64\nintermediate_size = 128\nnum_hidden_layers = 2\nnum_attention_heads = 2\n'
        "num_key_value_heads = 2\nmax_position_embeddings = 512\n"
    )
    common = ["train", "--preset", str(vision), "--data", str(renders.path), "--steps", "4", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    alone = [*CLI, *common, "--batch-size", "4", *quiet_settings(accumulation=2), "--out", str(tmp_path / "one")]
    binaries = Path(sys.executable).parent
    launcher = [str(binaries / "torchrun"), "--standalone", "--no-python", "--nproc-per-node", "2", str(binaries / "igllm")]
    together = [*launcher, *common, "--batch-size", "4", *quiet_settings(), "--out", str(tmp_path / "two")]
    for command in (alone, together):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert close(weights_of(tmp_path / "one"), weights_of(tmp_path / "two"), 2e-5)
    for one, other in zip(losses_of(tmp_path / "one"), losses_of(tmp_path / "two"), strict=True):
        assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["between steps", "inside a save"])
def test_a_killed_run_goes_on_with_the_same_losses(renders: Samples, tmp_path: Path, moment: str) -> None:
    settings = quiet_settings(save_steps=3, feedback_noise=0.2)  # saves amid the steps that a log line averages
    command = [*CLI, "train", "--data", str(renders.path), "--steps", "8", "--batch-size", "4", "--device", "cpu", *settings, "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "calm")], env=environment, capture_output=True, check=True)
    killed = tmp_path / "killed"
    running = subprocess.Popen([*command, str(killed)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    awaited = killed / ("checkpoint-3" if moment == "between steps" else ".saving/checkpoint-6")
    while not awaited.exists() and running.poll() is None:
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (killed / "config.json").exists()
    subprocess.run([*command, str(killed)], env=environment, capture_output=True, check=True)
    assert losses_of(killed) == losses_of(tmp_path / "calm")
    assert close(weights_of(killed), weights_of(tmp_path / "calm"), 0.0)


def test_the_clock_asks_for_checkpoints(renders: Samples, tmp_path: Path) -> None:
    train(QUICK.replaced(save_seconds=1e-3, steps=3), "tiny", data=Data([renders.path]), out=tmp_path / "often", device="cpu")
    train(QUICK.replaced(save_seconds=1e6, steps=3), "tiny", data=Data([renders.path]), out=tmp_path / "seldom", device="cpu")
    assert (tmp_path / "often" / "checkpoint-2").is_dir()
    assert [path.name for path in (tmp_path / "seldom").glob("checkpoint-*")] == ["checkpoint-3"]  # the last step is always saved


def test_the_best_model_by_validation_loss_is_kept(renders: Samples, others: Samples, tmp_path: Path) -> None:
    """With a learning rate that soon ruins the model, the best is not the last."""
    preset = QUICK.replaced(steps=8, eval_steps=1, learning_rate=0.3, head_learning_rate=0.3, warmup=0.5)
    train(preset, "tiny", data=Data([renders.path], val=others.path), out=tmp_path / "run", device="cpu")
    evaluated = {row["step"]: row["eval_loss"] for row in read_jsonl(tmp_path / "run" / "log.jsonl") if "eval_loss" in row}
    best = read_json(tmp_path / "run" / "best" / "best.json")
    assert best["eval_loss"] == min(evaluated.values())
    assert evaluated[best["step"]] == best["eval_loss"]
    assert best["step"] < 8
    assert not close(weights_of(tmp_path / "run" / "best"), weights_of(tmp_path / "run"), 1e-6)
    load_model(find_model(str(tmp_path / "run" / "best")), "cpu")


def test_validation_loss_does_not_depend_on_the_batches(renders: Samples, others: Samples, tmp_path: Path) -> None:
    base = QUICK.replaced(
        steps=1,
        eval_steps=1,
        number_weight=3.0,
        guide_weight=0.0,
        **BLIND,
    )
    seen = []
    for size, accumulation in ((4, 1), (2, 2)):
        out = tmp_path / f"by-{size}"
        preset = base.replaced(batch_size=size, accumulation=accumulation, learning_rate=1e-12, head_learning_rate=1e-12)
        train(preset.replaced(projector_learning_rate=1e-12), "tiny", data=Data([renders.path], val=others.path), out=out, device="cpu")
        seen += [row for row in read_jsonl(out / "log.jsonl") if "eval_loss" in row]
    assert seen[0]["eval_token_loss"] == pytest.approx(seen[1]["eval_token_loss"], rel=0.02)  # batch normalisation's statistics differ
    for row in seen:
        assert row["eval_loss"] == pytest.approx(row["eval_token_loss"] + 3.0 * row["eval_number_loss"])


def test_several_data_sets_are_mixed(renders: Samples, others: Samples, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(QUICK, "tiny", data=Data([renders.path, others.path], [1.0, 3.0]), out=run, device="cpu")
    with pytest.raises(UserError, match="on other data"):
        train(QUICK, "tiny", data=Data([renders.path, others.path], [1.0, 2.0]), out=run, device="cpu")
    with pytest.raises(UserError, match="samples a step"):
        train(QUICK.replaced(batch_size=8), "tiny", data=Data([renders.path, others.path], [1.0, 3.0]), out=run, device="cpu")


def test_alignment_trains_the_projector_alone_and_training_begins_with_it(parts: dict[str, Path], tmp_path: Path) -> None:
    captioned = generate(replace(small_set("clevr"), captions=True), 8, tmp_path / "captioned")
    pair = {"vision_model": str(parts["clip"]), "language_model": str(parts["llama"])}
    preset = QUICK.replaced(**pair, align_batch_size=4)
    align(preset, "tiny", data=Data([captioned.path]), out=tmp_path / "aligned", device="cpu")
    aligned = weights_of(tmp_path / "aligned")
    assert set(aligned) == {"projector.weight", "projector.bias"}
    losses = losses_of(tmp_path / "aligned")
    assert set(losses[0]) == {"loss", "token_loss"}
    lora = QUICK.replaced(**pair, freeze_vision=True, lora_rank=2, lora_alpha=4, steps=1, projector_learning_rate=1e-12, augment=False)
    train(lora, "tiny", data=Data([captioned.path]), out=tmp_path / "run", device="cpu", init=str(tmp_path / "aligned"))
    assert torch.allclose(weights_of(tmp_path / "run")["projector.weight"], aligned["projector.weight"], atol=1e-6)
    with pytest.raises(UserError, match="--language-model"):
        align(QUICK, "tiny", data=Data([captioned.path]), out=tmp_path / "none", device="cpu")


def test_cached_features_train_the_same_model(
    parts: dict[str, Path], renders: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pair = {"vision_model": str(parts["clip"]), "language_model": str(parts["llama"]), "freeze_vision": True, "augment": False}
    preset = QUICK.replaced(**pair, lora_rank=2, lora_alpha=4, feedback_noise=0.0)
    train(preset, "tiny", data=Data([renders.path]), out=tmp_path / "seen", device="cpu")
    train(preset.replaced(cache_features=True), "tiny", data=Data([renders.path]), out=tmp_path / "cached", device="cpu")
    assert close(weights_of(tmp_path / "seen"), weights_of(tmp_path / "cached"), 1e-5)
    for changes in ({"augment": True}, {"freeze_vision": False}):
        with pytest.raises(UserError, match="cache_features"):
            preset.replaced(cache_features=True, **changes)


def test_gradient_checkpointing_changes_nothing(
    parts: dict[str, Path], renders: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = {"vision_model": str(parts["clip"]), "language_model": str(parts["llama"]), "freeze_vision": True}
    preset = QUICK.replaced(**pair, lora_rank=2, lora_alpha=4, feedback_noise=0.0)
    for name, on in (("plain", False), ("checkpointed", True), ("as memory asks", "auto")):
        train(preset.replaced(gradient_checkpointing=on), "tiny", data=Data([renders.path]), out=tmp_path / name, device="cpu")
    for name in ("checkpointed", "as memory asks"):  # threads add in an order of their own, so the last digits differ
        assert close(weights_of(tmp_path / "plain"), weights_of(tmp_path / name), 1e-6)
    assert "gradient_checkpointing=auto: the activations of every layer are computed twice" in capsys.readouterr().err


def test_frozen_parts_in_bfloat16_are_trained_on_resumed_and_predict(parts: dict[str, Path], renders: Samples, tmp_path: Path) -> None:
    """As in `paper`: frozen parts in bfloat16, adapters, projector and head in float32."""
    pair = {"vision_model": str(parts["clip"]), "language_model": str(parts["llama"]), "freeze_vision": True, "bf16": True}
    preset = QUICK.replaced(**pair, lora_rank=2, lora_alpha=4, **BLIND, augment=False, feedback_noise=0.0)
    model = train(preset, "tiny", data=Data([renders.path]), out=tmp_path / "run", device="cpu")
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for name, p in model.named_parameters() if "layers" in name and not p.requires_grad} == {torch.bfloat16}
    train(preset.replaced(steps=6), "tiny", data=Data([renders.path]), out=tmp_path / "run", device="cpu")
    predictor = Predictor.of(tmp_path / "run", "cpu")
    assert len(list(predictor.predict([(key, renders[key].pixels()) for key in renders.keys[:2]]))) == 2
    model, _ = build(preset.replaced(freeze_vision=False, lora_rank=0), renders.at(0).domain)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_curves_are_logged_for_tensorboard(renders: Samples, tmp_path: Path) -> None:
    train(QUICK.replaced(report_to="tensorboard", steps=1), "tiny", data=Data([renders.path]), out=tmp_path / "run", device="cpu")
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))


def test_the_same_command_trains_tiny_and_a_pretrained_pair(parts: dict[str, Path], four: Samples, tmp_path: Path) -> None:
    """Nothing differs but two flags."""
    pair = ["--vision-model", str(parts["clip"]), "--language-model", str(parts["qwen2"])]
    for name, flags in (("tiny", []), ("pair", pair)):
        run, pred = tmp_path / name, tmp_path / f"{name}.jsonl"
        few = ["--steps", "2", "--batch-size", "4", "--device", "cpu"]
        assert main(["train", "--preset", "tiny", "--data", str(four.path), "--out", str(run), *few, *flags]) == 0
        assert main(["predict", "--model", str(run), "--data", str(four.path), "--out", str(pred), "--device", "cpu"]) == 0
        assert len(read_jsonl(pred)) == len(four.keys)
        config = read_json(run / "config.json")
        assert config["preset"]["name"] == "tiny"
        assert len(config["data_digest"]) == 64
        assert config["code_version"]
    assert newest_checkpoint(tmp_path / "pair") is not None


def test_samples_are_taken_around_while_training(renders: Samples, tmp_path: Path) -> None:
    """Every so many steps, predicted code is rendered beside the truth, without an effect on training."""
    common = [
        "train",
        "--data",
        str(renders.path),
        "--steps",
        "2",
        "--batch-size",
        "4",
        "--device",
        "cpu",
        *quiet_settings(feedback_noise=0.2, image_height=64, image_width=80),
    ]
    assert main([*common, "--out", str(tmp_path / "watched"), "--sample-every", "1"]) == 0
    assert main([*common, "--out", str(tmp_path / "unwatched")]) == 0
    for step in (1, 2):
        report = tmp_path / "watched" / "samples" / f"step-{step:06d}"
        assert (report / "index.html").is_file()
        assert len(read_jsonl(report / "pred.jsonl")) == 4
        assert len(list((report / "rendered").glob("*.png"))) == 4
    assert close(weights_of(tmp_path / "watched"), weights_of(tmp_path / "unwatched"), 0.0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--weight", "1"], "1 --weight for 2 --data"),
        (["--vision-model", "nowhere/none"], "cannot be loaded"),
        (["--init", "nowhere"], "neither a shipped model nor a run folder"),
        (["--cache-features"], "cache_features"),
        (["--numbers", "roman"], "'roman' is none of head, char"),
        (["--numbers", "char", "--number-feedback"], "goes with --numbers head"),
        (["--set", "report_to=wandb"], "pip install wandb"),
        (["--set", "numbers=roman"], "one of head, char"),
        (["--preset", "nowhere.toml"], "no preset"),
        (["--preset", "broken.toml"], "broken.toml"),
    ],
)
def test_bad_training_calls_get_one_message(  # noqa: PLR0917
    flags: list[str], message: str, renders: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.toml").write_text("steps = 'many'")
    data = ["--data", str(renders.path)] * (2 if "--weight" in flags else 1)
    try:
        status = main(["train", *data, "--out", "run", "--steps", "1", *flags])
    except SystemExit as stop:  # argparse
        status = stop.code
    output = capsys.readouterr().err
    assert status == 2
    assert message in output
    assert "Traceback" not in output
