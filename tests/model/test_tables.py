"""The tables [vision] and [text] of a preset: a mistake in them ends in one line that names its place, before any weights are drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from model.build import Stage, build, plan
from model.derender.build import check_derendering
from model.preset import Preset, get_preset

DOTS = get_domain("dot2d")
LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
CLIP = {"model_type": "clip_vision_model", "image_size": 64, "patch_size": 16, **LAYERS}
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1], "layer_type": "basic"}
LLAMA = {"model_type": "llama", "num_key_value_heads": 2, "max_position_embeddings": 512, **LAYERS}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 512}
FRAME = {"image_height": 64, "image_width": 64}


def preset(vision: dict[str, Any] = CLIP, text: dict[str, Any] = LLAMA, **changes: Any) -> Preset:
    return Preset().replaced(vision=vision, text=text, **FRAME, **changes)


def without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


@pytest.mark.parametrize("vision", [CLIP, RESNET], ids=["CLIP", "ResNet"])
@pytest.mark.parametrize("text", [LLAMA, GPT2], ids=["LLaMA", "GPT-2"])
def test_right_tables_make_models(vision: dict, text: dict) -> None:
    model, _ = build(preset(vision, text), DOTS)
    assert model.config.vision_config.model_type == vision["model_type"]
    assert model.training


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no type": (without(CLIP, "model_type"), "model_type is missing"),
    "unknown type": (CLIP | {"model_type": "clip_vison_model"}, 'did you mean "clip_vision_model"'),
    "type of another type": (CLIP | {"model_type": 3}, "model_type is 3"),
    "type in a list": (CLIP | {"model_type": ["resnet"]}, "which transformers does not know"),
    "does not see": (LLAMA, "not one that sees"),
    "holds a tower": ({"model_type": "clip"}, "did you mean clip_vision_model, the tower in it"),
    "unknown field": (RESNET | {"hiden_sizes": [8]}, "a resnet has no field 'hiden_sizes'; did you mean \"hidden_sizes\""),
    "text for a number": (CLIP | {"hidden_size": "32"}, "hidden_size"),
    "part of a number": (CLIP | {"hidden_size": 32.5}, "hidden_size"),
    "negative width": (CLIP | {"hidden_size": -32}, "cannot be made"),
    "negative inside": (CLIP | {"intermediate_size": -1}, "cannot be made"),
    "no width": (CLIP | {"hidden_size": 0}, "cannot be made"),
    "heads that do not divide": (CLIP | {"num_attention_heads": 3}, "not a multiple"),
    "no heads": (CLIP | {"num_attention_heads": 0}, "cannot be made"),
    "patches larger than the image": (CLIP | {"patch_size": 128}, "patches are larger than its frame of 64 x 64"),
    "no patches": (CLIP | {"patch_size": 0}, "cannot be made"),
    "negative image": (CLIP | {"image_size": -64}, r"image_size is \[-64, -64\]; 16 to 8,192 pixels"),
    "other channels": (CLIP | {"num_channels": 1}, "channels"),
    "unknown activation": (CLIP | {"hidden_act": "glu"}, "glu"),
    "too few layers": (CLIP | {"num_hidden_layers": 0}, "vision_layer=-2: this tower has 0 layers"),
    "too large": (CLIP | {"hidden_size": 2 * 10**7}, "this machine's memory"),
    "too wide for any number": (CLIP | {"hidden_size": 10**19}, "cannot be made"),
    "too deep": (CLIP | {"num_hidden_layers": 10**9}, "num_hidden_layers is 1e.09, and no model has more than"),
    "too deep a stage": (RESNET | {"depths": [1, 10**9]}, "depths is 1e.09"),
    "too many names": (CLIP | {"num_labels": 10**9}, "num_labels"),
    "fewer depths than sizes": (RESNET | {"hidden_sizes": [8, 16], "depths": [1]}, "hidden_sizes are of 2 stages and depths of 1"),
    "layers of another kind": (RESNET | {"layer_type": "basics"}, "basics"),
    "precision": (CLIP | {"dtype": "float16"}, "dtype is decided by the setting bf16"),
    "no map": (
        {"model_type": "vit_mae", "image_size": 64, "patch_size": 16, **LAYERS},
        "of an image of 64 x 64 pixels it gives 5 tokens of 32",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_vision(name: str) -> None:
    table, message = MISTAKES[name]
    with pytest.raises(UserError, match=message) as caught:
        build(preset(table), DOTS)
    assert "\n" not in str(caught.value)


def test_a_tower_of_very_many_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.extent.MOST_TENSORS", 50)
    with pytest.raises(UserError, match=r"\[vision\]: describes a model of at least .* in 51 tensors; .* in at most 50 tensors"):
        build(preset(RESNET | {"depths": [1, 9000]}), DOTS)


TEXT_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no type": (without(LLAMA, "model_type"), "model_type is missing"),
    "keeps a state": ({"model_type": "mamba", "hidden_size": 32, "num_hidden_layers": 1}, "a mamba keeps a state of the text"),
    "unknown type": (LLAMA | {"model_type": "lama"}, 'did you mean "llama"'),
    "does not write": (RESNET, "cannot be made"),
    "sees the future": ({"model_type": "bert", **LAYERS}, "sees what comes after; a causal language model"),
    "reads and writes apart": ({"model_type": "t5"}, "cannot be made"),
    "heads that do not divide": (LLAMA | {"num_attention_heads": 5}, "not a multiple"),
    "groups that do not divide": (LLAMA | {"num_attention_heads": 4, "num_key_value_heads": 3}, "cannot be made"),
    "too deep": (LLAMA | {"num_hidden_layers": 10**7}, "num_hidden_layers"),
    "too large": (LLAMA | {"intermediate_size": 10**10}, "this machine's memory"),
    "negative layers": (LLAMA | {"num_hidden_layers": -1}, "cannot be made"),
    "unknown field": (GPT2 | {"n_heads": 2}, 'did you mean "n_head"'),
    "one field by two names": (GPT2 | {"hidden_size": 64}, "two names of one field"),
    "the tokenizer's": (LLAMA | {"vocab_size": 5}, "vocab_size is decided by the tokenizer"),
    "too few positions": (GPT2 | {"n_positions": 16}, r"takes 16 tokens at most; .* at least \d+ positions is needed"),
}


@pytest.mark.parametrize("name", TEXT_MISTAKES)
def test_mistakes_in_text(name: str) -> None:
    table, message = TEXT_MISTAKES[name]
    with pytest.raises(UserError, match=message) as caught:
        build(preset(text=table), DOTS)
    assert "\n" not in str(caught.value)
    assert "[text]" in str(caught.value)


@pytest.mark.parametrize("vision", [CLIP, RESNET], ids=["CLIP", "ResNet"])
@pytest.mark.parametrize("layer", [99, 3, -4, -1000])
def test_a_layer_that_is_not_there(vision: dict, layer: int) -> None:
    with pytest.raises(UserError, match=f"vision_layer={layer}: "):
        plan(preset(vision, vision_layer=layer), DOTS)


@pytest.mark.parametrize("layer", [-3, -1, 0, 2])
def test_a_layer_that_is_there(layer: int) -> None:
    assert build(preset(vision_layer=layer), DOTS)[0].tower.layer == layer


def test_positions_are_counted_to_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    """A model needs as many positions as its longest text has tokens; for LLaMA, which computes beyond them, fewer cause a warning."""
    with pytest.raises(UserError) as caught:
        plan(preset(text=GPT2 | {"n_positions": 1}), DOTS)
    needed = int(str(caught.value).split(" positions")[0].split()[-1])
    plan(preset(text=GPT2 | {"n_positions": needed}), DOTS)
    with pytest.raises(UserError, match=f"at least {needed} positions"):
        plan(preset(text=GPT2 | {"n_positions": needed - 1}), DOTS)
    plan(preset(text=GPT2 | {"n_positions": 1}), DOTS, stage="pretrain")  # pretraining reads no text
    assert not capsys.readouterr().err
    plan(preset(text=LLAMA | {"max_position_embeddings": needed - 1}), DOTS)
    assert f"takes {needed - 1} tokens at most" in capsys.readouterr().err


STRANGE = st.one_of(
    st.integers(-3, 3), st.none(), st.floats(-2, 2), st.text(max_size=3), st.booleans(), st.lists(st.integers(-1, 9), max_size=3)
)


@pytest.mark.parametrize("side", [[], [64], [64, 64, 3]])
def test_a_tower_has_a_height_and_a_width(side: list[int]) -> None:
    with pytest.raises(UserError, match=r"\[vision\]: image_size is "):
        build(preset(vision=CLIP | {"image_size": side}), DOTS)


@limits(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(table=st.sampled_from([CLIP, RESNET, LLAMA, GPT2]), data=st.data())
def test_strange_values_make_a_model_or_one_message(table: dict, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(table)))
    changed = table | {key: data.draw(STRANGE)}
    try:
        build(preset(vision=changed) if table in (CLIP, RESNET) else preset(text=changed), DOTS)
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (without(RESNET, "model_type"), "model_type is missing"),
        (LLAMA, r"\[vision\]: "),
        (RESNET | {"num_channels": 1}, r"\[vision\]: "),
        (RESNET | {"hiden_sizes": [8]}, 'did you mean "hidden_sizes"'),
        (RESNET | {"hidden_sizes": [-8, 8]}, r"\[vision\]: "),
    ],
)
def test_the_baseline_is_checked_alike(table: dict, message: str) -> None:
    baseline = get_preset("derender").replaced(vision=table)
    with pytest.raises(UserError, match=message):
        check_derendering(baseline, DOTS)


@pytest.mark.parametrize("stage", ["train", "pretrain", "align"])
def test_trying_parts_out_changes_nothing(stage: Stage) -> None:
    changes = {"dense_weight": 1.0, "freeze_vision": False} if stage == "pretrain" else {}
    drawn = []
    for _ in range(2):
        torch.manual_seed(1)
        model, _ = build(preset(RESNET, **changes), DOTS, stage=stage)
        drawn.append(torch.cat([value.float().flatten() for value in model.state_dict().values()]))
    assert torch.equal(*drawn)
    assert not model.tower.encoder.embedder.embedder.normalization.running_mean.any()  # unchanged by the trial's blank image
