"""Stages untrusted model folders for transformers: a copy of the files declared here, without JSON fields that would load more.

Transformers reads whatever it finds in a folder: adapters and the models that they name, weights in other formats (some are pickles), code,
kernels from the hub. A staged folder has none of it, whatever a later version may look for. Links in a folder are followed, since the hub's
own cache consists of links: a file's content is read as data wherever it lies.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datagen.errors import UserError
from datagen.io.files import read_json, write_json
from datagen.screen import printable

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
ADDED_TOKENS_FILE = "added_tokens.json"
VOCABULARY_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
TOKENIZER_FILES = ("*token*.json", "vocab.*", MERGES_FILE, "*.model", "chat_template*")
"""Patterns of the files that any kind of tokenizer is saved in."""
WHOLE = "whole.json"
"""The file with the SHA-256 of each file that a run has saved beside it."""
ADAPTER_FILE = "adapter_config.json"
LARGEST_JSON = 10_000_000  # bytes of a configuration; those of known models have thousands
LARGEST_TOKENIZER_FILE = 64_000_000  # bytes; the largest known have half as many
LARGEST_SENTENCEPIECE_FILE = 8_000_000  # bytes of a ``.model``, whose pieces transformers converts one by one; the largest have half of it

_SHARD = re.compile(r"[\w.-]+\.safetensors")
_UNHEEDED = {
    "auto_map",
    "custom_pipelines",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "_attn_implementation_autoset",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
    "use_kernels",
    "kernel_config",
    "fusion_config",
    "distributed_config",
    "gguf_file",
    "return_dict",
}
"""Fields of a configuration that are dropped: they name code or how to compute, and do not affect a model's results."""
_REFUSED = {
    "quantization_config": "quantized weights are not read; give the checkpoint that they were made from",
    "compression_config": "compressed weights are not read; give the checkpoint that they were made from",
    "transformers_weights": f"weights are read from {WEIGHTS_FILE} or from what {INDEX_FILE} lists",
    "backbone": "a backbone that is fetched from elsewhere is not read; give a checkpoint that holds all of its weights",
}
_OF_TIMM = re.compile(r"global_pool|\w+_layer"), re.compile(r"\w+")
"""The arguments of a model of timm that are texts, and what these may be: names of things in timm. Others may name files or devices."""
_PRECISION = re.compile(r"(torch\.)?(auto|b?float\d+(_\w+)?)")
_COUNTED = re.compile(r"(layers?|depths?|blocks?|stages?|labels|experts|levels)$")
_MOST_COUNTED = 10_000  # of layers and the like, which configurations list one by one
_ALONG_A_TEXT = {"max_seq_len"}  # lengths for which MPT computes a bias at every step, however short the text is
_MOST_ALONG_A_TEXT = 2**17
_DEEPEST = 20


@contextmanager
def staged(folder: Path, weights: bool = True) -> Iterator[Path]:
    """A temporary folder with only the configuration, the weights and the tokenizer of a folder.

    Without ``weights``, these are left out, and need not be there yet.

    `UserError`, naming the file and the field, for a configuration or an index that is damaged or requests what is not supported.
    """
    with tempfile.TemporaryDirectory(prefix="igllm-") as name:
        stage = Path(name)
        if (folder / CONFIG_FILE).exists():
            write_json(stage / CONFIG_FILE, checked_config(read_object(folder / CONFIG_FILE), folder / CONFIG_FILE))
        found = weight_files(folder) if weights else []
        for path in (*found, *tokenizer_files(folder)):
            if path.name != TOKENIZER_CONFIG_FILE:
                (stage / path.name).symlink_to(path.absolute())
        if found and [path.name for path in found] != [WEIGHTS_FILE]:
            write_json(stage / INDEX_FILE, {"metadata": {}, "weight_map": index_of(folder)})
        if (folder / TOKENIZER_CONFIG_FILE).is_file():
            stated = read_object(folder / TOKENIZER_CONFIG_FILE)
            write_json(stage / TOKENIZER_CONFIG_FILE, {key: value for key, value in stated.items() if not _names_a_file(key)})
        yield stage


@contextmanager
def staged_if_folder(name: Any) -> Iterator[Any]:
    """The place from which transformers may read a model: the staged copy of a folder, or a hub name as it is."""
    if Path(name).is_dir():
        with staged(Path(name)) as stage:
            yield stage
    else:
        yield name


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that a folder's tokenizer is read from, sorted. `UserError` for a file that is too large."""
    found = sorted({path for pattern in TOKENIZER_FILES for path in folder.glob(pattern) if not path.is_dir()})
    for path in found:
        _check_file(path, LARGEST_SENTENCEPIECE_FILE if path.suffix == ".model" else LARGEST_TOKENIZER_FILE)
    return found


def weight_files(folder: Path) -> list[Path]:
    """The weight files of the model in a folder, empty if it has none; `UserError` if the index names a missing file."""
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if not (folder / INDEX_FILE).is_file():
        return []
    named = sorted(set(index_of(folder).values()))
    for name in named:
        if not (folder / name).is_file():
            raise UserError(f"{folder / INDEX_FILE}: names {name}, which is not there; the model is not whole")
    return [folder / name for name in named]


def checked_config(content: Mapping[str, Any], where: Path | str) -> dict[str, Any]:
    """The content of a ``config.json`` without dropped fields. `UserError`, naming the field, for unsupported or impossible content."""
    return {key: _checked(value, key, where) for key, value in content.items() if key not in _UNHEEDED}


def _checked(value: Any, field: str, where: Path | str, depth: int = 0) -> Any:
    name = field.rpartition(".")[2]
    if name in _REFUSED and value is not None:
        raise UserError(f"{where}: {plain(field)} is stated, and {_REFUSED[name]}")
    if depth > _DEEPEST:
        raise UserError(f"{where}: {plain(field)} is nested more than {_DEEPEST} levels deep")
    if name == "architecture" and isinstance(value, str) and ":" in value:
        raise UserError(f"{where}: {plain(field)} is {plain(value)!r}; a model that timm knows by name is expected, not one from elsewhere")
    if name == "model_args" and isinstance(value, dict):
        value = {key: each for key, each in value.items() if key != "num_classes"}  # of a classifier, without which transformers makes it
        _check_arguments(value, field, where)
    if isinstance(value, dict):
        return {key: _checked(within, f"{field}.{key}", where, depth + 1) for key, within in value.items() if key not in _UNHEEDED}
    if isinstance(value, list):
        return [_checked(within, field, where, depth + 1) for within in value]
    if name in {"dtype", "torch_dtype"} and isinstance(value, str) and not _PRECISION.fullmatch(value):
        raise UserError(f"{where}: {plain(field)} is {plain(value)!r}, which is no precision of weights, such as float32")
    if _COUNTED.search(name) and isinstance(value, int | float) and abs(value) > _MOST_COUNTED:
        raise UserError(f"{where}: {plain(field)} is {value:g}, and no model has more than {_MOST_COUNTED:,}")
    if name in _ALONG_A_TEXT and isinstance(value, int | float) and abs(value) > _MOST_ALONG_A_TEXT:
        raise UserError(f"{where}: {plain(field)} is {value:g}, and no model has more than {_MOST_ALONG_A_TEXT:,}")
    return value


def _check_arguments(arguments: Mapping[str, Any], field: str, where: Path | str) -> None:
    """`UserError` for an argument of a model of timm that is more than a number, a truth value, a list of them, or a name in timm."""
    of_texts, name = _OF_TIMM
    for key, value in arguments.items():
        if key.startswith(("pretrained", "checkpoint")) or isinstance(value, dict):
            raise UserError(f"{where}: {plain(field)}.{plain(key)} is stated, and weights are read from {WEIGHTS_FILE} alone")
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and not (of_texts.fullmatch(key) and name.fullmatch(each)):
                raise UserError(f"{where}: {plain(field)}.{plain(key)} is {plain(each)!r}; numbers are expected there")


def plain(text: str) -> str:
    """A text of unknown origin, safe for messages: its first 100 characters, as one printable line."""
    return printable(text[:100])


def index_of(folder: Path) -> dict[str, str]:
    """The file of each weight, by the weight's name, from the index of a folder; `UserError` if the index is damaged."""
    path = folder / INDEX_FILE
    named = read_object(path).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise UserError(f"{path}: weight_map is missing: an object that names the file of each weight")
    for name in named.values():
        if not isinstance(name, str) or not _SHARD.fullmatch(name):
            raise UserError(f"{path}: weight_map names {plain(str(name))!r}; safetensors files of the same folder are expected")
    return named


def _names_a_file(field: str) -> bool:
    """Whether a field of a tokenizer's configuration names code or a file; only files of its own folder are used."""
    return field in {"auto_map", "init_inputs", "name_or_path"} or field.endswith(("_file", "_files"))


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model; `UserError` for other content, and for a file larger than its limit."""
    most = LARGEST_JSON * (5 if path.name == INDEX_FILE else 1)
    _check_file(path, most)
    content = read_json(path, most)
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged (a JSON object is expected)")
    return content


def _check_file(path: Path, most: int) -> None:
    """`UserError` for a missing file, a pipe or a device (which may never end), and a file of more than ``most`` bytes."""
    if not path.is_file():
        raise UserError(f"{path}: is not there, or no file")
    if path.stat().st_size > most:
        raise UserError(f"{path}: has {path.stat().st_size:,} bytes; such a file has at most {most:,}")
