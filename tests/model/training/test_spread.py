"""FSDP2 and DeepSpeed as `model/parallel` configures them: the same model as by copies of it, saved whole, loaded and resumed.

Without GPUs, two processes on processors stand for them. DeepSpeed is no dependency: its tests are left out where it is not installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from places import ROOT, SUPPORT
from safetensors.torch import load_file

from model.load import load_model
from model.training.spread import autocast_forward, is_spread

BINARIES = Path(sys.executable).parent
PROCESSES = min(2, torch.cuda.device_count()) if torch.cuda.is_available() else 2
ACCELERATE = f"{BINARIES}/accelerate launch --no_python --num_processes {PROCESSES} --config_file {ROOT}/model/parallel"
LAUNCHERS = {
    "torchrun": f"{BINARIES}/torchrun --standalone --no-python --nproc-per-node {PROCESSES}",
    "fsdp": f"{ACCELERATE}/fsdp.yaml",
    "deepspeed": f"{ACCELERATE}/deepspeed.yaml",
}
ADAPTERS = "lora_rank=4 lora_alpha=8 lora_dropout=0"
WHOLE = "lora_rank=0 lora_alpha=0 lora_dropout=0"
needs_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")


def launch(launcher: str, settings: str, *, data: Path, parts: dict[str, Path], language: str, out: Path) -> subprocess.CompletedProcess:
    """Train `paper`, made small, for four steps by several processes."""
    plain = "batch_size=2 accumulation=2 save_steps=2 eval_steps=2 log_steps=1 report_to=none loaders=0 feedback_noise=0"
    words = [word for setting in f"{plain} {settings}".split() for word in ("--set", setting)]
    words += ["--vision-model", str(parts["clip"]), "--language-model", str(parts[language]), "--steps", "4"]
    words += ["--data", str(data), "--out", str(out)] + ([] if torch.cuda.is_available() else ["--device", "cpu"])
    program = [str(BINARIES / "igllm")] if launcher == "torchrun" else [sys.executable, str(SUPPORT / "spread_on_cpu.py")]
    command = [*LAUNCHERS[launcher].split(), *program, "train", "--preset", "paper", *words]
    return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "language", "settings"),
    [
        ("fsdp", "llama", f"{ADAPTERS} bf16=true gradient_checkpointing=true"),
        ("fsdp", "qwen2", f"{WHOLE} bf16=false"),  # its two embeddings are one tensor
        pytest.param("deepspeed", "llama", f"{ADAPTERS} bf16=true gradient_checkpointing=true", marks=needs_deepspeed),
    ],
)
def test_a_spread_model_is_that_of_whole_copies_and_goes_on(  # noqa: PLR0917
    launcher: str, language: str, settings: str, dots: Path, saved_parts: dict[str, Path], tmp_path: Path
) -> None:
    for kind in ("torchrun", launcher):
        done = launch(kind, settings, data=dots, parts=saved_parts, language=language, out=tmp_path / kind)
        assert done.returncode == 0, done.stderr
    copies, spread = (load_file(tmp_path / kind / "model.safetensors") for kind in ("torchrun", launcher))
    assert copies.keys() == spread.keys()
    assert {value.dtype for value in spread.values()} == {torch.float32}
    assert all(torch.allclose(copies[name], spread[name], atol=2e-4) for name in copies)
    load_model(tmp_path / launcher, "cpu")
    (tmp_path / launcher / "config.json").unlink()
    shutil.rmtree(tmp_path / launcher / "checkpoint-4")
    done = launch(launcher, settings, data=dots, parts=saved_parts, language=language, out=tmp_path / launcher)
    assert done.returncode == 0, done.stderr
    assert "going on from step 2 of 4" in done.stderr
    again = load_file(tmp_path / launcher / "model.safetensors")
    assert all(torch.allclose(spread[name], again[name], atol=1e-6) for name in spread)


@pytest.mark.slow
def test_adapters_on_one_embedding_are_refused_by_fsdp(dots: Path, saved_parts: dict[str, Path], tmp_path: Path) -> None:
    done = launch("fsdp", ADAPTERS, data=dots, parts=saved_parts, language="qwen2", out=tmp_path / "run")
    assert done.stderr.count("FSDP cannot spread adapters on a language model whose two embeddings are one tensor") == 1
    assert not (tmp_path / "run").exists()


def test_a_forward_pass_in_bfloat16_leaves_the_weights_as_they_are() -> None:
    layer = torch.nn.Linear(4, 4)
    autocast_forward(layer, torch.device("cpu"))
    assert layer(torch.ones(1, 4)).dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_accelerate_says_whether_a_model_is_spread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_spread()
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    assert is_spread()
