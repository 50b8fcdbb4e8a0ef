"""Pretrained parts: a vision tower and a language model by hub name or folder, and which checkpoint they were."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import resolve_revision
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import cached_file

from datagen.declared import as_declared
from datagen.errors import UserError
from datagen.shards import file_sha256
from model.declared import StatedStatistics
from model.extent import Extent, shapes_in, within
from model.staging import ADAPTER_FILE, CONFIG_FILE, WEIGHTS_FILE, staged, weight_files
from model.tables import blaming, reason

PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_BEHIND = re.compile(r"(^|\.)(pooler|head|classifier)\.")  # of a tower, what lies behind all hidden states, which alone are read
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
        elif Path(base.name).is_dir():  # which transformers would take for the model of that name
            raise UserError(f"{base.name}: is a folder here, and the model is made on one of that name whose digest it does not state")
        return base

    def to_json(self) -> dict[str, Any]:
        """As a configuration holds it."""
        return asdict(self)

    def exact(self) -> Base:
        """The same, its revision on the hub made exact if that can be known."""
        if self.sha256:
            return self
        try:
            return Base(self.name, resolve_revision(self.name, revision=self.revision).resolved)
        except Exception:  # there is no connection, say; what is in the cache may do
            return self

    def config(self) -> Any:
        """The configuration of the model in it."""
        with self._opened() as (where, fetching), self._blamed(where):
            config = AutoConfig.from_pretrained(where, trust_remote_code=False, **fetching)
        config.name_or_path = self.name
        return config

    def tokenizer(self) -> Any:
        """Its tokenizer."""
        config = self.config()
        with self._opened(weights=True) as (where, fetching), self._blamed(where):
            tokenizer = AutoTokenizer.from_pretrained(where, config=config, trust_remote_code=False, **fetching)
        tokenizer.name_or_path = self.name
        return tokenizer

    def image_statistics(self) -> tuple[list[float], list[float]] | None:
        """Mean and standard deviation that the tower's images are normalised with, per channel; None if the checkpoint does not tell."""
        if not any(map(self._file, PREPROCESSOR_FILES)):
            return None
        with self._blamed(self.name):
            told, _ = ImageProcessingMixin.get_image_processor_dict(self.name, revision=self.revision)
        if "image_mean" not in told or "image_std" not in told:
            return None
        stated = as_declared(told, StatedStatistics, f"{self.name}: its {PREPROCESSOR_FILES[0]} is damaged")
        return list(stated.image_mean), list(stated.image_std)

    def load_tower(self, config: Any, dtype: torch.dtype, **fetching: Any) -> nn.Module:
        """Its vision tower; of a model of images and text, the tower alone."""
        tower, missing = self._loaded(AutoModel, config=config, dtype=dtype, **fetching)
        self._refuse_missing(name for name in missing if not _BEHIND.search(name))
        return tower

    def load_language_model(self, config: Any, dtype: torch.dtype, **fetching: Any) -> nn.Module:
        """Its causal language model, with as many rows of embeddings as `config` has tokens."""
        own = {"config": self.config()} if self._file(CONFIG_FILE) else {}
        model, missing = self._loaded(AutoModelForCausalLM, dtype=dtype, generation_config=GenerationConfig(), **own, **fetching)
        self._refuse_missing(missing)
        add_rows(model, config.vocab_size)
        return model

    def extent(self) -> Extent:
        """How large a model of it may be: of a folder by what its files hold, else by this machine's memory."""
        files = weight_files(Path(self.name)) if self.sha256 else []
        return Extent.of(shapes_in(files), files[0].name) if files else Extent.of_memory()

    def _loaded(self, kind: Any, **keywords: Any) -> tuple[Any, Collection[str]]:
        """A model with its weights, and the names of those that the checkpoint lacks."""
        if self._file(ADAPTER_FILE):
            raise UserError(
                f"{self.name}: holds adapters ({ADAPTER_FILE}), and weights of their own are needed: `merge_and_unload` of peft makes them"
            )
        if "config" in keywords:
            with within(self.extent(), self.name), blaming(self.name):
                kind.from_config(keywords["config"])
        revisions = [self.revision or "main"]
        if self.revision and self.sha256 is None:
            revisions.append("main")  # where the hub keeps, for checkpoints older than safetensors, a conversion of them
        keywords |= {"use_safetensors": True, "trust_remote_code": False, "output_loading_info": True}  # the other format is a pickle
        for revision in revisions:
            last = revision == revisions[-1]
            try:
                with self._opened(weights=True) as (where, _), self._blamed(where):
                    model, told = kind.from_pretrained(where, revision=revision, **keywords)
            except UserError as error:
                if last or _NO_SUCH_FILE not in str(error):
                    raise
                continue
            model.name_or_path = model.config.name_or_path = self.name
            return model, told["missing_keys"]
        raise AssertionError("the last revision returns or raises")

    def _refuse_missing(self, names: Iterable[str]) -> None:
        if missing := sorted(names):  # which transformers would fill with random numbers
            raise UserError(f"{self.name}: its weights lack {missing[0]}; the checkpoint is damaged, or of another kind of model")

    @contextmanager
    def _opened(self, weights: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """Where transformers may read it, and how: a folder as it is staged, and of the hub at least the configuration."""
        if self.sha256:
            with staged(Path(self.name)) as stage:
                yield str(stage), {}
        elif not weights and (path := self._file(CONFIG_FILE)):
            with staged(path.parent) as stage:
                yield str(stage), {}
        else:
            yield self.name, {"revision": self.revision or "main"}

    @contextmanager
    def _blamed(self, where: str) -> Iterator[None]:
        """What goes wrong with a checkpoint that is not there, damaged, or of another kind, which libraries say in many ways."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            why = reason(error).replace(where, self.name)
            raise UserError(
                f"{self.name}: cannot be loaded as a pretrained part ({why}); give a hub name or a folder saved by transformers"
            ) from None

    def _file(self, name: str) -> Path | None:
        """A file of it; None if there is none, or the hub cannot be asked."""
        if self.sha256:
            return Path(self.name, name) if Path(self.name, name).exists() else None
        quietly = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors", "gated_repo")}
        try:
            found = cached_file(self.name, name, revision=self.revision, **quietly)
        except OSError:
            return None  # whoever loads it says what is wrong with it
        return None if found is None else Path(found)


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
