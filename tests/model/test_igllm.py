"""The model as a whole: its losses and their gradients, its tower, its numbers, and what is saved of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.shards.reader import Samples
from model.build import build
from model.config import IGLLMConfig
from model.data.examples import CodeSource, Collator, SampleSource
from model.igllm import IGLLM
from model.parts.tower import VisionTower
from model.preset import get_preset
from model.tokens.codec import NUM, CodeCodec
from model.training.train import example_maker
from model.training.trainer import parameter_groups

CLEVR = get_domain("clevr")
TINY = get_preset("tiny").replaced(augment=False)


@pytest.fixture(scope="module")
def clip(codec: CodeCodec) -> IGLLM:
    """The paper's arrangement, shrunk: a frozen CLIP tower, read at its penultimate layer, padded squares."""
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = IGLLMConfig(
        vision_config=AutoConfig.for_model("clip_vision_model", image_size=64, patch_size=16, **layers),
        text_config=AutoConfig.for_model("llama", vocab_size=len(codec.tokenizer), num_key_value_heads=2, **layers),
        image_height=64,
        image_width=64,
        num_token_id=codec.tokenizer.convert_tokens_to_ids(NUM),
    )
    torch.manual_seed(0)
    return IGLLM(config)


def batch_of(model: IGLLM, codec: CodeCodec, samples: Samples, count: int = 4) -> dict[str, torch.Tensor]:
    source = CodeSource(samples, example_maker(model, codec, TINY.examples))
    return Collator(codec.tokenizer.pad_token_id)([source.example(i, None) for i in range(count)])


@pytest.mark.parametrize("kind", ["tiny", "clip"])
def test_one_forward_gives_the_losses_and_their_gradients(kind: str, request, codec: CodeCodec, renders: Samples) -> None:
    model: IGLLM = request.getfixturevalue(kind)
    model.train()
    model.zero_grad()
    output = model(**batch_of(model, codec, renders))
    parts = output.token_loss + model.config.number_weight * output.number_loss
    if kind == "tiny":
        parts = parts + model.config.dense_weight * output.dense_loss + model.config.guide_weight * output.guide_loss
    assert torch.isclose(output.loss, parts)
    output.loss.backward()
    trained = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    expected = {"language_model", "projector", "numeric_head"} | ({"tower", "number_feedback", "dense_head"} if kind == "tiny" else set())
    assert trained == expected


def test_a_frozen_tower_stays_as_it_is(clip: IGLLM) -> None:
    clip.train()
    assert not clip.tower.training
    assert clip.projector.training
    assert not any(name.startswith("tower") for name, p in clip.named_parameters() if p.requires_grad)
    grouped = sum(len(group["params"]) for group in parameter_groups(clip, get_preset("tiny").optimisation))
    assert grouped == sum(p.requires_grad for p in clip.parameters())


def test_a_clip_tower_gives_its_penultimate_patch_tokens(clip: IGLLM) -> None:
    images = torch.randn(2, 3, 64, 64)
    states = clip.tower.encoder(images, output_hidden_states=True).hidden_states
    assert clip.tower(images).shape == (2, 16, 32)
    assert torch.equal(clip.tower(images), states[-2][:, 1:])


def test_neighbouring_cells_of_the_tower_make_one_token(clip: IGLLM) -> None:
    torch.manual_seed(0)
    finer = {**TINY.vision, "hidden_sizes": [16, 32], "depths": [1, 1]}
    merged = build(TINY.replaced(vision_merge=2, vision=finer), CLEVR)[0].eval().tower
    images = torch.randn(2, 3, 128, 160)
    cells = merged.encoder(images).last_hidden_state  # of 8 x 8 pixels
    channels = cells.shape[1]
    assert cells.shape[2:] == (16, 20)
    assert (merged.rows, merged.columns) == (8, 10)
    tokens = merged(images).unflatten(1, (8, 10))
    for quarter, (below, beside) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        inside = tokens[..., quarter * channels : (quarter + 1) * channels]
        assert torch.allclose(inside, cells[:, :, below::2, beside::2].permute(0, 2, 3, 1), atol=1e-3)

    clip.config.vision_merge = 4
    try:
        assert VisionTower(clip.config)(torch.randn(1, 3, 64, 64)).shape == (1, 1, 16 * 32)
        clip.config.vision_merge = 3
        with pytest.raises(UserError, match="vision_merge=3 does not divide the tower's map of 4 x 4 cells"):
            VisionTower(clip.config)
    finally:
        clip.config.vision_merge = 1


def test_padding_changes_nothing(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    tiny.eval()
    whole = batch_of(tiny, codec, renders, 4)
    shortest = int((whole["labels"] != -100).sum(1).argmin())
    alone = {name: value[shortest : shortest + 1] for name, value in whole.items()}
    length = int((alone["labels"][0] != -100).nonzero().max()) + 1
    for name in ("input_ids", "labels", "number_values", "number_slots"):
        alone[name] = alone[name][:, :length]
    for batch in (whole, alone):
        del batch["labels"]
    together = tiny(**whole).logits[shortest, :length]
    assert torch.allclose(tiny(**alone).logits[0], together, atol=1e-4)


def test_numbers_are_read_where_num_is_predicted(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    """Changing the value of one number must leave its own prediction alone, and change a later one (it is fed back)."""
    tiny.eval()
    batch = batch_of(tiny, codec, renders, 1)
    first, second = (int(i) for i in (batch["number_slots"][0] >= 0).nonzero()[:2, 0])
    visual = tiny.prepend_prefix(tiny.see(batch["pixel_values"]).visual)

    def read(at: int) -> torch.Tensor:
        hidden = tiny.run_decoder(
            torch.cat([visual, tiny.embed(batch["input_ids"], batch["number_values"], batch["number_slots"])], 1)
        ).last_hidden_state
        return tiny.numeric_head(hidden[0, visual.shape[1] + at - 1])

    before = read(first), read(second)
    batch["number_values"][0, first] += 0.5
    assert torch.equal(read(first), before[0])
    assert not torch.equal(read(second), before[1])


def test_saving_and_loading_gives_the_same_model(tiny: IGLLM, tmp_path: Path) -> None:
    tiny.eval()
    tiny.save_pretrained(tmp_path)
    again = IGLLM.from_pretrained(tmp_path).eval()
    images, ids = torch.randn(1, 3, 128, 160), torch.tensor([[1, 5, 6, 4]])
    assert torch.equal(again(images, ids).logits, tiny(images, ids).logits)
    ours = set(IGLLMConfig.__annotations__) - {"vision_config", "text_config"}
    assert {name: getattr(again.config, name) for name in ours} == {name: getattr(tiny.config, name) for name in ours}
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        assert set(weights.keys()) == set(tiny.state_dict())


def test_pretraining_teaches_the_tower_and_nothing_else(codec: CodeCodec, renders: Samples) -> None:
    model, _ = build(TINY, CLEVR, stage="pretrain")
    batch = Collator(0)(
        [SampleSource(renders, replace(example_maker(model, codec, TINY.examples), text=False)).example(i, None) for i in range(2)]
    )
    output = model.train()(**batch)
    assert torch.isclose(output.loss, TINY.auxiliary.dense_weight * output.dense_loss)
    output.loss.backward()
    trained = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"tower", "projector", "dense_head"} == {n.partition(".")[0] for n, p in model.named_parameters() if p.requires_grad}


def test_adapters_compute_in_bfloat16_under_autocast_alone(saved_parts: dict[str, Path]) -> None:
    """Copies of their inputs in float32 would cost memory and time, and autocast would round them again."""
    pair = {"vision_model": str(saved_parts["clip"]), "language_model": str(saved_parts["llama"]), "freeze_vision": True}
    blind = {"dense_weight": 0.0, "number_cells": False, "word_cells": False, "guide_weight": 0.0}
    model, _ = build(TINY.replaced(**pair, **blind, lora_rank=2, lora_alpha=4, bf16=True), CLEVR)
    inputs: list[torch.dtype] = []
    first = next(module for name, module in model.named_modules() if name.endswith("q_proj.lora_A.default"))
    first.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].dtype))
    embedded = model.embed(torch.tensor([[5, 6]]), None, None)
    with torch.autocast("cpu", torch.bfloat16):
        trained = model.run_decoder(embedded).last_hidden_state
    predicted = model.run_decoder(embedded).last_hidden_state
    assert inputs == [torch.bfloat16, torch.float32]
    assert torch.allclose(trained.float(), predicted.float(), atol=0.1)


def test_a_frozen_tower_keeps_its_mode_when_training_and_predicting_take_turns(clip: IGLLM) -> None:
    for mode in (True, True, False, True):
        clip.train(mode)
        assert {module.training for module in clip.language_model.modules()} == {mode}
        assert not any(module.training for module in clip.tower.modules())
