"""Pretrained parts from unknown sources: no code in them is run, no file beside them is read, and what they may not request is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from payload import Payload
from spoiled_parts import assert_equal, change, preset_on

from datagen.domains.clevr import CLEVR
from datagen.errors import UserError
from model.build import build
from model.igllm import IGLLM
from model.load import WEIGHTS, load_model


def code(folder: Path, canary: Path) -> None:
    text = f"open({str(canary)!r}, 'w')\nclass X: pass\ndef generate(*a, **k): pass\n"
    (folder / "evil.py").write_text(text)
    (folder / "custom_generate").mkdir(exist_ok=True)
    (folder / "custom_generate" / "generate.py").write_text(text)


def sharded_pickle(folder: Path, canary: Path) -> None:
    """Make a part look like a distributed checkpoint, whose ``.metadata`` is a pickle."""
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


@pytest.mark.parametrize("harm", [sharded_pickle, old_pickles, named_code, kernels, files_elsewhere])
def test_what_lies_beside_a_part_changes_nothing(
    own_parts: dict[str, Path], saved_parts: dict[str, Path], canary: Path, harm: Callable[[Path, Path], None]
) -> None:
    for name in ("clip", "llama"):
        harm(own_parts[name], canary)
        shutil.rmtree(canary.with_name("elsewhere"), ignore_errors=True)
    assert_equal(own_parts, saved_parts)
    tokenizer, other = (build(preset_on(each), CLEVR)[1].tokenizer for each in (own_parts, saved_parts))
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
        ("tokenizer_config.json", {"chat_template": "{{ 'x' * 9999999999 }}"}, "chat template"),
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
    own_parts: dict[str, Path], canary: Path, name: str, fields: dict[str, Any], message: str
) -> None:
    change(own_parts["llama"] / name, **fields)
    with pytest.raises(UserError, match=message) as raised:
        build(preset_on(own_parts), CLEVR)
    assert str(raised.value).count("\n") == 0


def on_the_hub(folder: Path, name: str, cache: Path) -> Path:
    """Copy a folder into a cache laid out as the hub's; returns the folder of blobs."""
    kept, commit = cache / f"models--{name.replace('/', '--')}", "a" * 40
    for part in ("refs", "blobs", f"snapshots/{commit}"):
        (kept / part).mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    for path in folder.iterdir():
        shutil.copy(path, kept / "blobs" / path.name)
        (kept / "snapshots" / commit / path.name).symlink_to(f"../../blobs/{path.name}")
    return kept / "blobs"


def test_a_model_of_the_hub_goes_through_the_same_doors(
    own_parts: dict[str, Path], saved_parts: dict[str, Path], canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    files = {name: on_the_hub(own_parts[name], f"some/{name}", tmp_path / "hub") for name in ("clip", "llama")}
    snapshot = next((tmp_path / "hub" / "models--some--llama" / "snapshots").iterdir())
    named_code(snapshot, canary)
    old_pickles(snapshot, canary)
    names = {"clip": Path("some/clip"), "llama": Path("some/llama")}
    assert_equal(names, saved_parts)
    change(files["llama"] / "config.json", num_hidden_layers=2)
    with pytest.raises(UserError, match=r"some/llama: its weights hold model\.layers\.2"):
        build(preset_on(names), CLEVR)
    change(files["llama"] / "config.json", num_hidden_layers=9_999)
    with pytest.raises(UserError, match=r"model\.safetensors holds"):
        build(preset_on(names), CLEVR)
    (files["llama"] / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")  # a header longer than the file
    with pytest.raises(UserError, match=r"model.safetensors: damaged"):
        build(preset_on(names), CLEVR)
    (files["llama"] / "tokenizer.model").unlink()
    os.mkfifo(files["llama"] / "tokenizer.model")
    with pytest.raises(UserError, match=r"tokenizer.model: is not there, or no file"):
        build(preset_on(names), CLEVR)
