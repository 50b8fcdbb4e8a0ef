"""Fuzzer inputs: model folders, their configurations, and presets."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import declared
import headers
import honest
import numpy as np
from faults import text_of
from guard import CANARY
from headers import SIZES
from hypothesis import strategies as st
from kinds import Files, Kind, verb
from trained import load, model

EVIL = f"open({CANARY!r}, 'w')\n"
FOREIGN: tuple[tuple[str, Any], ...] = (
    ("auto_map", {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}),
    ("auto_map", {"AutoTokenizer": "someone/elses--evil.Evil"}),
    ("_attn_implementation", "kernels-community/flash-attn"),
    ("attn_implementation", "someone/kernel"),
    ("quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
    ("trust_remote_code", True),
    ("tokenizer_class", "Evil"),
    ("tokenizer_file", "../outside/secret"),
    ("vocab_file", "/etc/passwd"),
    ("_name_or_path", "../outside"),
    ("torch_dtype", "float128"),
    ("dtype", "os.system"),
    ("peft_type", "LORA"),
    ("adapter_config", {"base_model_name_or_path": "../outside"}),
    ("custom_generate", "evil.py"),
    ("transformers_weights", "../outside/secret"),
)
"""Fields of a configuration that could make libraries load other files, download, or run code."""


def _with_foreign(content: Any) -> list[Any]:
    """The configuration, and copies of it with one field of `FOREIGN` each, at the top or in one of its parts."""
    found = [content]
    for name, value in FOREIGN:
        found.append({**content, name: value})
        for part in ("vision_config", "text_config"):
            if part in content:
                found.append({**content, part: {**content[part], name: value}})
    return found


def configs() -> st.SearchStrategy[Files]:
    from model.declared import DeclaredIGLLM

    content = json.loads(model()["config.json"])
    damaged = declared.damaged([content, *_with_foreign(content)[1:]], DeclaredIGLLM, most=2)
    return damaged.map(lambda data: {"config.json": data})


def _check_config(folder: Path, out: Path) -> int:
    from model.load import check_config

    check_config(folder)
    return 0


def presets() -> st.SearchStrategy[Files]:
    import tomllib

    from model.preset import FOLDER, NAMES, Preset

    bases = [tomllib.loads((FOLDER / f"{name}.toml").read_text()) for name in NAMES]
    import model.build  # noqa: F401 - slow: before the first input is timed

    grouped = asdict(Preset())
    flat = Preset().to_json()  # the layout of igllm 0.1
    edges = st.sampled_from([*flat])
    damaged = declared.damaged([*bases, grouped, flat], most=3, write=declared.toml_of)
    single = st.builds(
        lambda key, value: declared.toml_of({key: value}).encode("utf-8", "surrogatepass"), edges, declared.among(declared.STRANGE)
    )
    return st.one_of(damaged, single).map(lambda data: {"own.toml": data})


def _preset(folder: Path, out: Path) -> int:
    from model.preset import get_preset

    get_preset(str(folder / "own.toml"))
    return 0


def _plan(folder: Path, out: Path) -> int:
    """Plan the preset's model, as `igllm train` does before it allocates weights."""
    from datagen.domains.registry import get_domain
    from model.build import plan
    from model.preset import get_preset

    preset = get_preset(str(folder / "own.toml"))
    if preset.kind == "igllm":
        plan(preset.changed(["vision_model=none", "language_model=none"]), get_domain("dot2d"))
    return 0


def models() -> st.SearchStrategy[Files]:
    """Model folders with one damaged file, code that must not run, and sometimes one more file that transformers reads."""
    held = model()
    names = list(held)

    def one(name: str) -> st.SearchStrategy[Files]:
        damaged = weights() if name.endswith(".safetensors") else declared.damaged(_with_foreign(json.loads(held[name])), most=2)
        return damaged.map(lambda data: {name: data})

    few = [name for name in names if name != "chat_template.jinja"]  # each starts a process; `template` is its kind
    more = st.dictionaries(
        st.sampled_from(
            [
                "generation_config.json",
                "adapter_config.json",
                "preprocessor_config.json",
                "model.safetensors.index.json",
                "special_tokens_map.json",
                "added_tokens.json",
            ]
        ),
        st.one_of(
            declared.damaged(
                [
                    {
                        "max_new_tokens": 10**9,
                        "num_beams": 10**6,
                        "base_model_name_or_path": "../outside",
                        "peft_type": "LORA",
                        "auto_map": {"AutoModel": "evil.Evil"},
                    }
                ]
            ),
            declared.damaged(
                [
                    {
                        "weight_map": {"a": "../outside/secret", "b": "/etc/passwd", "c": "model.safetensors"},
                        "metadata": {"total_size": 10**15},
                    }
                ]
            ),
            declared.damaged([{"[NUM]": 10**9}, {"[NUM]": -1}, {"x": 2**31}]),
        ),
        max_size=1,
    )
    return st.builds(lambda files, more: {**held, **more, **files, "evil.py": EVIL.encode()}, st.one_of(list(map(one, few))), more)


def weights() -> st.SearchStrategy[bytes]:
    """Safetensors files with a damaged or false header, or with many weights that are NaN or infinite."""
    data = model()["model.safetensors"]
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    tensors = [name for name in header if name != "__metadata__"]

    def made(header: dict[str, Any], changes: list[tuple[int, str, Any]], length: int | None) -> bytes:
        header = copy.deepcopy(header)
        for at, field, value in changes:
            header[tensors[at % len(tensors)]][field] = value
        return headers.safetensors(text_of(header).encode(), body, length)

    size = st.sampled_from(SIZES)
    change = st.one_of(
        st.tuples(
            st.integers(0, 99),
            st.just("shape"),
            st.one_of(st.lists(size, max_size=3), st.sampled_from([[2**31, 2**31], [10**6] * 4, "x", None])),
        ),
        st.tuples(st.integers(0, 99), st.just("dtype"), st.sampled_from(["F64", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "X", None, 1])),
        st.tuples(st.integers(0, 99), st.just("data_offsets"), st.one_of(st.lists(size, min_size=2, max_size=2), st.just([0]))),
    )
    lying = st.builds(made, st.just(header), st.lists(change, max_size=3), st.one_of(st.none(), st.none(), size))
    damaged = declared.damaged([header], most=2).map(lambda text: headers.safetensors(text, body))
    wild = np.frombuffer(body, np.uint8).copy()
    wild[::5] = 255  # NaN and infinity in most tensors
    return st.one_of(
        lying, damaged, st.just(headers.safetensors(data[8 : 8 + length], wild.tobytes())), headers.overwritten([data], far=2000)
    )


def _load(folder: Path, out: Path) -> int:
    from model.load import load_model

    with mock.patch("builtins.input", lambda *_: "y"):  # consent to any question
        load_model(folder, "cpu")
    return 0


def _predict(folder: Path, out: Path) -> int:
    (out / "x.png").write_bytes(honest.images()["rgb.png"])
    with mock.patch("builtins.input", lambda *_: "y"):
        return verb("predict", "--model", folder, "--images", out / "x.png", "--device", "cpu", "--out", out / "pred.jsonl")


KINDS = {
    "config": Kind(configs, _check_config, prepare=load),
    "preset": Kind(presets, _preset, ((3, _plan),), prepare=load),
    "model": Kind(models, _load, ((10, _predict),), share=0.02, block=500, some=20, prepare=load),
}
