"""Model folders from unknown sources: no code in them is run, and undeclared content is refused with one message."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from datagen.errors import UserError
from igllm import main
from model import confined
from model.load import WEIGHTS, check_config, load_model
from model.tokens.chat_template import apply_template
from model.tokens.prompts import VICUNA_TEMPLATE, prompt_tokens

CONFIG = json.loads((WEIGHTS / "tiny" / "config.json").read_text())
TALK = [[{"role": "user", "content": f"<image> {question}?"}] for question in ("what", "é🎈")]
IRRELEVANT = {"preset", "data_digest", "code_version", "transformers_version", "architectures", "dtype", "use_cache"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "copy"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a confined process end after a second of processor time instead of five."""
    program = "import runpy, sys; from model import confined; confined.SECONDS = 1; runpy.run_module(sys.argv[1], run_name='__main__')"
    monkeypatch.setattr(confined, "module_command", lambda module: [sys.executable, "-P", "-c", program, module])


@pytest.mark.parametrize("where", ["tokenizer_config.json", "config.json"])
def test_code_in_a_model_folder_is_not_run_whatever_is_answered(
    copy: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    """Transformers asks whether to run the code that ``auto_map`` names; here every question is answered with yes."""
    (copy / "evil.py").write_text(f"open({str(copy / 'PWNED')!r}, 'w')\nclass X: pass\n")
    content = json.loads((copy / where).read_text())
    named = {"AutoTokenizer": ["evil.X", "evil.X"], "AutoConfig": "evil.X", "AutoModel": "evil.X"}
    (copy / where).write_text(json.dumps({**content, "tokenizer_class": "X", "auto_map": named}))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    status = main(["predict", "--model", str(copy), "--images", str(picture)])
    assert not (copy / "PWNED").exists()
    assert status in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 9999999999 }}{{ messages[0]['content'] }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        *(
            pytest.param(template, marks=pytest.mark.slow)
            for template in (
                "{% set ns = namespace(x='xxxxxxxx') %}{% for a in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
                "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
                "{% for",
            )
        ),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_chat_template_that_does_not_behave_is_one_message(template: str) -> None:
    with pytest.raises(UserError, match="chat template"):
        apply_template(template, {"bos_token": "<s>"}, TALK)


def test_a_template_apart_gives_what_the_tokenizer_gives() -> None:
    tokenizer = load_model(WEIGHTS / "tiny", "cpu").codec.tokenizer
    tokenizer.chat_template = VICUNA_TEMPLATE
    expected = tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True)
    assert apply_template(VICUNA_TEMPLATE, tokenizer.special_tokens_map, TALK) == expected


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(CONFIG.keys() - IRRELEVANT)),
    st.sampled_from([None, -1, 0, 10**12, 1e308, float("nan"), "", "x", [], [1], {}, {"model_type": "no such"}]),
)
def test_a_field_of_the_configuration_that_is_not_as_declared_is_named(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: object
) -> None:
    folder = tmp_path_factory.getbasetemp() / "declared"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, field: value}))
    try:
        check_config(folder)
    except UserError as error:
        assert str(folder) in str(error)
        return
    # An accepted value has the type with which the model is made.
    assert type(value) is type(CONFIG[field]) or CONFIG[field] is None or isinstance(value, int | float)


def part(name: str, **fields: object) -> dict[str, object]:
    return {name: {**CONFIG[name], **fields}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_mean": 0}, "image_mean"),
        ({"image_std": [0.2, 0.0, 0.2]}, "image_std"),
        ({"image_height": 10**9}, "image_height"),
        ({"vision_config": {"model_type": "no such"}}, "cannot be loaded"),
        (part("text_config", hidden_size=-1), "cannot be loaded"),
        (part("text_config", head_dim=10**9), "model.safetensors holds"),
        (part("text_config", intermediate_size=10**10), "model.safetensors holds"),
        (part("text_config", num_hidden_layers=10**7), "text_config.num_hidden_layers"),
        (part("text_config", num_hidden_layers=5), "its weights lack"),
        (part("text_config", num_hidden_layers=3), "its weights hold"),
        (part("text_config", vocab_size=10**10), "model.safetensors holds"),
        (part("text_config", vocab_size=107), r"embed_tokens.weight as 107 x 192, but the weights' file holds 106 x 192"),
        (part("text_config", dtype="load"), "text_config.dtype"),
        (part("text_config", quantization_config={"quant_method": "gptq"}), "text_config.quantization_config"),
        (part("vision_config", depths=[2, 2, 10**9]), "vision_config.depths"),
        (part("vision_config", hidden_sizes=[48, 96, 10**9]), "model.safetensors holds"),
        ({"lora": {"rank": 10**9, "alpha": 1, "dropout": 0}}, "lora.rank"),
        ({"lora": {"rank": 65536, "alpha": 1, "dropout": 0}}, "model.safetensors holds"),
        ({"numbers": "char", "number_cells": False}, "its weights hold"),
        ({"number_feedback": False}, "its weights hold"),
        ({"dense_split": 64}, "model.safetensors holds"),
        ({"vision_merge": 64}, "copy: vision_merge=64"),
        ({"prefix_token_ids": [5] * 10**5}, "prefix_token_ids"),
        ({"domain": "x" * 10**5}, "domain"),
        ({"format_version": 2.0}, "format"),
        ({"num_token_id": 10**6}, "copy"),
        ({"word_token_ids": [5]}, "copy"),
    ],
)
def test_a_damaged_configuration_is_one_message(
    copy: Path, picture: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], message: str
) -> None:
    (copy / "config.json").write_text(json.dumps({**CONFIG, **change}))
    assert main(["predict", "--model", str(copy), "--images", str(picture)]) == 2
    output = capsys.readouterr().err
    assert re.search(message, output)
    assert output.startswith("igllm predict: ")
    assert output.count("\n") == 1
    assert len(output) < 1000


TOKENIZER = json.loads((WEIGHTS / "tiny" / "tokenizer.json").read_text())
TOKEN = {"content": "[X]", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def replacing(pattern: dict[str, str], content: str, times: int = 1) -> dict[str, object]:
    """A normalizer that makes the same replacement ``times`` times in a row."""
    return {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": pattern, "content": content}] * times}


@pytest.mark.parametrize(
    "rules",
    [
        {"normalizer": replacing({"String": "e"}, "e" * 20, 8)},
        {"normalizer": replacing({"Regex": "."}, "x" * 1000, 3)},
        {"normalizer": replacing({"Regex": r"(\w+\s?)+$"}, "x")},
        {"padding": {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}},
        {"model": TOKENIZER["model"] | {"vocab": TOKENIZER["model"]["vocab"] | {"zzz": 10**9}}},
        {"added_tokens": [*TOKENIZER["added_tokens"], {"id": 2**40, **TOKEN}]},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "((x+)+)+y"}, "behavior": "Isolated", "invert": False}},
        {"model": {"type": "BPE", "vocab": {}, "merges": []}},
        {"added_tokens": 5},
    ],
    ids=range(9),
)
@pytest.mark.usefixtures("impatient")
def test_rules_of_a_tokenizer_that_do_not_behave_are_one_message(copy: Path, rules: dict[str, object]) -> None:
    (copy / "tokenizer.json").write_text(json.dumps(TOKENIZER | rules))
    with pytest.raises(UserError) as raised:
        load_model(copy, "cpu")
    assert str(raised.value).startswith(str(copy))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "fields", [{"eos_token": "nope"}, {"eos_token": None}, {"tokenizer_class": 5}, {"tokenizer_class": "MistralCommonBackend"}]
)
def test_a_tokenizers_configuration_of_another_model_is_one_message(copy: Path, fields: dict[str, object]) -> None:
    stated = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(stated | fields))
    with pytest.raises(UserError, match=str(copy)):
        load_model(copy, "cpu")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("tokenizer_config.json", {"eos_token": "[PAD]"}, "text_config.eos_token_id=2, but its tokenizer 0"),
        ("tokenizer_config.json", {"pad_token": "[EOS]"}, "text_config.pad_token_id=0, but its tokenizer 2"),
        ("tokenizer_config.json", {"bos_token": "[EOS]"}, r"prefix_token_ids=\[1\], but its tokenizer \[2\]"),
        ("special_tokens_map.json", {"eos_token": "[PAD]"}, "text_config.eos_token_id=2, but its tokenizer 0"),
        ("config.json", part("text_config", eos_token_id=5), "text_config.eos_token_id=5, but its tokenizer 2"),
        ("config.json", part("text_config", eos_token_id=[5, 6]), r"text_config.eos_token_id=\[5, 6\], but its tokenizer 2"),
        ("config.json", part("text_config", pad_token_id=3), "text_config.pad_token_id=3, but its tokenizer 0"),
        ("config.json", {"prefix_token_ids": []}, r"prefix_token_ids=\[\], but its tokenizer \[1\]"),
        ("config.json", {"num_token_id": 5}, "num_token_id=5, but its tokenizer 4"),
        ("config.json", {"prompt": ""}, "prompt"),
        ("config.json", {"prompt": " \n"}, "the prompt is empty"),
        ("config.json", {"image_height": 1}, "image_height is 1"),
        ("config.json", {"image_std": [1e-300] * 3}, "image_std"),
    ],
)
def test_a_model_and_its_tokenizer_belong_together(copy: Path, name: str, fields: dict[str, object], message: str) -> None:
    """Another model's tokenizer would change the prompt's tokens or the answers' end."""
    stated = json.loads((copy / name).read_text()) if (copy / name).exists() else {}
    (copy / name).write_text(json.dumps(stated | fields))
    with pytest.raises(UserError, match=message) as raised:
        load_model(copy, "cpu")
    assert str(raised.value).startswith(str(copy))


@pytest.mark.parametrize("template", ["{{ bos_token }}{{ messages[0]['content'][:7] }}", "x{{ bos_token }}{{ messages[0]['content'] }}"])
def test_a_template_of_another_model_is_one_message(copy: Path, template: str) -> None:
    (copy / "chat_template.jinja").write_text(template)
    with pytest.raises(UserError, match=str(copy)):
        load_model(copy, "cpu")


def test_a_weight_that_is_not_finite_is_named(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["projector.bias"][3] = float("inf")
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"copy: its weights hold projector.bias, which is not finite"):
        load_model(copy, "cpu")


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja", "model.safetensors"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(copy: Path, name: str) -> None:
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(UserError, match=str(copy)):
        load_model(copy, "cpu")


def test_a_template_or_a_prompt_without_end_is_one_message(copy: Path) -> None:
    with pytest.raises(UserError, match="chat template has 200,000 characters"):
        apply_template("x" * 200_000, {}, TALK)
    tokenizer = load_model(copy, "cpu").codec.tokenizer
    tokenizer.chat_template = "{{ '(' * 9000 }}{{ messages[0]['content'] }}"
    with pytest.raises(UserError, match=r"makes 9,00. tokens of a question; 4,096 are possible"):
        prompt_tokens(tokenizer)
