"""Loads a trained model from a folder, ready to predict. Only safetensors, JSON and tokenizer files are opened."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.declared import as_declared
from datagen.io.files import NO_ROOM, file_sha256, read_json
from datagen.io.untrusted import shortened
from model.config import FORMAT_VERSION, IGLLMConfig, dialect_of, quiet_transformers
from model.declared import DECLARATIONS
from model.derender.derenderer import Derenderer
from model.device import pick_device
from model.extent import MOST_AT_ONCE, Extent, check_shapes, numbers_of_an_image, shapes_of, within
from model.igllm import IGLLM
from model.parts.cell_head import CellHead
from model.parts.pretrained import Base
from model.run_folder import check_saved, newest_checkpoint
from model.staging import CONFIG_FILE, WEIGHTS_FILE, staged, tokenizer_files, weight_files
from model.state_dict import first_not_finite
from model.tables import reason
from model.tokens.codec import NUM, CodeCodec
from model.tokens.pieces import code_texts, word_tokens
from model.tokens.prompts import PROMPTS, prompt_tokens
from model.trial import check_added_tokens, stated_tokens, try_rules, try_tokenizer

DERENDER = "igllm-derender"
MODELS: dict[str, type[IGLLM] | type[Derenderer]] = {"igllm": IGLLM, DERENDER: Derenderer}
WEIGHTS = Path(__file__).parent / "weights"
SHIPPED_DEFAULT = "tiny"
MOST_CELLS = 4096  # tower patches of an image: attention needs memory quadratic in them
_APART = "; they do not belong together: put both back from one copy"
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


def is_shipped(folder: Path) -> bool:
    """Whether the model in a folder is shipped with the package, and therefore trusted."""
    return folder.resolve().is_relative_to(WEIGHTS)


@dataclass(frozen=True)
class Loaded:
    """A model and its codec, None for a de-rendering model. ``name`` is its folder, ``digest`` its `model_digest`.

    ``most_images`` is how many images it may read at a time: more would take too much memory.
    """

    model: IGLLM | Derenderer
    codec: CodeCodec | None
    name: str
    digest: str
    most_images: int = 1024


def load_model(folder: Path, device: str = "auto") -> Loaded:
    """The model in a folder, adapters merged, in float32 whatever its file holds.

    On CUDA, parts loaded from pretrained checkpoints are bfloat16 if the language model is one of them.

    Raises `UserError` for a folder that is not of an igllm model, is damaged, or names pretrained weights that are gone.
    """
    where = pick_device(device)
    config = check_config(folder)
    digests = file_digests(folder)
    check_saved(folder, digests)
    kind: Any = MODELS[config["model_type"]]
    # A frozen pretrained language model is large, and training with bf16 holds its weights in bfloat16 too.
    dtype = torch.bfloat16 if config.get("language_base") and where.type == "cuda" else torch.float32
    quiet_transformers()
    try:
        most_images = check_extent(kind.config_class.from_pretrained(folder), kind, folder)
        model, report = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
        codec = _load_codec(folder, model.config) if kind is IGLLM else None
    except UserError as error:
        raise (error if str(folder) in str(error) else UserError(f"{folder}: {error}")) from None
    except Exception as error:  # libraries report damaged files in many ways
        if isinstance(error, OSError) and error.errno in NO_ROOM:  # no disk space for temporary files: not the model's fault
            raise
        raise UserError(f"{folder}: this model cannot be loaded ({reason(error)})") from None
    if unused := report.get("unexpected_keys"):
        raise UserError(f"{folder}: its weights hold {min(unused)}, which the model that its config.json describes does not have")
    if report["missing_keys"]:  # transformers fills them with random numbers
        raise UserError(f"{folder}: its weights lack {min(report['missing_keys'])}; the model is damaged")
    if (wrong := first_not_finite(model.state_dict())) is not None:
        raise UserError(f"{folder}: its weights hold {wrong}, which is not finite; the model is damaged, or its training went astray")
    if kind is IGLLM:
        model = model.merged()
    return Loaded(model.to(where).eval(), codec, str(folder), model_digest(digests), most_images)


def _load_tokenizer(folder: Path, config: IGLLMConfig) -> Any:
    """The tokenizer in a model's folder; `UserError` for one whose rules take too much time or memory."""
    stated, shipped = stated_tokens(folder), is_shipped(folder)
    if not shipped:
        try_rules(folder)
    with staged(folder) as stage:
        tokenizer = AutoTokenizer.from_pretrained(stage, local_files_only=True, trust_remote_code=False)
    tokenizer.name_or_path = str(folder)
    check_added_tokens(tokenizer, stated, folder)
    if not shipped:
        try_tokenizer(tokenizer, [*code_texts(dialect_of(config)), *PROMPTS])
    return tokenizer


def check_extent(config: Any, kind: Any, folder: Path) -> int:
    """The number of images that the model of a configuration may read at once without taking too much memory.

    `UserError` if the folder has no weight files or those of another model by their headers, or if one image takes too much memory.
    """
    files = weight_files(folder)
    if not files:
        raise UserError(f"{folder}: has no {WEIGHTS_FILE}; the model is not whole")
    shapes = shapes_of(folder)
    extent = Extent.of(shapes, files[0].name)
    for stated in (getattr(config, name, None) for name in ("vision_base", "language_base")):
        extent += Base.of(stated).extent() if stated else Extent.none()
    with within(extent, f"its {CONFIG_FILE}"):
        model = kind(config).eval()
    check_shapes(model, shapes, folder)
    if kind is IGLLM and model.tower.attended > MOST_CELLS:
        raise UserError(f"{folder}: its config.json makes {model.tower.attended:,} cells of an image; at most {MOST_CELLS:,} are possible")

    def see(images: torch.Tensor) -> None:
        if kind is Derenderer:
            model.proposals(model.features(images))
            return
        seen = model.see(images)
        if model.dense_head is not None:
            model.dense_head(model.dense_input(seen))
        if isinstance(model.numeric_head, CellHead):
            model.numeric_head.key(seen.visual)

    frame = (config.image_height, config.image_width)
    return MOST_AT_ONCE // numbers_of_an_image(see, frame, f"{folder}: its {CONFIG_FILE}")


def _load_codec(folder: Path, config: IGLLMConfig) -> CodeCodec:
    """The codec of a model's code, with the tokenizer in its folder.

    `UserError` if the configuration states other token ids than the tokenizer has: the model would read and write wrong tokens.
    """
    tokenizer, rows, codec = _load_tokenizer(folder, config), config.text_config.vocab_size, None
    if tokenizer.eos_token_id is not None:
        codec = CodeCodec(
            get_domain(config.domain), tokenizer, config.numbers, config.rotations, places=config.places, header=config.shot_in_code
        )
    if codec is None or codec.largest_token >= rows:
        raise UserError(f"{folder}: its tokenizer has other tokens than the {rows:,} of its language model; put both back from one copy")
    words = word_tokens(codec.dialect, tokenizer)
    has = {
        "num_token_id": tokenizer.convert_tokens_to_ids(NUM),
        "prefix_token_ids": prompt_tokens(tokenizer, [config.prompt]).prefix,
        "word_token_ids": words if config.word_token_ids else [],
    }
    for name, tokens in has.items():
        if getattr(config, name) != tokens:
            raise UserError(
                f"{folder}: its config.json says {name}={shortened(getattr(config, name))}, but its tokenizer {shortened(tokens)}{_APART}"
            )
    for name in ("eos", "pad"):  # not bos: a text begins with the prefix, whatever bos is stated
        stated, has_token = (getattr(of, f"{name}_token_id", None) for of in (config.text_config, tokenizer))
        ids = stated if isinstance(stated, list | tuple) else [stated]  # checkpoints may state several eos tokens
        if None not in (stated, has_token) and has_token not in ids:
            raise UserError(
                f"{folder}: its config.json says text_config.{name}_token_id={shortened(stated)}, but its tokenizer {has_token}{_APART}"
            )
    return codec


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of the model in a folder, by name. Predictions depend on these alone: the configuration names the
    pretrained parts with their revisions or digests."""
    return {path.name: file_sha256(path) for path in sorted([folder / CONFIG_FILE, *weight_files(folder), *tokenizer_files(folder)])}


def model_digest(digests: Mapping[str, str]) -> str:
    """One digest of a model, computed from those of its files."""
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in digests.items()).encode()).hexdigest()


def check_config(folder: Path) -> dict[str, Any]:
    """The configuration of the model in a folder, as plain data; `UserError` unless this igllm reads such models."""
    config = read_json(folder / CONFIG_FILE)
    if not isinstance(config, dict) or str(config.get("model_type")) not in MODELS:
        raise UserError(f"{folder}: its config.json is not one of an igllm model")
    if type(config.get("format_version")) is not int or config["format_version"] != FORMAT_VERSION:
        raise UserError(f"{folder}: model format {config.get('format_version')!r}, but this igllm reads {FORMAT_VERSION}")
    as_declared(config, DECLARATIONS[config["model_type"]], f"{folder}: its config.json is damaged")
    try:
        get_domain(config["domain"])
    except UserError as error:
        raise UserError(f"{folder}: this model's domain cannot be had: {error}") from None
    try:
        dialect_of(config)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    return config
