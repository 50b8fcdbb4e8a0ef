"""Folders of trained models from unknown sources, given to `igllm predict`: each ends in one message that names the folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig

import igllm
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from model.config import PROMPT, IGLLMConfig
from model.igllm import IGLLM
from model.load import WEIGHTS, Loaded, load_model
from model.prediction.predict import Predictor
from model.tokens.codec import NUM
from model.tokens.prompts import prompt_tokens
from model.tokens.tokenizer import domain_tokenizer

RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1], "layer_type": "basic"}
CONVNEXT = {"model_type": "convnext", "patch_size": 16, "hidden_sizes": [8] * 4, "depths": [1] * 4}
VIT_MAE = {
    "model_type": "vit_mae",
    "image_size": 128,
    "patch_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
LLAMA = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the shipped model, to spoil."""
    return Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "model"))


def change(path: Path, harm: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    harm(content)
    path.write_text(json.dumps(content))


def save(folder: Path, vision: dict[str, Any] = RESNET, text: dict[str, Any] = LLAMA) -> Path:
    """Save a new model of these parts; its configuration and weights agree."""
    tokenizer = domain_tokenizer(get_domain("dot2d"), [PROMPT])
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = IGLLMConfig(
        vision_config=AutoConfig.for_model(**vision),
        text_config=AutoConfig.for_model(**text, vocab_size=len(tokenizer), **ids),
        domain="dot2d",
        image_height=128,
        image_width=128,
        prefix_token_ids=prompt_tokens(tokenizer, [PROMPT]).prefix,
        num_token_id=tokenizer.convert_tokens_to_ids(NUM),
    )
    torch.manual_seed(0)
    IGLLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def predict(folder: Path) -> int:
    image = folder.parent / "image.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(image)
    return igllm.main(["predict", "--model", str(folder), "--images", str(image), "--device", "cpu"])


@pytest.mark.parametrize(("table", "when"), [("", "read"), ("////f" + "A" * 1000, "read"), ("AAAAAAAA", "used")])
def test_what_panics_in_rust_is_one_message(shipped: Path, table: str, when: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A panic is no `Exception`, and Rust prints it by itself."""
    table_of_old = {"type": "Precompiled", "precompiled_charsmap": table}
    normalizer = {"type": "Sequence", "normalizers": [{"type": "NFC"}, table_of_old]}
    change(shipped / "tokenizer.json", lambda rules: rules.update(normalizer=normalizer))
    assert predict(shipped) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"igllm predict: {shipped}")
    assert ("tokenizer.json: it cannot be applied (Precompiled" if when == "read" else "cannot be applied (index out of bounds") in line


@pytest.mark.parametrize("positions", [12, 60])  # fewer than the prompt has, or than it has with the answer
def test_a_model_that_cannot_compute_is_one_message(tmp_path: Path, positions: int, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "model", text={"model_type": "gpt2", "n_positions": positions, "n_embd": 16, "n_layer": 1, "n_head": 2})
    capsys.readouterr()
    assert predict(folder) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"igllm predict: {folder}: this model cannot be run: its configuration and weights do not go together (")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"image_height": 64}, "the tower's patches are larger than its frame of 64 x 128 pixels"),
        ({"image_height": 160}, "vision_merge=2 does not divide the tower's map of 1 x 1 cells"),
        ({"vision_config": VIT_MAE}, "it gives 5 tokens of 16 numbers, which are not one for each place of a map"),
    ],
)
def test_a_tower_that_cannot_see_is_one_message(
    tmp_path: Path, stated: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(tmp_path / "model", CONVNEXT)
    change(folder / "config.json", lambda config: config.update({"vision_merge": 2} | stated))
    capsys.readouterr()
    assert predict(folder) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"igllm predict: {folder}: ")
    assert message in line


def test_a_fault_of_the_shipped_model_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Iterator[Any]:
        raise IndexError("broken")

    monkeypatch.setattr("model.prediction.predict.decode", broken)
    loaded = load_model(WEIGHTS / "tiny", "cpu")
    images = [("a", np.zeros((64, 64, 3), np.uint8))]
    with pytest.raises(IndexError):
        list(Predictor.around(loaded).predict(images))
    with pytest.raises(UserError, match="someones: this model cannot be run"):
        list(Predictor.around(Loaded(loaded.model, loaded.codec, "someones", loaded.digest)).predict(images))


def test_too_little_memory_is_told_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    def large(*_: object, **__: object) -> Iterator[Any]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("model.prediction.predict.decode", large)
    images = [(str(i), np.zeros((64, 64, 3), np.uint8)) for i in range(3)]
    with pytest.raises(UserError, match=r"not enough memory for 2 images at a time; give a smaller --batch-size"):
        list(Predictor.around(load_model(WEIGHTS / "tiny", "cpu")).predict(images, batch_size=2))


@pytest.mark.parametrize(
    ("field", "value"), [("vision_config.use_return_dict", False), ("text_config.use_return_dict", True), ("sub_configs", {"x": 1})]
)
def test_a_field_that_cannot_be_set_is_one_line(shipped: Path, field: str, value: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Transformers alone would print the whole configuration."""

    def harm(config: dict[str, Any]) -> None:
        *within, name = field.split(".")
        (config[within[0]] if within else config)[name] = value

    change(shipped / "config.json", harm)
    assert predict(shipped) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"igllm predict: {shipped}: ")
    assert field.rpartition(".")[2] in line


@pytest.mark.parametrize("end", [NUM, "dot(loc=("])
def test_a_number_or_a_word_of_the_code_does_not_end_it(tmp_path: Path, end: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With such an end token, an answer would end at its first number or word."""
    folder = save(tmp_path / "model")
    number = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"][end]
    change(folder / "tokenizer_config.json", lambda config: config.update(eos_token=end))
    change(folder / "config.json", lambda config: config["text_config"].update(eos_token_id=number))  # so that both files agree
    capsys.readouterr()
    assert predict(folder) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"igllm predict: {folder}: the tokenizer ends texts with {end!r}, which ")


def test_files_that_give_a_token_two_numbers_are_refused(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused whichever of the two a library would use."""
    decoder = {"4": {"content": NUM, "special": True}, "9": {"content": NUM, "special": True}}
    change(shipped / "tokenizer_config.json", lambda config: config.update(added_tokens_decoder=decoder))
    assert predict(shipped) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{shipped}: its tokenizer's files give '[NUM]' the number 4 and the number 9" in line
