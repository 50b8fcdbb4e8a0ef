"""Tensors that a model has under several names: saved once and loaded under each, whatever ties them and whatever is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from language_tokenizers import byte_level
from pretrained_parts import LAYERS, clip
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    CLIPVisionConfig,
    CLIPVisionModel,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Qwen2Config,
)

import igllm
from datagen.code.predictions import read_predictions
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from model.build import build
from model.igllm import IGLLM
from model.load import load_model
from model.preset import Preset
from model.ship import ship
from model.tokens.codec import CodeCodec
from model.training.initial_weights import load_initial_weights

DOTS = get_domain("dot2d")
SCRATCH_TOWER = {"model_type": "clip_vision_model", "image_size": 64, "patch_size": 16, **LAYERS}
LANGUAGES = {
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512}),
    "neox tied": ("gpt_neox", {**LAYERS, "tie_word_embeddings": True}),
    "llama tied": ("llama", {**LAYERS, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "llama untied": ("llama", {**LAYERS, "num_key_value_heads": 2, "tie_word_embeddings": False}),
    "qwen2 tied": ("qwen2", {**LAYERS, "num_key_value_heads": 1, "tie_word_embeddings": True}),
}
CONFIGS = {"gpt2": GPT2Config, "gpt_neox": GPTNeoXConfig, "llama": LlamaConfig, "qwen2": Qwen2Config}
LORA = {"lora_rank": 2, "lora_alpha": 4}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tower and language models with random weights, as folders."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("parts")
    tokenizer = byte_level(num=False)
    for name, (kind, fields) in LANGUAGES.items():
        config = CONFIGS[kind](vocab_size=len(tokenizer), **fields)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return {"clip": clip(folder / "clip"), **{name: folder / name for name in LANGUAGES}}


def preset_of(parts: dict[str, Path], language: str, origin: str, **changes: object) -> Preset:
    """A preset whose parts come from ``origin``: folders, with a frozen tower, or scratch."""
    if origin == "folders":
        return Preset().replaced(vision_model=str(parts["clip"]), language_model=str(parts[language]), **changes)
    kind, fields = LANGUAGES[language]
    return Preset().replaced(vision=SCRATCH_TOWER, text={"model_type": kind, **fields}, freeze_vision=False, **changes)


def unlike(model: IGLLM) -> IGLLM:
    """The model with every trainable weight drawn anew, so that none is equal to another or to what it began with."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.1)
    return model.eval()


def logits_of(model: IGLLM) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randn(2, 3, model.config.image_height, model.config.image_width, generator=generator)
    with torch.no_grad():
        return model(pixels, torch.arange(20).reshape(2, 10)).logits


def saved(model: IGLLM, codec: CodeCodec, folder: Path) -> Path:
    model.save_pretrained(folder)
    codec.tokenizer.save_pretrained(folder)
    return folder


def assert_equal(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    left, right = ours.state_dict(), theirs.state_dict()
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


WAYS = ((False, "head"), (True, "head"), (True, "char"))  # without adapters, numbers change nothing about embeddings
CASES = [  # quick: each language once, in another way or from another origin than the others
    pytest.param(language, origin, *way, marks=() if number == row + 1 else pytest.mark.slow)
    for row, language in enumerate(LANGUAGES)
    for number, (origin, way) in enumerate(product(("folders", "scratch"), WAYS))
]


@pytest.mark.parametrize(("language", "origin", "lora", "numbers"), CASES)
def test_what_is_loaded_is_what_was_saved(  # noqa: PLR0917
    parts: dict[str, Path], language: str, origin: str, lora: bool, numbers: str, tmp_path: Path
) -> None:
    model, codec = build(preset_of(parts, language, origin, numbers=numbers, **(LORA if lora else {})), DOTS)
    unlike(model)
    assert model.config.text_config.tie_word_embeddings == (language != "llama untied")
    folder = saved(model, codec, tmp_path / "model")
    again, loading_info = IGLLM.from_pretrained(folder, output_loading_info=True)
    assert not loading_info["missing_keys"]
    assert_equal(again, model)
    loaded = load_model(folder, "cpu").model
    assert torch.allclose(logits_of(loaded), logits_of(model), atol=1e-5)
    # a loaded model is saved as it was
    before, after = load_file(folder / "model.safetensors"), load_file(saved(again, codec, tmp_path / "again") / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("origin", "lora"),
    [
        ("folders", True),
        ("scratch", False),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("folders", False), ("scratch", True))),
    ],
)
def test_whichever_tensor_is_lacking_the_model_is_refused(parts: dict[str, Path], origin: str, lora: bool, tmp_path: Path) -> None:
    """Every tensor is needed; a tied one is stored under one name alone."""
    folder = saved(*build(preset_of(parts, "qwen2 tied", origin, **(LORA if lora else {})), DOTS), tmp_path / "model")
    whole = load_file(folder / "model.safetensors")
    embeddings = [name for name in whole if "embed_tokens" in name]
    assert embeddings
    for name in [*embeddings, "projector.weight", max(whole), min(whole)]:
        save_file({other: value for other, value in whole.items() if other != name}, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(UserError, match=r"its weights lack .* damaged"):
            load_model(folder, "cpu")
    save_file(whole, folder / "model.safetensors", {"format": "pt"})
    load_model(folder, "cpu")


@pytest.mark.parametrize("origin", ["folders", "scratch"])
def test_a_file_may_name_a_tied_tensor_otherwise_or_twice_but_not_with_two_values(
    parts: dict[str, Path], origin: str, tmp_path: Path
) -> None:
    model, codec = build(preset_of(parts, "llama tied", origin), DOTS)
    unlike(model)
    folder = saved(model, codec, tmp_path / "model")
    whole = load_file(folder / "model.safetensors")
    embedding, output = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"
    assert embedding in whole
    assert output not in whole
    for names in ([output], [output, embedding]):
        rest = {name: value for name, value in whole.items() if name != embedding}
        save_file(rest | {name: whole[embedding].clone() for name in names}, folder / "model.safetensors", {"format": "pt"})
        assert_equal(load_model(folder, "cpu").model, model)
    with pytest.raises(ValueError, match="different values"):
        model.load_weights({embedding: whole[embedding], output: whole[embedding] + 1})


def test_two_embeddings_of_equal_values_stay_two(parts: dict[str, Path], tmp_path: Path) -> None:
    model, codec = build(preset_of(parts, "llama untied", "folders"), DOTS)
    with torch.no_grad():
        model.language_model.lm_head.weight.copy_(model.language_model.model.embed_tokens.weight)
    folder = saved(model, codec, tmp_path / "model")
    assert {"language_model.lm_head.weight", "language_model.model.embed_tokens.weight"} <= set(load_file(folder / "model.safetensors"))
    again = load_model(folder, "cpu").model
    assert_equal(again, model)
    with torch.no_grad():
        again.language_model.lm_head.weight.zero_()
    assert again.language_model.model.embed_tokens.weight.any()


@pytest.mark.parametrize("lora", [False, True])
def test_a_checkpoint_with_two_embeddings_is_believed_though_it_says_one(parts: dict[str, Path], lora: bool, tmp_path: Path) -> None:
    words = AutoModelForCausalLM.from_pretrained(parts["llama untied"])
    words.save_pretrained(tmp_path / "words")
    config = json.loads((tmp_path / "words" / "config.json").read_text())
    (tmp_path / "words" / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    byte_level(num=False).save_pretrained(tmp_path / "words")
    preset = preset_of({**parts, "words": tmp_path / "words"}, "words", "folders", **(LORA if lora else {}))
    model, codec = build(preset, DOTS)
    unlike(model)
    folder = saved(model, codec, tmp_path / "model")
    assert_equal(IGLLM.from_pretrained(folder), model)
    assert torch.allclose(logits_of(load_model(folder, "cpu").model), logits_of(model), atol=1e-5)


class SharedConfig(CLIPVisionConfig):
    """The configuration of `SharedTower`."""

    model_type = "shared_clip_vision"


class SharedTower(CLIPVisionModel):
    """A tower whose layers are one module, as ALBERT's are, which it does not declare."""

    config_class = SharedConfig

    def __init__(self, config: SharedConfig) -> None:
        super().__init__(config)
        layers = self.encoder.layers if hasattr(self, "encoder") else self.vision_model.encoder.layers
        for i in range(1, len(layers)):
            layers[i] = layers[0]


@pytest.mark.parametrize("frozen", [False, True])
def test_towers_may_share_layers(parts: dict[str, Path], frozen: bool, tmp_path: Path) -> None:
    AutoConfig.register(SharedConfig.model_type, SharedConfig, exist_ok=True)
    AutoModel.register(SharedConfig, SharedTower, exist_ok=True)
    vision = {**SCRATCH_TOWER, "model_type": SharedConfig.model_type}
    changes: dict = {"language_model": str(parts["qwen2 tied"])} if frozen else {"text": preset_of(parts, "gpt2", "scratch").text}
    model, codec = build(Preset().replaced(vision=vision, freeze_vision=frozen, **changes), DOTS)
    unlike(model)
    folder = saved(model, codec, tmp_path / "model")
    assert sum(".layers." in name and name.startswith("tower.") for name in load_file(folder / "model.safetensors")) == len(
        list(model.tower.encoder.get_submodule("encoder.layers.0").parameters())
    )
    again = load_model(folder, "cpu").model
    assert_equal(again, model)
    assert torch.equal(logits_of(again), logits_of(model))


WRAPPED: dict[str, Callable[[str], str]] = {
    "DDP": lambda name: f"module.{name}",
    "FSDP": lambda name: f"_fsdp_wrapped_module.{name}".replace(".model.", ".model._fsdp_wrapped_module."),
    "compiled": lambda name: f"_orig_mod.{name}",
    "part compiled": lambda name: name.replace("language_model.", "language_model._orig_mod."),
    "checkpointed": lambda name: name.replace("layers.0.", "layers.0._checkpoint_wrapped_module."),
    "DDP of compiled": lambda name: f"module._orig_mod.{name}",
}


@pytest.mark.parametrize(
    ("wrapped", "lora"),
    [
        pytest.param(
            wrapped, lora, marks=() if (wrapped, lora) in (("DDP", False), ("FSDP", True), ("part compiled", True)) else pytest.mark.slow
        )
        for wrapped, lora in product(WRAPPED, (False, True))
    ],
)
def test_states_gathered_from_wrappers_are_saved_as_the_models_own(
    parts: dict[str, Path], wrapped: str, lora: bool, tmp_path: Path
) -> None:
    """Gathering separates tied tensors, and changes names."""
    model, codec = build(preset_of(parts, "qwen2 tied", "folders", **(LORA if lora else {})), DOTS)
    unlike(model)
    gathered = {WRAPPED[wrapped](name): value.clone() for name, value in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=gathered)
    codec.tokenizer.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == model.own_state_dict().keys()
    assert_equal(IGLLM.from_pretrained(tmp_path), model)


def test_a_compiled_part_is_saved_as_it_is_without(parts: dict[str, Path], tmp_path: Path) -> None:
    model, codec = build(preset_of(parts, "qwen2 tied", "folders"), DOTS)
    unlike(model)
    plain = {name: value.clone() for name, value in model.own_state_dict().items()}
    model.language_model = torch.compile(model.language_model)
    kept = load_file(saved(model, codec, tmp_path / "model") / "model.safetensors")
    assert kept.keys() == plain.keys()
    assert all(torch.equal(kept[name], plain[name]) for name in plain)
    load_model(tmp_path / "model", "cpu")


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dots") / "data"
    assert igllm.main(["generate", "--domain", "dot2d", "--num", "6", "--width", "64", "--height", "64", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("adapted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_tied_model_goes_from_training_to_prediction(parts: dict[str, Path], dots: Path, adapted: bool, tmp_path: Path) -> None:
    """With a frozen tower, as in `small`: training is resumed once, and the run serves another model as initial weights."""
    (tmp_path / "mine.toml").write_text('batch_size = 2\nsave_steps = 1\nreport_to = "none"\n')
    run = tmp_path / "run"
    words = [*("--data", str(dots), "--val", str(dots.parent / "val"), "--out", str(run), "--device", "cpu")]
    words += ["--preset", str(tmp_path / "mine.toml"), "--vision-model", str(parts["clip"]), "--language-model", str(parts["qwen2 tied"])]
    words += ["--set", "eval_steps=1", *(["--set", "lora_rank=2", "--set", "lora_alpha=4"] if adapted else [])]
    val = ["generate", "--domain", "dot2d", "--num", "2", "--seed", "1", "--width", "64", "--height", "64"]
    if not (dots.parent / "val").exists():
        assert igllm.main([*val, "--out", str(dots.parent / "val")]) == 0
    for steps in ("1", "2"):
        assert igllm.main(["train", *words, "--steps", steps]) == 0
    for folder in (run / "best", run / "checkpoint-1", run / "checkpoint-2"):
        load_model(folder, "cpu")
    out = tmp_path / "pred.jsonl"
    assert igllm.main(["predict", "--model", str(run), "--data", str(dots), "--out", str(out), "--device", "cpu"]) == 0
    assert len(read_predictions(out)) == 6
    model, _ = build(preset_of(parts, "qwen2 tied", "folders", **(LORA if adapted else {})), DOTS)
    load_initial_weights(model, run)
    assert_equal(model, IGLLM.from_pretrained(run))
    ship(run, tmp_path / "shipped")
    whole, halved = load_file(run / "model.safetensors"), load_file(tmp_path / "shipped" / "model.safetensors")
    assert all(torch.equal(halved[name], whole[name].half()) for name in whole)
    load_model(tmp_path / "shipped", "cpu")
