"""Pretrained parts that anybody may have made: nothing in them is run, nothing beside them is read, and no number is believed."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from payload import Payload
from pretrained_parts import clip, llama, qwen2
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, ConvNextConfig, ConvNextModel, GPTJConfig, PvtConfig, PvtModel, SwinConfig, SwinModel

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from model.build import build, plan
from model.extent import Extent, numbers_of_an_image, within
from model.igllm import IGLLM
from model.load import WEIGHTS, load_model
from model.parts.pretrained import Base
from model.prediction.predict import Predictor
from model.preset import Preset, get_preset

CLEVR = get_domain("clevr")
CONNECTED: list[object] = []
sys.addaudithook(lambda event, arguments: CONNECTED.append(arguments) if event in ("socket.connect", "socket.getaddrinfo") else None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    torch.manual_seed(1)
    return {"clip": clip(folder / "clip"), "llama": llama(folder / "llama"), "qwen2": qwen2(folder / "qwen2")}


@pytest.fixture
def parts(made: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copies that a test may spoil."""
    return {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in made.items()}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What no payload may make, while every prompt is answered by yes."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    CONNECTED.clear()
    yield tmp_path / "RUN"
    assert not (tmp_path / "RUN").exists()
    assert not CONNECTED


def on(parts: dict[str, Path], **changes: Any) -> Preset:
    blind = {"augment": False, "dense_weight": 0.0, "number_cells": False, "word_cells": False}
    return get_preset("tiny").replaced(vision_model=str(parts["clip"]), language_model=str(parts["llama"]), **blind, **changes)


def change(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | fields))


def code(folder: Path, canary: Path) -> None:
    text = f"open({str(canary)!r}, 'w')\nclass X: pass\ndef generate(*a, **k): pass\n"
    (folder / "evil.py").write_text(text)
    (folder / "custom_generate").mkdir(exist_ok=True)
    (folder / "custom_generate" / "generate.py").write_text(text)


def sharded_pickle(folder: Path, canary: Path) -> None:
    """What makes transformers read a distributed checkpoint, whose ``.metadata`` is a pickle."""
    shutil.copy(folder / "model.safetensors", folder / "shard-00000-model-00001-of-00001.safetensors")
    (folder / ".metadata").write_bytes(pickle.dumps(Payload(canary)))


def old_pickles(folder: Path, canary: Path) -> None:
    for name in ("pytorch_model.bin", "adapter_model.bin", "training_args.bin", "model.pt"):
        (folder / name).write_bytes(pickle.dumps(Payload(canary)))


def named_code(folder: Path, canary: Path) -> None:
    code(folder, canary)
    named = {"AutoConfig": "evil.X", "AutoModel": "evil.X", "AutoModelForCausalLM": "evil.X", "AutoTokenizer": ["evil.X", "evil.X"]}
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "generation_config.json"):
        if (folder / name).exists():
            change(folder / name, auto_map=named)
    change(folder / "generation_config.json", custom_generate="evil", max_new_tokens=10**9, num_beams=10**6)


def kernels(folder: Path, canary: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    switches = {name: "kernels-community/flash-attn" for name in ("attn_implementation", "_attn_implementation")}
    switches |= {
        "_attn_implementation_internal": "someone/kernel",
        "use_kernels": True,
        "kernel_config": {"RMSNorm": "someone/kernel:Norm"},
    }
    for at in ("vision_config", "text_config"):
        if at in config:
            config[at] |= switches
    (folder / "config.json").write_text(json.dumps(config | switches))


def files_elsewhere(folder: Path, canary: Path) -> None:
    canary.with_name("elsewhere").mkdir()
    if (folder / "tokenizer_config.json").exists():
        stated = {
            name: str(canary.with_name("elsewhere") / "x") for name in ("tokenizer_file", "vocab_file", "merges_file", "name_or_path")
        }
        change(folder / "tokenizer_config.json", init_inputs=[str(canary)], fast_tokenizer_files=["tokenizer.9/../../x.json"], **stated)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "other.jinja").write_text("{{ 1 / 0 }}")


def assert_equal(parts: dict[str, Path], others: dict[str, Path]) -> None:
    """The same models come of both."""
    states = []
    for each in (parts, others):
        torch.manual_seed(0)
        states.append(build(on(each), CLEVR)[0].state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("harm", [sharded_pickle, old_pickles, named_code, kernels, files_elsewhere])
def test_what_lies_beside_a_part_changes_nothing(
    parts: dict[str, Path], made: dict[str, Path], canary: Path, harm: Callable[[Path, Path], None]
) -> None:
    for name in ("clip", "llama"):
        harm(parts[name], canary)
        shutil.rmtree(canary.with_name("elsewhere"), ignore_errors=True)
    assert_equal(parts, made)
    tokenizer, other = (build(on(each), CLEVR)[1].tokenizer for each in (parts, made))
    assert tokenizer.get_vocab() == other.get_vocab()
    assert tokenizer.chat_template == other.chat_template


@pytest.mark.parametrize("harm", [sharded_pickle, old_pickles, kernels, named_code])
def test_what_lies_beside_a_model_changes_nothing(canary: Path, tmp_path: Path, harm: Callable[[Path, Path], None]) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "copy"))
    harm(folder, canary)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "someone/base"}))
    expected = load_model(WEIGHTS / "tiny", "cpu").model.state_dict()
    for model in (load_model(folder, "cpu").model, IGLLM.from_pretrained(folder, dtype=torch.float32)):
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("adapter_config.json", {"peft_type": "LORA", "base_model_name_or_path": "someone/base"}, "adapter_config.json"),
        ("config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}, "quantization_config"),
        ("config.json", {"transformers_weights": "../x.safetensors"}, "transformers_weights"),
        ("config.json", {"dtype": "load"}, "dtype is 'load'"),
        ("config.json", {"torch_dtype": "hub"}, "torch_dtype is 'hub'"),
        ("config.json", {"model_type": "no such"}, "no such"),
        ("config.json", {"num_hidden_layers": 10**7}, "num_hidden_layers"),
        ("config.json", {"num_hidden_layers": 10**7 + 0.0}, "num_hidden_layers"),
        ("config.json", {"num_labels": 10**9}, "num_labels"),
        ("config.json", {"num_hidden_layers": 9_999}, "model.safetensors holds"),
        ("config.json", {"num_hidden_layers": 4}, "lack"),
        ("config.json", {"hidden_size": 10**9}, "llama"),
        ("config.json", {"intermediate_size": 10**10}, "model.safetensors holds"),
        ("config.json", {"vocab_size": 10**10}, "model.safetensors holds"),
        ("config.json", {"vocab_size": 10**19}, "llama"),
        ("config.json", {"hidden_size": -32}, "llama"),
        ("config.json", {"hidden_size": "wide"}, "hidden_size"),
        ("config.json", {"rope_parameters": {"rope_type": "no such"}}, "llama"),
        ("tokenizer_config.json", {"tokenizer_class": 7}, "llama"),
        ("tokenizer_config.json", {"chat_template": "{{ 'x' * 999999999 }}"}, "chat template"),
        ("tokenizer_config.json", {"chat_template": 5}, r"tokenizer_config.json: chat_template is 5"),
        ("tokenizer_config.json", {"chat_template": [5]}, r"tokenizer_config.json: chat_template\[0\] is 5"),
        ("tokenizer_config.json", {"chat_template": {"default": 5}}, r"tokenizer_config.json: chat_template.default is 5"),
        ("tokenizer_config.json", {"chat_template": [{"name": "default"}]}, "template is missing"),
        ("tokenizer_config.json", {"chat_template": [{"name": "../../RUN", "template": "x"}]}, r'chat_template\[0\].name is "../../RUN"'),
        ("tokenizer_config.json", {"chat_template": {"../../RUN": "x"}}, "a key is"),
        ("tokenizer_config.json", {"model_max_length": "x"}, 'model_max_length is "x"'),
        ("tokenizer_config.json", {"model_max_length": [1]}, r"model_max_length is \[1\]"),
        ("tokenizer_config.json", {"eos_token": "[NUM]"}, r"llama: the tokenizer ends texts with '\[NUM\]'"),
        ("tokenizer_config.json", {"eos_token": '"red"'}, "ends texts with|cannot"),
        ("added_tokens.json", {"</s>": 7}, "give '</s>' the number"),
    ],
)
def test_what_a_part_may_not_ask_for_is_one_message(
    parts: dict[str, Path], canary: Path, name: str, fields: dict[str, Any], message: str
) -> None:
    change(parts["llama"] / name, **fields)
    with pytest.raises(UserError, match=message) as told:
        build(on(parts), CLEVR)
    assert str(told.value).count("\n") == 0


def test_a_tokenizer_of_another_model_takes_no_memory(parts: dict[str, Path], canary: Path) -> None:
    """Its numbers would be rows of the embedding."""
    shutil.rmtree(parts["llama"])
    parts["qwen2"].rename(parts["llama"])
    rules = json.loads((parts["llama"] / "tokenizer.json").read_text())
    vocabulary = rules["model"]["vocab"]
    vocabulary |= {f"t{i}": len(vocabulary) + i for i in range(20_000)}
    for token in rules["added_tokens"]:
        token["id"] = vocabulary.get(token["content"], token["id"] + 20_000)
    (parts["llama"] / "tokenizer.json").write_text(json.dumps(rules))
    change(parts["llama"] / "tokenizer_config.json", added_tokens_decoder={})
    with pytest.raises(UserError, match="they do not belong together"):
        build(on(parts), CLEVR)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "added_tokens.json"])
def test_more_added_tokens_than_tokenizers_have_are_refused_before_they_are_read(parts: dict[str, Path], canary: Path, name: str) -> None:
    """Reading 300,000 took 27 s and 1.2 GB."""
    file = parts["qwen2"] / name
    token = {"content": "", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    contents = {f"<t{i}>": 1000 + i for i in range(10_001)}
    if name == "added_tokens.json":
        stated = contents
    elif name == "tokenizer.json":
        stated = json.loads(file.read_text()) | {"added_tokens": [token | {"content": c, "id": i} for c, i in contents.items()]}
    else:
        stated = json.loads(file.read_text()) | {"added_tokens_decoder": {str(i): token | {"content": c} for c, i in contents.items()}}
    file.write_text(json.dumps(stated))
    with pytest.raises(UserError, match=rf"{name}.*10,?000"):
        Base.named(str(parts["qwen2"])).tokenizer()


def many_words() -> dict[str, int]:
    return {f"w{i:07x}": i for i in range(500_001)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", lambda: {"model": {"type": "WordLevel", "vocab": many_words()}}),
        ("tokenizer.json", lambda: {"model": {"type": "Unigram", "vocab": [["a", 0]] * 500_001}}),
        ("tokenizer.json", lambda: {"model": {"type": "BPE", "vocab": {}, "merges": ["a b"] * 1_000_001}}),
        ("vocab.json", many_words),
        ("vocab.txt", lambda: "a\n" * 500_001),
        ("merges.txt", lambda: "a b\n" * 1_000_001),
        ("tokenizer_config.json", lambda: {"extra_special_tokens": [f"<{i}>" for i in range(10_001)]}),
        ("tokenizer_config.json", lambda: {"additional_special_tokens": [f"<{i}>" for i in range(10_001)]}),
        ("tokenizer_config.json", lambda: {"extra_special_tokens": {f"t{i}": f"<{i}>" for i in range(10_001)}}),
        ("tokenizer_config.json", lambda: {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 20_000_000}),
        ("tokenizer_config.json", lambda: {"tokenizer_class": "T5Tokenizer", "extra_ids": 10**30}),
        ("tokenizer_config.json", lambda: {"tokenizer_class": "PegasusTokenizer", "offset": 10_001}),
        ("tokenizer_config.json", lambda: {"tokenizer_class": "XGLMTokenizer", "num_madeup_words": 1e12}),
    ],
)
def test_more_words_than_vocabularies_have_are_refused_before_they_are_read(
    parts: dict[str, Path], canary: Path, name: str, content: Callable[[], Any]
) -> None:
    """Three million words took a minute and 2 GB, twenty million made-up ones never ended."""
    made = content()
    (parts["llama"] / name).write_text(made if isinstance(made, str) else json.dumps(made))
    if name != "tokenizer.json":
        (parts["llama"] / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match=rf"{name}.*(1,?000,?000|500,?000|10,?000|a whole number)") as told:
        build(on(parts), CLEVR)
    assert len(str(told.value)) < 600


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch_size": 0}, "clip"),
        ({"image_size": 10**6}, "clip"),
        ({"num_hidden_layers": 5_000}, "model.safetensors holds"),
        ({"hidden_size": 2**40}, "clip"),
        ({"intermediate_size": 2**40}, "model.safetensors holds"),
    ],
)
def test_numbers_of_a_tower_are_held_against_its_weights(
    parts: dict[str, Path], canary: Path, fields: dict[str, Any], message: str
) -> None:
    stated = json.loads((parts["clip"] / "config.json").read_text())
    change(parts["clip"] / "config.json", vision_config=stated["vision_config"] | fields)
    with pytest.raises(UserError, match=message):
        build(on(parts), CLEVR)


@pytest.mark.parametrize(
    "statistics",
    [{"image_mean": 0.5}, {"image_mean": [0.5] * 4}, {"image_std": [0.0] * 3}, {"image_std": ["x"] * 3}, {"image_mean": [1e300] * 3}],
)
def test_statistics_that_are_none_are_named(parts: dict[str, Path], canary: Path, statistics: dict[str, Any]) -> None:
    change(parts["clip"] / "preprocessor_config.json", size={"height": 10**6}, resample=99, **statistics)
    with pytest.raises(UserError, match=next(iter(statistics))):
        build(on(parts), CLEVR)


def on_the_hub(folder: Path, name: str, cache: Path) -> Path:
    """A folder as the hub's cache holds it; the files of its commit, links to blobs."""
    kept, commit = cache / f"models--{name.replace('/', '--')}", "a" * 40
    for part in ("refs", "blobs", f"snapshots/{commit}"):
        (kept / part).mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    for path in folder.iterdir():
        shutil.copy(path, kept / "blobs" / path.name)
        (kept / "snapshots" / commit / path.name).symlink_to(f"../../blobs/{path.name}")
    return kept / "blobs"


def test_a_model_of_the_hub_goes_through_the_same_doors(
    parts: dict[str, Path], made: dict[str, Path], canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    files = {name: on_the_hub(parts[name], f"some/{name}", tmp_path / "hub") for name in ("clip", "llama")}
    snapshot = next((tmp_path / "hub" / "models--some--llama" / "snapshots").iterdir())
    named_code(snapshot, canary)
    old_pickles(snapshot, canary)
    names = {"clip": Path("some/clip"), "llama": Path("some/llama")}
    assert_equal(names, made)
    change(files["llama"] / "config.json", num_hidden_layers=2)
    with pytest.raises(UserError, match=r"some/llama: its weights hold model\.layers\.2"):
        build(on(names), CLEVR)
    change(files["llama"] / "config.json", num_hidden_layers=9_999)
    with pytest.raises(UserError, match=r"model\.safetensors holds"):
        build(on(names), CLEVR)
    (files["llama"] / "model.safetensors").write_bytes(header(b"{}", 2**62))
    with pytest.raises(UserError, match=r"model.safetensors: damaged"):
        build(on(names), CLEVR)
    (files["llama"] / "tokenizer.model").unlink()
    os.mkfifo(files["llama"] / "tokenizer.model")
    with pytest.raises(UserError, match=r"tokenizer.model: is not there, or no file"):
        build(on(names), CLEVR)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m.content[:7] }}{% endfor %}", "drops or changes the question"),
        ("{% for m in messages %}{{ m.content | lower }}{% endfor %}", "drops or changes the question"),
        ("hello", "drops what the user says"),
        ("{{ messages[0].content.split('\\n')[1] }}<image>", "drops or changes the question"),
    ],
)
def test_a_chat_template_that_does_not_ask_is_refused_before_training(
    parts: dict[str, Path], canary: Path, template: str, message: str
) -> None:
    change(parts["llama"] / "tokenizer_config.json", chat_template=template)
    with pytest.raises(UserError, match=message) as told:
        plan(on(parts), CLEVR)
    assert str(told.value).startswith(str(parts["llama"]))


def test_an_answer_ends_with_the_tokenizers_token_and_the_model_says_so(parts: dict[str, Path], canary: Path) -> None:
    """Checkpoints may end texts with several, or with none."""
    change(parts["llama"] / "config.json", eos_token_id=[5, 7])
    planned = plan(on(parts), CLEVR)
    assert planned.config.text_config.eos_token_id == planned.codec.tokenizer.eos_token_id


@pytest.mark.parametrize("number", [7, 10**9, 2**40, -1])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_numbers_of_added_tokens_are_those_that_they_get(parts: dict[str, Path], canary: Path, name: str, number: int) -> None:
    """Which tokenizers gives as it likes where others are stated."""
    path = parts["qwen2"] / name
    stated = json.loads(path.read_text())
    token = {"content": "<zz>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    if name == "tokenizer.json":
        stated["added_tokens"].append(token | {"id": number})
    else:
        stated["added_tokens_decoder"] = {str(number): token}
    path.write_text(json.dumps(stated))
    with pytest.raises(UserError, match=r"qwen2.*(the number|added_tokens|cannot be loaded)"):
        Base.named(str(parts["qwen2"])).tokenizer()


@pytest.mark.parametrize("content", [b"\xff" * 1000, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 10_000])
def test_a_sentencepiece_model_that_is_none_is_called_that(parts: dict[str, Path], canary: Path, content: bytes) -> None:
    (parts["llama"] / "tokenizer.model").write_bytes(content)
    with pytest.raises(UserError, match=r"llama.*its tokenizer\.model is damaged"):
        Base.named(str(parts["llama"])).tokenizer()


@pytest.mark.parametrize(("name", "most"), [("tokenizer.model", 8_000_000), ("tokenizer.json", 64_000_000)])
def test_a_tokenizers_file_without_end_is_not_read(parts: dict[str, Path], canary: Path, name: str, most: int) -> None:
    with (parts["llama"] / name).open("wb") as stream:
        stream.truncate(most + 1)
    with pytest.raises(UserError, match=rf"{name}: has {most + 1:,} bytes; such a file has at most {most:,}"):
        Base.named(str(parts["llama"])).tokenizer()


def convnext(folder: Path) -> None:
    ConvNextModel(ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4)).save_pretrained(folder)


def swin(folder: Path) -> None:
    SwinModel(SwinConfig(embed_dim=12, depths=[1, 1], num_heads=[1, 2], image_size=64)).save_pretrained(folder)


def pvt(folder: Path) -> None:
    sizes = {"hidden_sizes": [8] * 4, "num_attention_heads": [1] * 4, "depths": [1] * 4}
    PvtModel(PvtConfig(**sizes, image_size=64)).save_pretrained(folder)


@pytest.mark.parametrize("make", [convnext, swin, pvt, "llama"])
def test_a_tower_that_cannot_be_used_is_told_which_can(parts: dict[str, Path], canary: Path, make: Any) -> None:
    if callable(make):
        shutil.rmtree(parts["clip"])
        make(parts["clip"])
    else:
        parts["clip"] = parts[make]
    with pytest.raises(UserError, match=r"towers that can be used are .*CLIP, SigLIP, DINOv2, ViT .*ResNet, RegNet") as told:
        build(on(parts), CLEVR)
    assert str(told.value).startswith(str(parts["clip"]))
    assert "object has no attribute" not in str(told.value)


HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("preprocessor_config.json", "{", "is not JSON"),
        ("preprocessor_config.json", "[]", "a JSON object is expected"),
        ("preprocessor_config.json", '"x"', "a JSON object is expected"),
        ("preprocessor_config.json", "{}", "image_mean is missing"),
        ("preprocessor_config.json", json.dumps({"image_mean": [0.5] * 3}), "image_std is missing"),
        ("preprocessor_config.json", json.dumps({"image_std": [0.5] * 3}), "image_mean is missing"),
        ("preprocessor_config.json", json.dumps(HALF | {"image_std": [1e-300] * 3}), "image_std"),
        ("preprocessor_config.json", json.dumps(HALF | {"image_std": [-0.5] * 3}), "image_std"),
        ("preprocessor_config.json", json.dumps(HALF | {"image_std": [float("nan")] * 3}), "NaN"),
        ("preprocessor_config.json", json.dumps(HALF | {"rescale_factor": 1.0}), "not in"),
        ("preprocessor_config.json", json.dumps(HALF | {"do_rescale": False}), "not in"),
        ("preprocessor_config.json", json.dumps(HALF | {"do_normalize": "no"}), "do_normalize"),
        ("preprocessor_config.json", json.dumps({"x": "y" * 10_000_000}), "has 10,000,009 bytes"),
        ("processor_config.json", json.dumps({"image_processor": []}), "image_processor"),
        ("processor_config.json", json.dumps({"image_processor": {"image_mean": [0.5] * 3}}), "image_std is missing"),
    ],
)
def test_a_preprocessors_file_that_cannot_be_followed_is_one_message(
    parts: dict[str, Path], canary: Path, name: str, content: str, message: str
) -> None:
    """And CLIP's own statistics are not taken in silence."""
    (parts["clip"] / name).write_text(content)
    with pytest.raises(UserError, match=message) as told:
        Base.named(str(parts["clip"])).image_statistics()
    assert str(parts["clip"] / name) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"processor_config.json": {"processor_class": "CLIPProcessor"}}, None),
        ({"preprocessor_config.json": HALF | {"size": {"shortest_edge": 9}, "resample": 99}}, ([0.5] * 3, [0.5] * 3)),
        ({"preprocessor_config.json": HALF, "processor_config.json": {"image_processor": {"do_normalize": False}}}, ([0.0] * 3, [1.0] * 3)),
        ({"preprocessor_config.json": HALF | {"do_normalize": True, "rescale_factor": 0.00392156862745098}}, ([0.5] * 3, [0.5] * 3)),
    ],
)
def test_a_preprocessors_file_is_followed(parts: dict[str, Path], canary: Path, files: dict[str, Any], expected: Any) -> None:
    (parts["clip"] / "preprocessor_config.json").unlink()
    for name, content in files.items():
        (parts["clip"] / name).write_text(json.dumps(content))
    assert Base.named(str(parts["clip"])).image_statistics() == expected


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_that_are_no_floating_point_numbers_are_refused(
    parts: dict[str, Path], canary: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "copy"))
    for where, name in ((parts["llama"], "model.layers.0.mlp.up_proj.weight"), (folder, "projector.weight")):
        weights = load_file(where / "model.safetensors")
        weights[name] = weights[name].to(dtype)
        save_file(weights, where / "model.safetensors", {"format": "pt"})
    said = r"model.safetensors: {} is of \w+ numbers; weights are read of F64, F32, F16, BF16"
    with pytest.raises(UserError, match=said.format("model.layers.0.mlp.up_proj.weight")):
        Base.named(str(parts["llama"])).extent()
    with pytest.raises(UserError, match=said.format("projector.weight")):
        load_model(folder, "cpu")


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        ("clip", {"num_hidden_layers": 2}, "its weights hold encoder.layers.2."),
        ("clip", {"patch_size": 32}, "describes embeddings.patch_embedding.weight as 32 x 3 x 32 x 32, but the weights' file holds"),
        ("clip", {"image_size": 32}, "describes embeddings.position_embedding.weight as 5 x 32, but the weights' file holds 17 x 32"),
        ("llama", {"num_hidden_layers": 2}, "its weights hold model.layers.2."),
        ("llama", {"intermediate_size": 32}, "mlp.down_proj.weight as 32 x 32, but the weights' file holds 32 x 64"),
    ],
)
def test_weights_are_all_taken_or_the_part_is_refused(
    parts: dict[str, Path], canary: Path, part: str, fields: dict[str, Any], message: str
) -> None:
    path = parts[part] / "config.json"
    stated = json.loads(path.read_text())
    within = stated.get("vision_config", stated)
    within |= fields
    path.write_text(json.dumps(stated))
    with pytest.raises(UserError, match=re.escape(message)) as told:
        build(on(parts), CLEVR)
    assert str(told.value).startswith(str(parts[part]))


@pytest.mark.parametrize("harm", ["not there", "in the other file", "in both files", "not listed"])
def test_an_index_says_what_its_files_hold_no_more_and_no_less(parts: dict[str, Path], canary: Path, harm: str) -> None:
    folder = parts["llama"]
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = [dict(list(weights.items())[i::2]) for i in range(2)]
    where = {weight: f"model-{i}.safetensors" for i, half in enumerate(halves) for weight in half}
    moved = min(halves[0])
    if harm == "not there":
        del halves[0][moved]
    elif harm == "not listed":
        del where[moved]
    elif harm == "in both files":
        halves[1][moved] = halves[0][moved] + 1
    else:
        halves[1][moved] = halves[0].pop(moved)
    for i, half in enumerate(halves):
        save_file(half, folder / f"model-{i}.safetensors", {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    with pytest.raises(UserError, match=f"{moved}.*they do not belong together"):
        Base.named(str(folder)).extent()


@pytest.mark.parametrize("named", ["../model.safetensors", "/etc/passwd", "gone.safetensors", "model.bin", 7, "a\nb.safetensors"])
def test_an_index_names_files_of_its_folder(parts: dict[str, Path], canary: Path, named: Any) -> None:
    weights = load_file(parts["llama"] / "model.safetensors")
    (parts["llama"] / "model.safetensors").rename(parts["llama"].parent / "model.safetensors")
    index = parts["llama"] / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, named)}))
    with pytest.raises(UserError, match=r"model.safetensors.index.json: (weight_map )?names") as told:
        build(on(parts), CLEVR)
    assert "\n" not in str(told.value)


def test_shards_and_links_are_read(parts: dict[str, Path], made: dict[str, Path], canary: Path) -> None:
    """As `save_pretrained` and the hub's cache have them."""
    folder = parts["llama"]
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = {f"model-{i}-of-2.safetensors": dict(list(weights.items())[i::2]) for i in range(2)}
    (folder.parent / "blobs").mkdir()
    for name, half in halves.items():
        save_file(half, folder.parent / "blobs" / name, {"format": "pt"})
        (folder / name).symlink_to(folder.parent / "blobs" / name)
    where = {weight: name for name, half in halves.items() for weight in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    assert_equal(parts, made)


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def tensors(**stated: tuple[list[int], list[int]]) -> bytes:
    """A file of float32 tensors of those shapes and offsets, and eight bytes of data."""
    described = {name: {"dtype": "F32", "shape": shape, "data_offsets": offsets} for name, (shape, offsets) in stated.items()}
    return header(json.dumps(described).encode()) + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        header(b"{}", 2**62),
        header(b"{}", 2**64 - 1),
        header(b"[]"),
        header(b'{"a":{}}'),
        header(b'{"a":' + b"[" * 99_995),
        tensors(a=([10**12, 10**9], [0, 8])),
        tensors(a=([2], [0, 2**62])),
        tensors(a=([1], [0, 4]), b=([1], [2, 6])),
    ],
    ids=range(9),
)
def test_a_weights_file_that_is_none_is_one_message(parts: dict[str, Path], canary: Path, tmp_path: Path, content: bytes) -> None:
    (parts["llama"] / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        build(on(parts), CLEVR)
    folder = Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "copy"))
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_model(folder, "cpu")


def test_buffers_and_what_no_one_registers_are_held_against_the_weights() -> None:
    """A hundred million places of GPT-J are no parameter, and took 17 GB; some models keep such a table as a plain attribute."""
    small = {"n_embd": 32, "n_layer": 1, "n_head": 1, "rotary_dim": 32, "vocab_size": 64}
    extent = Extent(2**24, 1000, "the file holds less")
    with within(extent, "x"):
        AutoModelForCausalLM.from_config(GPTJConfig(n_positions=2048, **small))
    with pytest.raises(UserError, match=r"x: describes a model of at least 3,2.*the file holds less"), within(extent, "x"):
        AutoModelForCausalLM.from_config(GPTJConfig(n_positions=10**8, **small))
    with pytest.raises(UserError, match="the file holds less"), within(extent, "x"):
        nn.Sequential(nn.Identity())[0].table = torch.zeros(2**25)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_height": 8192, "image_width": 8192}, "cells of an image"),
        ({"vision_config.embedding_size": 2**15}, "model.safetensors"),
        ({"text_config.max_seq_len": 10**8}, "max_seq_len is 1e\\+08"),
    ],
)
def test_what_an_image_would_take_is_told_before_it_is_read(canary: Path, tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "tiny"))
    (folder / "whole.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    for path, value in fields.items():
        *parts, name = path.split(".")
        (config[parts[0]] if parts else config)[name] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        load_model(folder)


def test_no_more_images_are_read_at_once_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    predictor = Predictor.around(replace(load_model(WEIGHTS / "tiny", "cpu"), most_images=2))
    monkeypatch.setattr(predictor, "_read", lambda keys, *_: read.append(len(keys)) or iter(()))
    list(predictor.predict([(str(i), np.zeros((8, 8, 3), np.uint8)) for i in range(5)], batch_size=4))
    assert read == [2, 2, 1]


def test_a_wider_tower_reads_fewer_images_at_once() -> None:
    def see(width: int) -> int:
        with torch.device("meta"):
            return numbers_of_an_image(nn.Conv2d(3, width, 1), (64, 64), "x")

    assert see(8) == 8 * 64 * 64
    with pytest.raises(UserError, match="x: makes 134,217,728 numbers of an image"):
        see(2**15)
