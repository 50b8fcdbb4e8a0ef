"""The measurements of `make gpu-check` in their shrunk form, and its table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from places import ROOT
from torch.utils.flop_counter import FlopCounterMode


@pytest.fixture(scope="module")
def gpu() -> Iterator[SimpleNamespace]:
    """The modules of the measurement, which lie beside it as a script finds them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import counts
    import flops
    import gpu
    import gpu_parts
    import gpu_table
    import loops

    yield SimpleNamespace(counts=counts, flops=flops, main=gpu.main, parts=gpu_parts, table=gpu_table, loops=loops)
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def where(gpu: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return gpu.parts.Where(tmp_path_factory.mktemp("work"), torch.device("cpu"))


@pytest.fixture(scope="module")
def paper(gpu: SimpleNamespace, where: Any) -> dict[str, Any]:
    """The figures of `paper`, shrunk."""
    return {**gpu.parts.PARTS["train-paper"](where), "machine": gpu.parts.machine(where), "commit": "abc", "seconds": 1.0}


@pytest.mark.slow
def test_paper_is_trained_by_both_loops_and_each_phase_is_timed(paper: dict[str, Any]) -> None:
    assert list(paper["rows"]) == ["igllm train", "bare loop"]
    for row in paper["rows"].values():
        assert min(row["step_milliseconds"][phase] for phase in ("data", "forward", "backward", "optimizer")) > 0
        assert row["tokens_per_second"] == pytest.approx(row["samples_per_second"] * row["tokens_per_sample"])
        assert row["share_of_product"] == pytest.approx(row["model_tflops"] / paper["product_tflops"])
    rates = [row["samples_per_second"] for row in paper["rows"].values()]
    assert paper["of_bare"] == pytest.approx(rates[0] / rates[1])


def test_the_bases_are_bfloat16_folders_that_are_made_once(gpu: SimpleNamespace, where: Any) -> None:
    where.preset("paper")
    files = sorted(where.work.glob("shrunk/paper/*/*.safetensors"))
    assert len(files) == 2
    before = [path.stat().st_mtime_ns for path in files]
    preset = where.preset("paper")
    assert [path.stat().st_mtime_ns for path in files] == before
    assert Path(preset.language.language_model) == files[0].parent
    parameters = 2 * sum(path.stat().st_size for path in files)  # bytes of float32
    model, _ = gpu.loops.build(preset, gpu.loops.Samples(where.data()).at(0).domain)
    assert parameters == pytest.approx(4 * sum(p.numel() for p in model.parameters() if p.dtype == torch.bfloat16), rel=0.1)


def test_the_formula_of_model_flops_agrees_with_torchs_counter(gpu: SimpleNamespace, where: Any) -> None:
    """One sample, without recomputation, with eager attention, which computes what the causal mask then hides."""
    preset, data = where.preset("paper"), where.data()
    model, codec = gpu.loops.build(preset, gpu.loops.Samples(data).at(0).domain)
    model.language_model.set_attn_implementation("eager")
    example = gpu.loops.source_of(preset, data, model, codec).example(0, None)
    labelled = sum(label != gpu.loops.IGNORED for label in example["labels"])
    with FlopCounterMode(display=False) as counter, torch.autocast("cpu", torch.bfloat16):
        model.train()(**gpu.loops.Collator(codec.tokenizer.pad_token_id)([example])).loss.backward()
    logits = sum(counter.get_flop_counts()["IGLLM.language_model.base_model.model.lm_head"].values())
    cost = gpu.flops.cost_of(model, text=len(example["labels"]), labelled=labelled)
    assert cost.matrices + 2 * cost.attention + cost.tower == pytest.approx(counter.get_total_flops() - logits, rel=0.03)
    assert 1.5 * cost.logits == pytest.approx(logits, rel=0.01)  # peft also computes the gradient of the whole output embedding


@pytest.mark.parametrize(("preset", "waits"), [("tiny", 6), ("paper", 6)])
def test_a_training_step_seldom_waits_for_the_device(gpu: SimpleNamespace, where: Any, preset: str, waits: int) -> None:
    """Once for each loss that picks its tokens, once for transformers' mask, and under adapters for peft's three."""
    found = gpu.counts.counted(gpu.parts.get_preset(preset), where.work / preset, 2)
    assert (found["loss counts"]["waits"], found["forward"]["waits"], found["backward"]["waits"]) == (0, waits, 0)


@pytest.mark.slow
def test_a_table_keeps_what_was_measured_and_says_what_was_not(
    paper: dict[str, Any], gpu: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_text(json.dumps({"train-paper": paper}))
    assert gpu.main(["--out", str(out), "--only", "train-small", "predict-paper", "--minutes", "0"]) == 1
    table = (out / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert "No GPU was used" in table
    assert "| `paper` | igllm train | 4 x 1 |" in table
    assert "| `predict-paper` | not begun: the 0 minutes are over; call again with --only predict-paper |" in table
    assert '"train-paper"' in (out / "results.json").read_text()
