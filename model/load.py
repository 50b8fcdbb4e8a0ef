"""A trained model out of a folder, ready to predict. Opens only safetensors and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from datagen.dialects import dialect
from datagen.domains import get_domain
from datagen.errors import UserError
from datagen.files import read_json
from datagen.shards import file_sha256
from datagen.untrusted import as_text
from model.bases import WEIGHTS_FILE
from model.config import FORMAT_VERSION
from model.derender.derenderer import Derenderer
from model.device import pick_device
from model.igllm import IGLLM
from model.quiet import quiet_transformers
from model.run import newest_checkpoint
from model.tables import reason

MODELS: dict[str, type[IGLLM] | type[Derenderer]] = {"igllm": IGLLM, "igllm-derender": Derenderer}
WEIGHTS = Path(__file__).parent / "weights"
SHIPPED_DEFAULT = "tiny"
TRAIN_ONE = "train one with `igllm train --preset tiny --data DIR --out RUN` and give `--model RUN`"


def find_model(name: str | None) -> Path:
    """The folder of a shipped model by name, or a run folder: its finished model, else its newest checkpoint."""
    shipped = WEIGHTS / (name or SHIPPED_DEFAULT)
    if (shipped / "config.json").is_file():
        return shipped
    if name is None:
        raise UserError(f"{shipped}: the shipped model is missing; install the package anew, or {TRAIN_ONE}")
    folder = Path(name)
    if (folder / "config.json").is_file():
        return folder
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        raise UserError(f"{name}: neither a shipped model nor a run folder with a model in it; {TRAIN_ONE}")
    return checkpoint


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer, if it has one; ``name`` and ``digest`` tell which weights they are."""

    model: IGLLM | Derenderer
    tokenizer: Any
    name: str
    digest: str


def load_model(folder: Path, device: str = "auto") -> Loaded:
    """The model in a folder, adapters merged, in float32 whatever the file holds; adapted language models in bfloat16 on CUDA devices.

    Raises `UserError` for a folder that is not of an igllm model, is damaged, or names pretrained weights that are gone.
    """
    where = pick_device(device)
    config = check_config(folder)
    kind: Any = MODELS[config["model_type"]]
    # What is adapted is large, and was trained beside weights of that precision.
    dtype = torch.bfloat16 if config.get("language_base") and where.type == "cuda" else torch.float32
    quiet_transformers()
    try:
        model, told = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True) if kind is IGLLM else None
        digest = file_sha256(folder / WEIGHTS_FILE)
    except UserError:
        raise
    except Exception as error:  # damaged files; libraries say so in many ways
        raise UserError(f"{folder}: this model cannot be loaded ({reason(error)})") from None
    if told["missing_keys"]:  # which transformers would fill with random numbers
        raise UserError(f"{folder}: its weights lack {min(told['missing_keys'])}; the model is damaged")
    if kind is IGLLM:
        model = model.merged()
    return Loaded(model.to(where).eval(), tokenizer, str(folder), digest)


def check_config(folder: Path) -> dict[str, Any]:
    """The configuration of the model in a folder, as plain data; `UserError` unless this igllm reads such models."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or config.get("model_type") not in MODELS:
        raise UserError(f"{folder}: its config.json is not one of an igllm model")
    if config.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{folder}: model format {config.get('format_version')!r}, but this igllm reads {FORMAT_VERSION}")
    try:
        domain = get_domain(as_text(config.get("domain"), "config.json", "domain"))
    except UserError as error:
        raise UserError(f"{folder}: this model's domain cannot be had: {error}") from None
    try:
        dialect(domain, str(config.get("rotations", "own")))
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    return config
