"""A trained model out of a folder, ready to predict. Opens only safetensors and JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from datagen.domains.dialects import dialect
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.declared import as_declared
from datagen.io.files import NO_ROOM, file_sha256, read_json
from datagen.io.untrusted import shortened
from model.config import FORMAT_VERSION, IGLLMConfig
from model.declared import DECLARATIONS
from model.derender.derenderer import Derenderer
from model.device import pick_device
from model.extent import MOST_AT_ONCE, Extent, check_shapes, numbers_of_an_image, shapes_of, within
from model.finite import first_not_finite
from model.igllm import IGLLM
from model.parts.pretrained import Base
from model.quiet import quiet_transformers
from model.run_folder import check_saved, newest_checkpoint
from model.staging import CONFIG_FILE, WEIGHTS_FILE, staged, tokenizer_files, weight_files
from model.tables import reason
from model.tokens.codec import NUM, CodeCodec, code_texts, word_tokens
from model.tokens.prompts import PROMPTS, prompt_tokens
from model.trial import check_added_tokens, stated_tokens, try_rules, try_tokenizer

MODELS: dict[str, type[IGLLM] | type[Derenderer]] = {"igllm": IGLLM, "igllm-derender": Derenderer}
WEIGHTS = Path(__file__).parent / "weights"
SHIPPED_DEFAULT = "tiny"
MOST_CELLS = 4096  # of an image: attention takes memory as the square of them
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
    """Whether the model in a folder is one of the package, and no stranger's."""
    return folder.resolve().is_relative_to(WEIGHTS)


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer, if it has one; ``name`` says where it was, ``digest`` what it is, as `model_digest` does.

    Of more than ``most_images``, it would take more memory at once than it may.
    """

    model: IGLLM | Derenderer
    tokenizer: Any
    name: str
    digest: str
    most_images: int = 1024


def load_model(folder: Path, device: str = "auto") -> Loaded:
    """The model in a folder, adapters merged, in float32 whatever the file holds; adapted language models in bfloat16 on CUDA devices.

    Raises `UserError` for a folder that is not of an igllm model, is damaged, or names pretrained weights that are gone.
    """
    where = pick_device(device)
    config = check_config(folder)
    digests = file_digests(folder)
    check_saved(folder, digests)
    kind: Any = MODELS[config["model_type"]]
    # What is adapted is large, and was trained beside weights of that precision.
    dtype = torch.bfloat16 if config.get("language_base") and where.type == "cuda" else torch.float32
    quiet_transformers()
    try:
        most_images = check_extent(kind.config_class.from_pretrained(folder), kind, folder)
        model, told = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
        tokenizer = load_tokenizer(folder, model.config) if kind is IGLLM else None
        if kind is IGLLM:
            _check_tokens(model.config, tokenizer, folder)
    except UserError as error:
        raise (error if str(folder) in str(error) else UserError(f"{folder}: {error}")) from None
    except Exception as error:  # damaged files; libraries say so in many ways
        if isinstance(error, OSError) and error.errno in NO_ROOM:  # for temporary files, which is no fault of the model's
            raise
        raise UserError(f"{folder}: this model cannot be loaded ({reason(error)})") from None
    if unused := told.get("unexpected_keys"):
        raise UserError(f"{folder}: its weights hold {min(unused)}, which the model that its config.json describes does not have")
    if told["missing_keys"]:  # which transformers would fill with random numbers
        raise UserError(f"{folder}: its weights lack {min(told['missing_keys'])}; the model is damaged")
    if (wrong := first_not_finite(model.state_dict())) is not None:
        raise UserError(f"{folder}: its weights hold {wrong}, which is not finite; the model is damaged, or its training went astray")
    if kind is IGLLM:
        model = model.merged()
    return Loaded(model.to(where).eval(), tokenizer, str(folder), model_digest(digests), most_images)


def load_tokenizer(folder: Path, config: IGLLMConfig) -> Any:
    """The tokenizer in the folder of a model; `UserError` for one that would not come to an end."""
    stated, shipped = stated_tokens(folder), is_shipped(folder)
    if not shipped:
        try_rules(folder)
    with staged(folder) as stage:
        tokenizer = AutoTokenizer.from_pretrained(stage, local_files_only=True, trust_remote_code=False)
    tokenizer.name_or_path = str(folder)
    check_added_tokens(tokenizer, stated, folder)
    if not shipped:
        try_tokenizer(tokenizer, [*code_texts(dialect(get_domain(config.domain), config.rotations)), *PROMPTS])
    return tokenizer


def check_extent(config: Any, kind: Any, folder: Path) -> int:
    """How many images the model that a configuration describes may read at once.

    `UserError` if it is not the one whose weights are in a folder, by their files' headers, or takes too much memory for one image.
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
        visual = model.encode_image(images)
        for head, read in ((model.dense_head, "read"), (model.numeric_head, "key")):
            if hasattr(head, read):
                getattr(head, read)(visual)

    frame = (config.image_height, config.image_width)
    return MOST_AT_ONCE // numbers_of_an_image(see, frame, f"{folder}: its {CONFIG_FILE}")


def _check_tokens(config: IGLLMConfig, tokenizer: Any, folder: Path) -> None:
    """`UserError` if a configuration's tokens are not its tokenizer's: a model would read and write others than it means."""
    domain, rows = get_domain(config.domain), config.text_config.vocab_size
    if tokenizer.eos_token_id is None or CodeCodec(domain, tokenizer, config.numbers, config.rotations).largest_token >= rows:
        raise UserError(f"{folder}: its tokenizer has other tokens than the {rows:,} of its language model; put both back from one copy")
    words = word_tokens(dialect(domain, config.rotations), tokenizer)
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
    for name in ("eos", "pad"):  # what a text begins with is the prefix's to say
        stated, has_token = (getattr(of, f"{name}_token_id", None) for of in (config.text_config, tokenizer))
        ids = stated if isinstance(stated, list | tuple) else [stated]  # checkpoints may end a text with several
        if None not in (stated, has_token) and has_token not in ids:
            raise UserError(
                f"{folder}: its config.json says text_config.{name}_token_id={shortened(stated)}, but its tokenizer {has_token}{_APART}"
            )


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of the model in a folder, by name: all that determines what it writes, as pretrained parts are stated."""
    return {path.name: file_sha256(path) for path in sorted([folder / CONFIG_FILE, *weight_files(folder), *tokenizer_files(folder)])}


def model_digest(digests: Mapping[str, str]) -> str:
    """One digest of a model, of those of its files."""
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
        domain = get_domain(config["domain"])
    except UserError as error:
        raise UserError(f"{folder}: this model's domain cannot be had: {error}") from None
    try:
        dialect(domain, str(config.get("rotations", "own")))
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    return config
