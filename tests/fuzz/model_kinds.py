"""Models, what they are made of, and what training leaves, as the fuzzer takes them."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import declared
import headers
import honest
import numpy as np
from faults import PAYLOADS, PLACES, text_of
from guard import CANARY
from headers import SIZES
from hypothesis import strategies as st
from kinds import Files, Kind, verb

from datagen.io.cache import alone

SMALL = """
image_height = 32
image_width = 32
freeze_vision = false
dense_weight = 1.0
batch_size = 2
log_steps = 1
report_to = "none"
[vision]
model_type = "resnet"
embedding_size = 4
hidden_sizes = [4, 4]
depths = [1, 1]
layer_type = "basic"
[text]
model_type = "llama"
hidden_size = 16
intermediate_size = 16
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 2
max_position_embeddings = 512
"""


@cache
def trained() -> Mapping[str, bytes]:
    """The files of a run that was stopped at a checkpoint, by their paths in it; its data is the honest set of dots."""
    honest.data_set()
    run = honest.home() / "run"
    with alone(honest.home() / "run.lock"):
        if not (run / "config.json").exists():
            (honest.home() / "small.toml").write_text(SMALL)
            assert _train(run, honest.home(), 1) == 0
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(run.rglob("*")) if _is_left(path, run)}


def _is_left(path: Path, run: Path) -> bool:
    """Whether a file would be there if the run had been stopped before its end."""
    return path.is_file() and "tensorboard" not in path.parts and (path.parent != run or path.name == "run.json")


def _train(run: Path, home: Path, steps: int) -> int:
    words = ["--preset", home / "small.toml", "--data", home / "dots", "--out", run, "--device", "cpu"]
    return verb("train", *words, "--steps", steps, "--set", "save_steps=1", "--set", "loaders=0")


@cache
def model() -> Mapping[str, bytes]:
    """The files of a small model."""
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    return {name: data for path, data in trained().items() if (name := path.rpartition("/")[2]) in names and path.startswith("checkpoint-")}


def load() -> None:
    """Load the small model."""
    from model.load import load_model

    with tempfile.TemporaryDirectory() as folder:
        for name, data in model().items():
            Path(folder, name).write_bytes(data)
        load_model(Path(folder), "cpu")


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
"""Fields with which a model's folder asks for what lies elsewhere, or to be run."""


def _with_foreign(content: Any) -> list[Any]:
    """Plain data of a configuration, with each of the fields at its top or in one of its parts."""
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


def models() -> st.SearchStrategy[Files]:
    """Whole folders, one file of which is not as it was, and perhaps others beside."""
    held = model()
    names = list(held)

    def one(name: str) -> st.SearchStrategy[Files]:
        if name.endswith(".json"):
            damaged = declared.damaged(_with_foreign(json.loads(held[name])), most=2)
        elif name.endswith(".safetensors"):
            damaged = weights()
        else:
            damaged = st.sampled_from(TEMPLATES).map(str.encode)
        return damaged.map(lambda data: {name: data})

    few = [name for name in names if name != "chat_template.jinja"]  # each of which starts a process
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


TEMPLATES = (
    "{{ messages }}",
    "{% for i in range(10**9) %}{{ i }}{% endfor %}",
    "{{ 'x' * 10**10 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.system('touch " + CANARY + "') }}",
    "{% include '/etc/passwd' %}",
    "{% if %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "",
    "\0",
)


def weights() -> st.SearchStrategy[bytes]:
    """Files of weights whose headers lie."""
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

    with mock.patch("builtins.input", lambda *_: "y"):  # whatever is asked
        load_model(folder, "cpu")
    return 0


def _predict(folder: Path, out: Path) -> int:
    (out / "x.png").write_bytes(honest.images()["rgb.png"])
    with mock.patch("builtins.input", lambda *_: "y"):
        return verb("predict", "--model", folder, "--images", out / "x.png", "--device", "cpu", "--out", out / "pred.jsonl")


def presets() -> st.SearchStrategy[Files]:
    import tomllib

    from model.preset import FOLDER, NAMES, Preset

    bases = [tomllib.loads((FOLDER / f"{name}.toml").read_text()) for name in NAMES]
    import model.build  # noqa: F401 - which takes seconds

    grouped = asdict(Preset())
    flat = Preset().to_json()  # as files of igllm 0.1 are
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
    """What `igllm train` does before it takes memory for weights."""
    from datagen.domains.registry import get_domain
    from model.build import plan
    from model.preset import get_preset

    preset = get_preset(str(folder / "own.toml"))
    if preset.kind == "igllm":
        plan(preset.changed(["vision_model=none", "language_model=none"]), get_domain("dot2d"))
    return 0


def runs() -> st.SearchStrategy[Files]:
    """Run folders of which a small file is damaged, told by no digest or by one that fits."""
    import model.load  # noqa: F401 - which takes seconds

    held = trained()
    small = [name for name in held if name.endswith(".json") and "tokenizer" not in name and "config" not in name]
    whole = next(name for name in held if name.endswith("whole.json"))

    def one(name: str) -> st.SearchStrategy[Files]:
        declaration = declarations.get(name.rpartition("/")[2])
        return declared.damaged([json.loads(held[name])], declaration, most=2).map(lambda data: {name: data})

    from model.declared import Best, Pending, RunStatement, WholeCheckpoint

    declarations = {"run.json": RunStatement, "pending.json": Pending, "whole.json": WholeCheckpoint}
    best = declared.damaged([{"step": 1, "eval_loss": 2.5}], Best, most=2).map(lambda data: {"best/best.json": data})
    listed = declared.damaged([{**json.loads(held[whole]), place: "0" * 64} for place in PLACES if "\\" not in place], most=2).map(
        lambda data: {whole: data}
    )
    optimizer = whole.replace("whole.json", "optimizer.pt")
    bombs = _torch_files().map(lambda data: {optimizer: data})
    vouch = st.booleans()
    return st.builds(
        lambda files, vouch: _vouched({**held, **files}, whole) if vouch else {**held, **files},
        st.one_of(*map(one, small), best, listed, bombs),
        vouch,
    )


def _vouched(files: dict[str, bytes], whole: str) -> Files:
    """The files with a ``whole.json`` that gives the digests that they have."""
    import hashlib

    folder = whole.removesuffix("whole.json")
    inside = {name.removeprefix(folder): data for name, data in files.items() if name.startswith(folder) and name != whole}
    return {**files, whole: json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in inside.items()}).encode()}


def _torch_files() -> st.SearchStrategy[bytes]:
    """Files such as `torch.save` writes, whose pickle calls something, or whose zip lies."""
    head = {"archive/version": b"3\n", "archive/byteorder": b"little"}
    zips = headers.pickles().map(lambda data: bytes(headers.zipped({"archive/data.pkl": data, **head})))
    lying = st.builds(
        lambda data, field, number: headers.lying_zip(headers.zipped({"archive/data.pkl": data, **head}), field, number),
        *(headers.pickles(), st.integers(0, 6), st.sampled_from(SIZES)),
    )
    return st.one_of(
        zips,
        lying,
        headers.pickles(),
        st.just(headers.bomb("archive/data.pkl", 16)),
        st.sampled_from([payload.encode() for payload in PAYLOADS]),
    )


def _newest(folder: Path, out: Path) -> int:
    """As `igllm train` and `igllm predict` look at a run folder before they load anything."""
    from model.load import find_model
    from model.preset import get_preset
    from model.run_folder import best_loss, check_run, newest_checkpoint

    check_run(folder, get_preset(str(honest.home() / "small.toml")))
    best_loss(folder)
    newest_checkpoint(folder)
    find_model(str(folder))
    return 0


def _resume(folder: Path, out: Path) -> int:
    return _train(folder, honest.home(), 2)


def pickled() -> st.SearchStrategy[Files]:
    """A checkpoint's pickles, vouched for by its digests: what an attacker would write."""
    held = trained()
    whole = next(name for name in held if name.endswith("whole.json"))
    names = [name for name in held if name.endswith((".pt", ".pth"))]
    one = st.builds(
        lambda name, data: _vouched({**held, name: data}, whole),
        st.sampled_from(names),
        st.one_of(_torch_files(), headers.overwritten([held[names[0]]])),
    )
    states = [name for name in held if name.endswith(("trainer_state.json", "pending.json"))]
    told = st.one_of(
        [
            declared.damaged([json.loads(held[name])], most=2).map(lambda data, name=name: _vouched({**held, name: data}, whole))
            for name in states
        ]
    )
    return st.one_of(one, told)


def partials() -> st.SearchStrategy[Files]:
    """What an interrupted prediction left."""
    import model.prediction.partial  # noqa: F401 - which takes seconds

    rows = [{"igllm": "0.1.1", "model": "m", "decoding": {}}, {"key": "a", "code": "dot(loc=(0.1, 0.2))\n", "image_sha256": "0" * 64}]
    return declared.damaged_lines(rows).map(
        lambda data: {".p.jsonl.partial": text_of(rows[0]).encode() + b"\n" + data, "a.png": honest.images()["rgb.png"]}
    )


def _take_up(folder: Path, out: Path) -> int:
    from datagen.shards.pictures import ImageFiles
    from model.prediction.decoding import Decoding
    from model.prediction.partial import Partial

    Partial(folder / ".p.jsonl.partial", "m", Decoding()).take_up(ImageFiles([folder / "a.png"]))
    return 0


def captions() -> st.SearchStrategy[Files]:
    """Tars of images and captions, as alignment takes them from anybody."""
    _caption_maker()  # which takes seconds
    image = honest.images()["rgb.jpg"]
    text = st.one_of(
        declared.among([payload.encode() for payload in PAYLOADS]), declared.among([b"", b"\xff", b"\0", b"x" * 100_000, b"a red cube"])
    )
    picture = st.one_of(st.just(image), headers.overwritten([image, *honest.images().values()]))

    def made(texts: list[bytes], picture: bytes, more: bytes) -> Files:
        pairs = b"".join(
            headers.member(f"{number}.jpg", picture if number % 2 else image) + headers.member(f"{number}.txt", text)
            for number, text in enumerate(texts)
        )
        return {"pairs-000000.tar": pairs + more + bytes(1024)}

    more = st.one_of(st.just(b""), headers.crafted_members({"x.jpg": image, "x.txt": b"x"}))
    return st.builds(made, st.lists(text, min_size=1, max_size=3), picture, more)


@cache
def _caption_maker() -> Any:
    from transformers import AutoTokenizer

    from model.data.caption_pairs import CaptionMaker
    from model.data.frames import Frame

    folder = _model_folder()
    return CaptionMaker(AutoTokenizer.from_pretrained(folder), Frame(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), [[1]], 128)


def _pairs(folder: Path, out: Path) -> int:
    """The examples that `igllm align` learns from."""
    from datagen.shards.reader import Samples
    from model.data.caption_pairs import CaptionSource

    source = CaptionSource(Samples.for_training(folder), _caption_maker())
    for number in range(len(source)):
        source.example(number, None)
    return 0


def features() -> st.SearchStrategy[Files]:
    """What the cache keeps of a frozen tower's features: the file, or how far it was written."""
    from model.declared import FeaturesDone

    kept = _features_kept()
    header = kept[: len(kept) - 4 * _tower().rows * _tower().columns * _tower().width * 2]
    shape = (2, _tower().rows * _tower().columns, _tower().width)
    crafted = headers.npy_files("'<f4'", shape, kept[len(header) :])
    whole = st.one_of(crafted, headers.overwritten([kept])).map(lambda data: {"features.npy": data})
    part = st.builds(
        lambda done, data: {"done.json": done, "partial.npy": data},
        declared.damaged([{"rows": [1], "crc32": [1]}], FeaturesDone, most=2),
        st.one_of(crafted, headers.overwritten([kept[: len(header) + 600]])),
    )
    return st.one_of(whole, part)


@cache
def _model_folder() -> Path:
    folder = honest.home() / f"model-{os.getpid()}"
    folder.mkdir()
    for name, data in model().items():
        (folder / name).write_bytes(data)
    return folder


@cache
def _tower() -> Any:
    from model.load import load_model

    return load_model(_model_folder(), "cpu").model.tower


class _Images:
    """Two images as a tower takes them."""

    def __len__(self) -> int:
        return 2

    def pixel_values(self, number: int) -> Any:
        import torch

        return torch.full((3, 32, 32), float(number))


def _filled(folder: Path) -> Any:
    from model.data.feature_cache import FeatureCache
    from model.data.frames import Frame

    return FeatureCache.fill(_tower(), Frame(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), _Images(), "x", 1, folder=folder)


@cache
def _features_kept() -> bytes:
    folder = honest.home() / f"features-{os.getpid()}"
    return bytes(_filled(folder).path.read_bytes())


def _take_features(folder: Path, out: Path) -> int:
    """A call that finds something else in the place of what an earlier one kept."""
    honest_file = _filled(out).path
    honest_file.unlink()
    for path in folder.iterdir():
        (honest_file.parent / path.name).write_bytes(path.read_bytes())
    rows = _filled(out).rows([0, 1])
    assert rows.shape == (2, _tower().rows * _tower().columns, _tower().width) and rows.dtype == np.float32, "a damaged file is a miss"
    return 0


def templates() -> st.SearchStrategy[Files]:
    """Chat templates, programs that a checkpoint's author wrote."""
    piece = st.sampled_from(
        [*TEMPLATES, "{% set x = namespace() %}", "{{ raise_exception('x') }}", "{{ strftime_now('%Y') }}", "{{ messages[0].content }}"]
    )
    return st.lists(piece, min_size=1, max_size=3).map(lambda pieces: {"chat_template.jinja": "".join(pieces).encode()})


def _apply(folder: Path, out: Path) -> int:
    from model.tokens.chat_template import apply_template

    apply_template((folder / "chat_template.jinja").read_text(), {"eos_token": "</s>"}, [[{"role": "user", "content": "x"}]])
    return 0


KINDS = {
    "config": Kind(configs, _check_config, prepare=load),
    "preset": Kind(presets, _preset, ((3, _plan),), prepare=load),
    "model": Kind(models, _load, ((10, _predict),), share=0.02, block=500, some=20, prepare=load),
    "run": Kind(runs, _newest, share=0.3, prepare=load),
    "checkpoint": Kind(pickled, _resume, share=0.002, block=100, some=2, prepare=load),
    "caption": Kind(captions, _pairs, share=0.2, prepare=load),
    "features": Kind(features, _take_features, share=0.1, prepare=load),
    "partial": Kind(partials, _take_up, share=0.3, prepare=load),
    "template": Kind(templates, _apply, share=0.0005, block=50, some=2),
}
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
