"""Pretrained parts by name or folder: loaded as they are, trained or adapted, saved, and found again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from pretrained_parts import LANGUAGE, LAYERS, VISION, make_parts
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from datagen.code.grammar import parse_code, write_code
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.shards.reader import Samples
from model.build import build
from model.data.examples import CodeSource, Collator
from model.data.frames import Frame
from model.data.order import InOrder
from model.igllm import IGLLM
from model.load import load_model
from model.parts.pretrained import Base
from model.prediction.decode import decode
from model.preset import Preset, get_preset
from model.tokens.codec import NUM, CodeCodec
from model.tokens.prompts import PROMPTS, prompt_tokens
from model.training.initial_weights import load_initial_weights
from model.training.train import example_maker
from model.training.trainer import parameter_groups

CLEVR = get_domain("clevr")
TINY = get_preset("tiny").replaced(augment=False)
BLIND = {"dense_weight": 0.0, "number_cells": False, "word_cells": False}  # without a dense read-out
PAPER_LIKE = {"freeze_vision": True, "lora_rank": 4, "lora_alpha": 8, "number_feedback": False, **BLIND}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_parts(tmp_path_factory.mktemp("parts"))


def made_on(parts: dict[str, Path], vision: str, language: str, **changes: object) -> Preset:
    return TINY.replaced(vision_model=str(parts[vision]), language_model=str(parts[language]), **changes)


def batch_of(model: IGLLM, codec: CodeCodec, preset: Preset, renders: Samples, count: int = 2) -> dict[str, torch.Tensor]:
    source = InOrder(CodeSource(renders, example_maker(model, codec, preset.examples)))
    return Collator(codec.tokenizer.pad_token_id)([source[i] for i in range(count)])


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


WAYS = {"trained whole": {}, "frozen and adapted": PAPER_LIKE}
PAIRS = [  # quick: each tower with each language model, in one of the two ways
    pytest.param(vision, language, way, marks=() if (place + number + turned) % 2 else pytest.mark.slow)
    for place, vision in enumerate(VISION)
    for turned, language in enumerate(LANGUAGE)
    for number, way in enumerate(WAYS)
]


@pytest.mark.parametrize(("vision", "language", "way"), PAIRS)
def test_parts_keep_their_weights_and_a_new_model_loads_as_it_was_saved(  # noqa: PLR0917
    parts: dict[str, Path], vision: str, language: str, way: str, renders: Samples, tmp_path: Path
) -> None:
    changes = WAYS[way]
    preset = made_on(parts, vision, language, **changes)
    model, codec = build(preset, CLEVR)
    tower, words = AutoModel.from_pretrained(parts[vision]), AutoModelForCausalLM.from_pretrained(parts[language])
    tower = getattr(tower, "vision_model", tower)
    for name, value in model.tower.encoder.state_dict().items():
        assert torch.equal(value, tower.state_dict()[name.removeprefix("vision_model.")]), name
    ours = {
        name.replace(".base_layer", "").replace(".token_adapter", ""): value for name, value in model.language_model.state_dict().items()
    }
    for name, value in words.state_dict().items():
        assert torch.equal(ours.get(name, ours.get(f"base_model.model.{name}"))[: len(value)], value), name
    model.eval()
    batch = batch_of(model, codec, preset, renders)
    model.save_pretrained(tmp_path / "saved")
    codec.tokenizer.save_pretrained(tmp_path / "saved")
    again = IGLLM.from_pretrained(tmp_path / "saved")
    assert torch.equal(again(**batch).loss, model(**batch).loss)
    loaded = load_model(tmp_path / "saved", "cpu")
    assert torch.allclose(loaded.model(**batch).loss, model(**batch).loss, atol=1e-5)
    assert loaded.codec.tokenizer.convert_tokens_to_ids(NUM) == model.config.num_token_id
    held = set(tensors_of(tmp_path / "saved"))
    assert any(name.startswith("tower.") for name in held) == (not changes)
    assert any(name.startswith("language_model.") and "lora_" not in name and "trainable_tokens" not in name for name in held) == (
        not changes
    )


@pytest.mark.parametrize("language", LANGUAGE)
def test_num_is_trained_with_the_adapters_and_survives(parts: dict[str, Path], language: str, renders: Samples, tmp_path: Path) -> None:
    preset = made_on(parts, "clip", language, **PAPER_LIKE)
    model, codec = build(preset, CLEVR)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(parameter_groups(model, preset.optimisation), lr=1e-2)
    for _ in range(2):
        model.train()
        model(**batch_of(model, codec, preset, renders)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    rows = {name for name in changed if "trainable_tokens_delta" in name}
    assert rows
    assert {name for name in changed if "lora_" not in name} - rows == {
        f"{part}.{kind}" for part in ("projector", "numeric_head.hidden", "numeric_head.value") for kind in ("weight", "bias")
    }
    model.save_pretrained(tmp_path)
    codec.tokenizer.save_pretrained(tmp_path)
    merged = load_model(tmp_path, "cpu").model
    assert (
        torch.equal(merged.language_model.get_input_embeddings().weight[model.config.num_token_id], model.get_parameter(min(rows))[0])
        or language == "llama"
    )  # which has a second trained row, for the output
    model.eval()
    batch = batch_of(model, codec, preset, renders)
    assert torch.allclose(merged(**batch).loss, model(**batch).loss, atol=1e-4)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rank", [0, 4])
def test_parts_from_scratch_are_all_in_the_file(tied: bool, rank: int, tmp_path: Path) -> None:
    preset = TINY.replaced(lora_rank=rank, lora_alpha=8, text={**TINY.text, "tie_word_embeddings": tied})
    model, _ = build(preset, CLEVR)
    model.eval().save_pretrained(tmp_path)
    again = IGLLM.from_pretrained(tmp_path)
    images, ids = torch.randn(1, 3, 128, 160), torch.tensor([[1, 5, 6, 4]])
    assert torch.equal(again(images, ids).logits, model(images, ids).logits)
    assert torch.allclose(again.merged()(images, ids).logits, model(images, ids).logits, atol=1e-5)


def test_nothing_asks_transformers_by_a_name_that_it_warns_of(parts: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """peft asks whether activations are checkpointed; under the old name, transformers would print a page of warning at each start."""
    asked = []
    monkeypatch.setattr(PreTrainedModel, "is_gradient_checkpointing", property(asked.append))
    before = vars(PreTrainedModel)["is_gradient_checkpointing"]
    model, _ = build(made_on(parts, "clip", "llama", **PAPER_LIKE), CLEVR)
    assert any("lora_" in name for name, _ in model.named_parameters())
    assert not asked
    assert vars(PreTrainedModel)["is_gradient_checkpointing"] is before


def test_adapters_can_be_saved_alone_and_peft_loads_them(parts: dict[str, Path], renders: Samples, tmp_path: Path) -> None:
    preset = made_on(parts, "clip", "llama", **PAPER_LIKE, numbers="char")
    model, _ = build(preset, CLEVR)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    model.save_adapter(tmp_path / "adapter")
    ids = torch.arange(20)[None]
    words = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(parts["llama"]), tmp_path / "adapter").eval()
    model.eval()
    ours = model.language_model(input_ids=ids).logits
    assert torch.allclose(words(input_ids=ids).logits, ours[..., : words.config.vocab_size], atol=1e-5)
    whole, _ = build(made_on(parts, "clip", "llama"), CLEVR)
    with pytest.raises(ValueError, match="no adapters"):
        whole.save_adapter(tmp_path / "none")


def test_a_base_that_is_gone_or_another_is_told(parts: dict[str, Path], tmp_path: Path) -> None:
    moved = {"clip": tmp_path / "clip", "llama": tmp_path / "llama"}
    for name, folder in moved.items():
        shutil.copytree(parts[name], folder)
    model, codec = build(made_on(moved, "clip", "llama", **PAPER_LIKE), CLEVR)
    model.save_pretrained(tmp_path / "saved")
    codec.tokenizer.save_pretrained(tmp_path / "saved")
    stated = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert stated["language_base"]["name"] == str(moved["llama"])
    shutil.rmtree(moved["llama"])
    with pytest.raises(UserError, match=r"llama: this folder of pretrained weights is gone"):
        load_model(tmp_path / "saved", "cpu")
    other = AutoModelForCausalLM.from_pretrained(parts["llama"])
    torch.nn.init.zeros_(other.lm_head.weight)
    other.save_pretrained(moved["llama"])
    with pytest.raises(UserError, match="other pretrained weights"):
        load_model(tmp_path / "saved", "cpu")


def test_what_is_no_checkpoint_is_told(parts: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for vision, language in ((str(tmp_path / "empty"), str(parts["llama"])), (str(parts["clip"]), str(tmp_path / "empty"))):
        with pytest.raises(UserError, match="empty: cannot be loaded as a pretrained part"):
            build(TINY.replaced(vision_model=vision, language_model=language), CLEVR)
    with pytest.raises(UserError, match="cannot be loaded as a pretrained part"):
        build(TINY.replaced(vision_model=str(parts["llama"]), language_model=str(parts["clip"])), CLEVR)


@pytest.mark.parametrize("language", LANGUAGE)
def test_prompts_stand_in_the_chat_template(parts: dict[str, Path], language: str) -> None:
    tokenizer = build(made_on(parts, "clip", language), CLEVR)[1].tokenizer
    tokens = prompt_tokens(tokenizer)
    assert len({tuple(ids) for ids in tokens.asked}) == len(PROMPTS)
    before, after = tokenizer.decode(tokens.prefix), tokenizer.decode(tokens.asked[0])
    if language == "qwen2":
        assert before == "<|im_start|>user\n"
        assert after == f"\n{PROMPTS[0]}<|im_end|>\n<|im_start|>assistant\n"
    else:
        assert before.replace(" ", "").startswith("<s>Achatbetween")
        assert after.endswith(f"{PROMPTS[0]} ASSISTANT:")


@pytest.mark.parametrize("numbers", ["head", "char"])
@pytest.mark.parametrize("language", LANGUAGE)
def test_untrained_pairs_already_write_code_that_parses(parts: dict[str, Path], language: str, numbers: str) -> None:
    model, codec = build(made_on(parts, "clip", language, numbers=numbers), CLEVR)
    frame = Frame.of(model.config)
    for result in decode(model, codec, torch.randn(2, 3, frame.height, frame.width), prompt_tokens(codec.tokenizer).asked[0]):
        assert len(parse_code(result.code, CLEVR)) <= CLEVR.max_objects


def test_code_is_encoded_as_the_language_model_would_read_it(parts: dict[str, Path], renders: Samples) -> None:
    scene = renders[renders.keys[0]].scene
    for language in LANGUAGE:
        tokenizer = AutoTokenizer.from_pretrained(parts[language])
        tokenizer.add_tokens([NUM], special_tokens=True)
        codec = CodeCodec(CLEVR, tokenizer, "char")
        encoded = codec.encode(scene)
        assert codec.decode(encoded.ids, encoded.values) == write_code(scene, CLEVR)


def test_weights_of_another_run_are_taken_or_refused(parts: dict[str, Path], tmp_path: Path) -> None:
    aligned, codec = build(
        made_on(parts, "clip", "llama", numbers="char", freeze_vision=True, **BLIND),
        CLEVR,
        stage="align",
    )
    assert {name for name, p in aligned.named_parameters() if p.requires_grad} == {"projector.weight", "projector.bias"}
    aligned.save_pretrained(tmp_path / "aligned")
    codec.tokenizer.save_pretrained(tmp_path / "aligned")
    assert set(tensors_of(tmp_path / "aligned")) == {"projector.weight", "projector.bias"}
    for changes in (PAPER_LIKE, {}, {"numbers": "char"}):
        model, _ = build(made_on(parts, "clip", "llama", **changes), CLEVR)
        load_initial_weights(model, tmp_path / "aligned")
        assert torch.equal(model.projector.weight, aligned.projector.weight)
    other, _ = build(TINY, CLEVR)
    with pytest.raises(UserError, match="--init"):
        load_initial_weights(other, tmp_path / "aligned")


def test_a_model_can_be_pushed_to_the_hub(parts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for any transformers model, the files that `save_pretrained` writes are uploaded."""
    model, _ = build(made_on(parts, "clip", "llama", **PAPER_LIKE), CLEVR)
    uploaded: list[str] = []

    class Hub:
        repo_id = "me/model"

        def create_repo(self, *arguments: object, **keywords: object) -> Hub:
            return self

    def upload(self: IGLLM, working_dir: str, *arguments: object, **keywords: object) -> None:
        uploaded.extend(path.name for path in Path(working_dir).iterdir())

    monkeypatch.setattr("transformers.utils.hub.hf_api", Hub)
    monkeypatch.setattr("transformers.utils.hub.create_and_tag_model_card", lambda *arguments, **keywords: ModelCard("of mine"))
    monkeypatch.setattr(IGLLM, "_upload_modified_files", upload)
    model.push_to_hub("me/model")
    assert {"config.json", "model.safetensors"} <= set(uploaded)


def test_checkpoints_older_than_safetensors_are_taken_from_the_hubs_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pinned commit without safetensors: the hub keeps a conversion, which transformers finds from the main branch alone."""
    revisions: list[str] = []

    loaded = LlamaForCausalLM(LlamaConfig(**LAYERS, vocab_size=8))

    def from_pretrained(name: str, revision: str, **keywords: object) -> tuple[object, dict[str, set[str]]]:
        revisions.append(revision)
        assert keywords["use_safetensors"]
        if revision != "main":
            raise OSError(f"{name} does not appear to have a file named model.safetensors")
        return loaded, {"missing_keys": set()}

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", from_pretrained)
    monkeypatch.setattr("model.parts.pretrained.add_rows", lambda model, tokens: None)
    base = Base.named("lmsys/vicuna-7b-v1.3@0123abc")
    assert (base.name, base.revision) == ("lmsys/vicuna-7b-v1.3", "0123abc")
    assert base.load_language_model(LlamaConfig(), torch.float32) is loaded
    assert revisions == ["0123abc", "main"]
