"""Pretrained parts: loads a vision tower and a language model by hub name or folder, and identifies their checkpoints."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import resolve_revision, snapshot_download
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import cached_file

from datagen.errors import UserError
from datagen.io.files import file_sha256
from datagen.io.untrusted import shortened
from datagen.scene import FRAME_SIDES
from model.extent import Extent, in_words, shapes_of, within
from model.parts.preprocessor import PREPROCESSOR_FILES, Statistics, read_statistics, statistics_in
from model.staging import ADAPTER_FILE, CONFIG_FILE, INDEX_FILE, TOKENIZER_FILES, WEIGHTS_FILE, index_of, plain, staged, weight_files
from model.tables import blaming, reason
from model.trial import check_added_tokens, stated_tokens, try_rules

_BEHIND = re.compile(r"(^|\.)(pooler|head|classifier)\.")  # layers after a tower's hidden states, which are not used
_BESIDE_TOWER = re.compile(
    r"^(text_|logit_|query_tokens|visual_projection|vision_projection|language_|qformer)|(^|\.)(pooler|decoder|\w*head|\w*classifier)\.|"
    r"^timm_model\.(fc|last_linear|head_dist)\."
)
"""Weights of a checkpoint that are no part of its tower: the text side, and heads of other tasks."""
_BESIDE_LANGUAGE_MODEL = re.compile(
    r"^(model\.)?(v_head|score|classifier|mtp|visual|vision_\w+|multi_modal_\w+)\.|(^|\.)(rotary_emb\.inv_freq|masked_bias)$"
)
"""Weights that are no part of its language model: the image side, heads of other tasks, and buffers that older versions saved."""
_NO_SUCH_FILE = "does not appear to have a file named"


@dataclass(frozen=True)
class Base:
    """A checkpoint: its hub name and commit, or its folder and the SHA-256 of its weight files."""

    name: str
    revision: str | None = None
    sha256: str | None = None

    @staticmethod
    def named(text: str) -> Base:
        """The checkpoint that a user calls ``NAME``, ``NAME@REVISION`` or by its folder."""
        if Path(text).is_dir():
            folder = Path(text).absolute()
            return Base(str(folder), sha256=_folder_sha256(folder))
        name, _, revision = text.partition("@")
        return Base(name, revision or None)

    @staticmethod
    def of(stated: dict[str, Any]) -> Base:
        """The checkpoint that a configuration states; `UserError` if its folder is gone or holds other weights now."""
        base = Base(**stated)
        if base.sha256 is not None:
            if not Path(base.name).is_dir():
                raise UserError(f"{base.name}: this folder of pretrained weights is gone, and the model is made on them")
            if _folder_sha256(Path(base.name)) != base.sha256:
                raise UserError(f"{base.name}: holds other pretrained weights than those that the model was made on")
        elif Path(base.name).is_dir():  # transformers would load it instead of the model of that name
            raise UserError(f"{base.name}: is a folder here, and the model is made on one of that name whose digest it does not state")
        return base

    def to_json(self) -> dict[str, Any]:
        """The checkpoint as a configuration states it."""
        return asdict(self)

    def exact(self) -> Base:
        """The same checkpoint with its commit on the hub as revision, if the hub can be reached."""
        if self.sha256:
            return self
        try:
            return Base(self.name, resolve_revision(self.name, revision=self.revision).resolved)
        except Exception:  # for example without connection; the cache may have it
            return self

    def config(self) -> Any:
        """The checkpoint's configuration."""
        with self._opened() as (where, fetching), self._blamed(where):
            config = AutoConfig.from_pretrained(where, trust_remote_code=False, **fetching)
        config.name_or_path = self.name
        return config

    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer."""
        config = self.config()
        folder = self._folder()
        stated: dict[str, int | str] = {}
        if folder is not None:
            stated = stated_tokens(folder)
            try_rules(folder)
        with self._opened() as (where, fetching), self._blamed(where):
            tokenizer = AutoTokenizer.from_pretrained(where, config=config, trust_remote_code=False, **fetching)
        tokenizer.name_or_path = self.name
        if folder is not None:
            check_added_tokens(tokenizer, stated, folder)
        return tokenizer

    def image_statistics(self) -> Statistics | None:
        """Mean and standard deviation per channel that the tower's images are normalised with; None if no file states them."""
        found = [path for path in map(self._file, PREPROCESSOR_FILES) if path is not None]
        return read_statistics(found[0].parent) if found else None

    def load_tower(self, config: Any, dtype: torch.dtype, **fetching: Any) -> nn.Module:
        """The checkpoint's vision tower; of a model of images and text, the tower alone."""
        return self._loaded(AutoModel, config, dtype, fetching, optional=_BEHIND, beside=_BESIDE_TOWER)

    def load_language_model(self, config: Any, dtype: torch.dtype, **fetching: Any) -> nn.Module:
        """The checkpoint's causal language model, with at least as many rows of embeddings as `config` has tokens."""
        own = self.config() if self._file(CONFIG_FILE) else None
        model = self._loaded(
            AutoModelForCausalLM, own, dtype, fetching, beside=_BESIDE_LANGUAGE_MODEL, generation_config=GenerationConfig()
        )
        add_rows(model, config.vocab_size)
        return model

    def extent(self) -> Extent:
        """The bound on the model's size: by the weight files in its folder, for a hub name by this machine's memory."""
        return _extent_of(Path(self.name) if self.sha256 else None)

    def _loaded(
        self,
        kind: Any,
        config: Any,
        dtype: torch.dtype,
        fetching: Mapping[str, Any],
        *,
        beside: re.Pattern[str],
        optional: re.Pattern[str] | None = None,
        **keywords: Any,
    ) -> Any:
        """The model with its weights. `UserError` for missing weights, except ``optional``, and for left-over ones, except ``beside``."""
        if self._file(ADAPTER_FILE):
            raise UserError(
                f"{self.name}: holds adapters ({ADAPTER_FILE}), and weights of their own are needed: `merge_and_unload` of peft makes them"
            )
        folder = self._folder(weights=True, **fetching)
        if config is not None:
            with within(_extent_of(folder), self.name), blaming(self.name):
                kind.from_config(config)
            keywords["config"] = config
        keywords |= {"use_safetensors": True, "trust_remote_code": False}  # the other format is a pickle
        # `_check_loaded` reports mismatched sizes.
        keywords |= {"dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True}
        if folder is not None and weight_files(folder):
            with staged(folder) as stage, self._blamed(str(stage)):
                model, loading = kind.from_pretrained(stage, **keywords)
        else:
            model, loading = self._converted(kind, **keywords, **fetching)
        model.name_or_path = model.config.name_or_path = self.name
        self._check_loaded(loading, beside, optional)
        return model

    def _converted(self, kind: Any, **keywords: Any) -> Any:
        """The model of a checkpoint older than safetensors, from the hub's conversion, which transformers finds on the main branch only."""
        for revision in dict.fromkeys([self.revision or "main", "main"]):
            try:
                with self._blamed(self.name):
                    return kind.from_pretrained(self.name, revision=revision, **keywords)
            except UserError as error:
                if revision == "main" or _NO_SUCH_FILE not in str(error):
                    raise
        raise AssertionError("the main branch returns or raises")

    def _check_loaded(self, loading: Mapping[str, Any], beside: re.Pattern[str], optional: re.Pattern[str] | None) -> None:
        """`UserError` unless the weights fit the configuration's model, by transformers' report on ``loading``."""
        if mismatched := sorted(loading.get("mismatched_keys", ())):
            name, held, described = mismatched[0]
            raise UserError(
                f"{self.name}: {CONFIG_FILE} describes {name} as {in_words(described)}, but the weights' file holds {in_words(held)}"
            )
        lacking = sorted(name for name in loading["missing_keys"] if optional is None or not optional.search(name))
        if lacking:  # transformers fills them with random numbers
            raise UserError(f"{self.name}: its weights lack {lacking[0]}; the checkpoint is damaged, or of another kind of model")
        left_over = sorted(name for name in loading.get("unexpected_keys", ()) if not beside.search(name))
        if left_over:  # transformers ignores them
            raise UserError(
                f"{self.name}: its weights hold {plain(left_over[0])}, which the model that its {CONFIG_FILE} describes does not have; "
                "the checkpoint is damaged, or of another kind of model"
            )

    @contextmanager
    def _opened(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The place, staged folder or hub name, from which transformers may read configuration and tokenizer, and arguments for it."""
        folder = self._folder()
        if folder is None:
            yield self.name, {"revision": self.revision or "main"}
        else:
            with staged(folder, weights=False) as stage:
                yield str(stage), {}

    def _folder(self, weights: bool = False, **fetching: Any) -> Path | None:
        """The checkpoint's folder; for a hub name that of the cache, with the permitted files fetched. None if fetching fails."""
        if self.sha256:
            return Path(self.name)

        def fetch(*names: str) -> Path:
            return Path(snapshot_download(self.name, revision=self.revision, allow_patterns=list(names), **fetching))

        try:
            folder = fetch(CONFIG_FILE, *TOKENIZER_FILES)
            if weights:
                folder = fetch(WEIGHTS_FILE, INDEX_FILE)
                if (folder / INDEX_FILE).exists() and not (folder / WEIGHTS_FILE).exists():
                    folder = fetch(*set(index_of(folder).values()))
        except UserError:
            raise
        except Exception:  # for example no connection, or no such name: loading reports which
            return None
        return folder

    @contextmanager
    def _blamed(self, where: str) -> Iterator[None]:
        """Turn any error into a `UserError`: for a checkpoint that is missing, damaged or of another kind, libraries raise many kinds."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            why = reason(error).replace(where, self.name)
            if isinstance(error, ImportError) and "timm" in str(error):
                raise UserError(f"{self.name}: is a model of timm, which is not installed: pip install timm") from None
            if "tiktoken" in why:  # transformers tries it after SentencePiece has failed
                why = "its tokenizer.model is damaged"
            raise UserError(
                f"{self.name}: cannot be loaded as a pretrained part ({why}); give a hub name or a folder saved by transformers"
            ) from None

    def _file(self, name: str) -> Path | None:
        """One of the checkpoint's files; None if it is missing or the hub cannot be reached."""
        if self.sha256:
            return Path(self.name, name) if Path(self.name, name).exists() else None
        quietly = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors", "gated_repo")}
        try:
            found = cached_file(self.name, name, revision=self.revision, **quietly)
        except OSError:
            return None  # loading the checkpoint reports the reason
        return None if found is None else Path(found)


def _extent_of(folder: Path | None) -> Extent:
    files = weight_files(folder) if folder is not None else []
    return Extent.of(shapes_of(folder), files[0].name) if folder is not None and files else Extent.of_memory()


def fetch_weights(folder_or_name: Any, **fetching: Any) -> str:
    """The weight file of a model in a folder or on the hub; OSError if there is none."""
    found = cached_file(folder_or_name, WEIGHTS_FILE, **fetching)
    assert found is not None  # cached_file raises by default
    return found


def vision_config_of(config: Any) -> Any:
    """The configuration of a checkpoint's tower, which may be part of a model of images and text such as CLIP."""
    return getattr(config, "vision_config", config)


def own_frame(config: Any) -> tuple[int, int] | None:
    """Height and width of the images that a tower was made for, as its configuration states them; None if it states none.

    `UserError` for sides that no frame can have.
    """
    side = getattr(config, "image_size", None)
    side = _size_of_timm(config) if side is None else side
    if side is None or side == 0:
        return None
    if isinstance(side, list | tuple) and len(side) != 2:
        raise UserError(f"image_size is {str(side)[:80]}; a number is expected, or a height and a width")
    height, width = side if isinstance(side, list | tuple) else (side, side)
    low, high = FRAME_SIDES
    if not all(type(side) is int and low <= side <= high for side in (height, width)):
        raise UserError(f"image_size is {shortened([height, width])}; {low} to {high:,} pixels each way are possible")
    return height, width


def _size_of_timm(config: Any) -> Any:
    """The image size that the configuration of a model of timm states: as an argument, or as channels, height and width of its input."""
    arguments, trained = getattr(config, "model_args", None) or {}, _trained_by_timm(config)
    size, shape = arguments.get("img_size"), trained.get("input_size")
    return shape[1:] if size is None and isinstance(shape, list | tuple) else size


def statistics_of_timm(config: Any, name: str) -> Statistics | None:
    """Mean and standard deviation per channel that the configuration of a model of timm states; None if it states none."""
    trained = _trained_by_timm(config)
    stated = {f"image_{each}": trained[each] for each in ("mean", "std") if each in trained}
    return statistics_in(stated, f"{name}: {CONFIG_FILE}: pretrained_cfg") if stated else None


def _trained_by_timm(config: Any) -> dict[str, Any]:
    """What the configuration of a model of timm says of its training; empty for other models."""
    stated = getattr(config, "pretrained_cfg", None)
    return stated if isinstance(stated, dict) else {}


@torch.no_grad()
def add_rows(model: Any, tokens: int) -> None:
    """Give a language model embeddings for at least ``tokens`` tokens; new ones are the mean of all old ones."""
    before = model.get_input_embeddings().weight.shape[0]
    if tokens <= before:
        return
    model.resize_token_embeddings(tokens, mean_resizing=False)
    for part in (model.get_input_embeddings(), model.get_output_embeddings()):
        part.weight[before:] = part.weight[:before].float().mean(0).to(part.weight.dtype)


def _folder_sha256(folder: Path) -> str:
    """The SHA-256 of the names and contents of the weight files in a folder."""
    files = [(path, path.stat()) for path in sorted(folder.glob("*.safetensors"))]
    return _sha256_of(tuple((path, status.st_size, status.st_mtime_ns) for path, status in files))


@lru_cache(maxsize=4)  # called when weights, perhaps gigabytes, are named and again when they are loaded
def _sha256_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    return hashlib.sha256("\n".join(f"{path.name} {file_sha256(path)}" for path, _, _ in files).encode()).hexdigest()
