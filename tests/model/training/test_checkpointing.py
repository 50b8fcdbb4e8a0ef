"""How many layers compute their activations twice: the fewest with which training fits in memory."""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path

import pytest
import torch

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from model.build import build
from model.igllm import IGLLM
from model.preset import get_preset
from model.training.checkpointing import checkpointed_every

LAYERS = 8
MB = 10**6


@pytest.fixture(scope="module")
def deep() -> IGLLM:
    """`tiny` with many layers."""
    torch.manual_seed(0)
    preset = get_preset("tiny")
    return build(preset.replaced(text={**preset.text, "num_hidden_layers": LAYERS}), get_domain("clevr"))[0]


def least_memory(model: IGLLM, samples: int, length: int) -> int:
    """The fewest megabytes with which no layer computes its activations twice."""

    def suffices(megabytes: int) -> bool:
        return checkpointed_every(model, samples, length, megabytes * MB, bf16=False) == 0

    return bisect_left(range(16_000), True, key=suffices)


def test_the_less_memory_the_more_layers(deep: IGLLM) -> None:
    enough = least_memory(deep, 16, 200)
    found = [checkpointed_every(deep, 16, 200, enough * percent // 100 * MB, bf16=False) for percent in range(102, 0, -3)]
    assert list(dict.fromkeys(found)) == [0, 8, 4, 3, 2, 1]
    assert checkpointed_every(deep, 32, 200, enough * MB, bf16=False) == 1


def test_what_is_counted_is_what_training_takes(deep: IGLLM) -> None:
    """The activations of a pass, held until its gradients are due, against what not one layer more would have been allowed."""
    samples, length = 4, 200
    least = least_memory(deep, samples, length) * MB
    kept: dict[int, torch.UntypedStorage] = {}

    def hold(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    tokens = len(deep.config.prefix_token_ids) + deep.tower.rows * deep.tower.columns + length
    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        deep.train().run_decoder(torch.zeros(samples, tokens, 192, requires_grad=True), use_cache=False)
    weights = sum(p.numel() * p.element_size() for p in deep.parameters())
    activations = sum(storage.nbytes() for storage in kept.values()) - sum(
        p.numel() * 4 for p in deep.language_model.get_decoder().parameters()
    )
    assert activations + 4 * weights < least < 1.5 * (activations + 4 * weights)  # weights, gradients, AdamW's two


def test_counting_changes_no_random_number(deep: IGLLM) -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    checkpointed_every(deep, 1, 10, MB, bf16=True)
    assert torch.equal(torch.rand(3), expected)


def test_the_setting_takes_three_values(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text("gradient_checkpointing = true\n")
    assert get_preset(str(tmp_path / "old.toml")).run.gradient_checkpointing is True
    tiny = get_preset("tiny")
    for text, value in (("auto", "auto"), ("TRUE", True), ("false", False)):
        assert tiny.changed([f"gradient_checkpointing={text}"]).run.gradient_checkpointing == value
    with pytest.raises(UserError, match="gradient_checkpointing is often: one of false, true, auto is expected"):
        tiny.changed(["gradient_checkpointing=often"])
    with pytest.raises(UserError, match="one of false, true, auto"):
        tiny.replaced(gradient_checkpointing=1)
