"""Pretrained parts: a vision tower and a language model by hub name or folder, and which checkpoint they were."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import cached_file

from datagen.errors import UserError
from datagen.shards import file_sha256
from model.tables import reason

WEIGHTS_FILE = "model.safetensors"
_NO_SUCH_FILE = "does not appear to have a file named"


@dataclass(frozen=True)
class Base:
    """A checkpoint: its hub name with the commit, or its folder with the SHA-256 of what is in its weight files."""

    name: str
    revision: str | None = None
    sha256: str | None = None

    @staticmethod
    def named(text: str) -> Base:
        """Of ``NAME``, ``NAME@REVISION`` or a folder."""
        if Path(text).is_dir():
            folder = Path(text).absolute()
            return Base(str(folder), sha256=_folder_sha256(folder))
        name, _, revision = text.partition("@")
        return Base(name, revision or None)

    @staticmethod
    def of(stated: dict[str, Any]) -> Base:
        """The checkpoint that a configuration names; `UserError` if its folder is gone or holds other weights now."""
        base = Base(**stated)
        if base.sha256 is not None:
            if not Path(base.name).is_dir():
                raise UserError(f"{base.name}: this folder of pretrained weights is gone, and the model is made on them")
            if _folder_sha256(Path(base.name)) != base.sha256:
                raise UserError(f"{base.name}: holds other pretrained weights than those that the model was made on")
        return base

    def to_json(self) -> dict[str, Any]:
        """As a configuration holds it."""
        return asdict(self)

    def at(self, revision: str | None) -> Base:
        """The same, its revision made exact if it was not."""
        return self if self.sha256 else Base(self.name, revision or self.revision)

    def config(self) -> Any:
        """The configuration of the model in it."""
        return self._loaded(AutoConfig)

    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self._loaded(AutoTokenizer)

    def image_statistics(self) -> tuple[list[float], list[float]] | None:
        """Mean and standard deviation that the tower's images are normalised with, per channel; None if the checkpoint does not tell."""
        try:
            told, _ = ImageProcessingMixin.get_image_processor_dict(self.name, revision=self.revision)
        except OSError:
            return None
        return (told["image_mean"], told["image_std"]) if "image_mean" in told and "image_std" in told else None

    def load_tower(self, config: Any, dtype: torch.dtype, **fetching: Any) -> nn.Module:
        """Its vision tower; of a model of images and text, the tower alone."""
        return self._loaded(AutoModel, config=config, dtype=dtype, **fetching)

    def load_language_model(self, config: Any, dtype: torch.dtype, **fetching: Any) -> nn.Module:
        """Its causal language model, with as many rows of embeddings as `config` has tokens."""
        model: Any = self._loaded(AutoModelForCausalLM, dtype=dtype, **fetching)
        add_rows(model, config.vocab_size)
        return model

    def _loaded(self, kind: Any, **keywords: Any) -> Any:
        weights = kind in (AutoModel, AutoModelForCausalLM)
        if weights:
            keywords |= {"use_safetensors": True}  # the other format is a pickle
        revisions = [self.revision or "main"]
        if weights and self.revision and self.sha256 is None:
            revisions.append("main")  # where the hub keeps, for checkpoints older than safetensors, a conversion of them
        for revision in revisions:
            try:
                return kind.from_pretrained(self.name, revision=revision, trust_remote_code=False, **keywords)
            except Exception as error:  # a checkpoint that is not there, damaged, or of another kind; libraries say so in many ways
                why = reason(error)
                if _NO_SUCH_FILE not in why:
                    break
        raise UserError(f"{self.name}: cannot be loaded as a pretrained part ({why}); give a hub name or a folder saved by transformers")


def fetch_weights(folder_or_name: Any, **fetching: Any) -> str:
    """The weight file of a model in a folder or on the hub; OSError if there is none."""
    found = cached_file(folder_or_name, WEIGHTS_FILE, **fetching)
    assert found is not None  # cached_file raises by default
    return found


def vision_config_of(config: Any) -> Any:
    """The tower's configuration, also of a model of images and text such as CLIP."""
    return getattr(config, "vision_config", config)


@torch.no_grad()
def add_rows(model: Any, tokens: int) -> None:
    """See that a language model has embeddings for so many tokens; new ones are the mean of all. Never fewer than there were."""
    before = model.get_input_embeddings().weight.shape[0]
    if tokens <= before:
        return
    model.resize_token_embeddings(tokens, mean_resizing=False)
    for part in (model.get_input_embeddings(), model.get_output_embeddings()):
        part.weight[before:] = part.weight[:before].float().mean(0).to(part.weight.dtype)


def _folder_sha256(folder: Path) -> str:
    """Of the names and contents of the weight files in a folder."""
    files = [(path, path.stat()) for path in sorted(folder.glob("*.safetensors"))]
    return _sha256_of(tuple((path, status.st_size, status.st_mtime_ns) for path, status in files))


@lru_cache(maxsize=4)  # weights of many gigabytes are asked for when they are named and again when they are loaded
def _sha256_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    return hashlib.sha256("\n".join(f"{path.name} {file_sha256(path)}" for path, _, _ in files).encode()).hexdigest()
