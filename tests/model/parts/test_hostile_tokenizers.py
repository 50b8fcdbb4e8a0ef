"""Tokenizers and chat templates from unknown sources: their sizes and numbers are checked against limits before they are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spoiled_parts import change, preset_on

from datagen.domains.clevr import CLEVR
from datagen.errors import UserError
from model.build import build, plan
from model.parts.pretrained import Base


def test_a_tokenizer_of_another_model_takes_no_memory(own_parts: dict[str, Path], canary: Path) -> None:
    """Its token numbers would become rows of the embedding."""
    shutil.rmtree(own_parts["llama"])
    own_parts["qwen2"].rename(own_parts["llama"])
    rules = json.loads((own_parts["llama"] / "tokenizer.json").read_text())
    vocabulary = rules["model"]["vocab"]
    vocabulary |= {f"t{i}": len(vocabulary) + i for i in range(20_000)}
    for token in rules["added_tokens"]:
        token["id"] = vocabulary.get(token["content"], token["id"] + 20_000)
    (own_parts["llama"] / "tokenizer.json").write_text(json.dumps(rules))
    change(own_parts["llama"] / "tokenizer_config.json", added_tokens_decoder={})
    with pytest.raises(UserError, match="they do not belong together"):
        build(preset_on(own_parts), CLEVR)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "added_tokens.json"])
def test_more_added_tokens_than_tokenizers_have_are_refused_before_they_are_read(
    own_parts: dict[str, Path], canary: Path, name: str
) -> None:
    """Reading 300,000 took 27 s and 1.2 GB."""
    file = own_parts["qwen2"] / name
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
        Base.named(str(own_parts["qwen2"])).tokenizer()


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
    own_parts: dict[str, Path], canary: Path, name: str, content: Callable[[], Any]
) -> None:
    """Three million words took a minute and 2 GB, twenty million made-up ones never ended."""
    written = content()
    (own_parts["llama"] / name).write_text(written if isinstance(written, str) else json.dumps(written))
    if name != "tokenizer.json":
        (own_parts["llama"] / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match=rf"{name}.*(1,?000,?000|500,?000|10,?000|a whole number)") as raised:
        build(preset_on(own_parts), CLEVR)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m.content[:7] }}{% endfor %}", "drops or changes the question"),
        ("hello", "drops what the user says"),
        *(
            pytest.param(template, "drops or changes the question", marks=pytest.mark.slow)
            for template in (
                "{% for m in messages %}{{ m.content | lower }}{% endfor %}",
                "{{ messages[0].content.split('\\n')[1] }}<image>",
            )
        ),
    ],
)
def test_a_chat_template_that_does_not_ask_is_refused_before_training(
    own_parts: dict[str, Path], canary: Path, template: str, message: str
) -> None:
    change(own_parts["llama"] / "tokenizer_config.json", chat_template=template)
    with pytest.raises(UserError, match=message) as raised:
        plan(preset_on(own_parts), CLEVR)
    assert str(raised.value).startswith(str(own_parts["llama"]))


def test_an_answer_ends_with_the_tokenizers_token_and_the_model_says_so(own_parts: dict[str, Path], canary: Path) -> None:
    """A checkpoint may state several end tokens, or none."""
    change(own_parts["llama"] / "config.json", eos_token_id=[5, 7])
    planned = plan(preset_on(own_parts), CLEVR)
    assert planned.config.text_config.eos_token_id == planned.codec.tokenizer.eos_token_id


@pytest.mark.parametrize("number", [7, 10**9, 2**40, -1])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_numbers_of_added_tokens_are_those_that_they_get(own_parts: dict[str, Path], canary: Path, name: str, number: int) -> None:
    """The library tokenizers ignores stated numbers and assigns its own."""
    path = own_parts["qwen2"] / name
    stated = json.loads(path.read_text())
    token = {"content": "<zz>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    if name == "tokenizer.json":
        stated["added_tokens"].append(token | {"id": number})
    else:
        stated["added_tokens_decoder"] = {str(number): token}
    path.write_text(json.dumps(stated))
    with pytest.raises(UserError, match=r"qwen2.*(the number|added_tokens|cannot be loaded)"):
        Base.named(str(own_parts["qwen2"])).tokenizer()


@pytest.mark.parametrize("content", [b"\xff" * 1000, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 10_000])
def test_a_sentencepiece_model_that_is_none_is_called_that(own_parts: dict[str, Path], canary: Path, content: bytes) -> None:
    (own_parts["llama"] / "tokenizer.model").write_bytes(content)
    with pytest.raises(UserError, match=r"llama.*its tokenizer\.model is damaged"):
        Base.named(str(own_parts["llama"])).tokenizer()


@pytest.mark.parametrize(("name", "most"), [("tokenizer.model", 8_000_000), ("tokenizer.json", 64_000_000)])
def test_a_tokenizers_file_without_end_is_not_read(own_parts: dict[str, Path], canary: Path, name: str, most: int) -> None:
    with (own_parts["llama"] / name).open("wb") as stream:
        stream.truncate(most + 1)
    with pytest.raises(UserError, match=rf"{name}: has {most + 1:,} bytes; such a file has at most {most:,}"):
        Base.named(str(own_parts["llama"])).tokenizer()
