"""Builds a new model and its codec from a preset: parts from scratch or pretrained, and a tokenizer with `[NUM]`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING, AutoModel, AutoModelForCausalLM, AutoTokenizer

from datagen.code.statements import Language
from datagen.domains.base import Domain
from datagen.domains.dialects import dialect
from datagen.errors import UserError
from model.config import IGLLMConfig, quiet_transformers
from model.data.caption_pairs import CAPTION_TOKENS
from model.extent import Extent, within
from model.igllm import IGLLM
from model.parts.layout import USABLE
from model.parts.preprocessor import PREPROCESSOR_FILE
from model.parts.pretrained import Base, own_frame, statistics_of_timm, vision_config_of
from model.parts.tower import VisionTower, known_layout
from model.preset import FROM_SCRATCH, Preset, Stage
from model.tables import blaming, configuration, reason
from model.tokens.codec import NUM, CodeCodec
from model.tokens.pieces import code_texts, word_tokens
from model.tokens.prompts import DESCRIBE_PROMPTS, PROMPTS, VICUNA_TEMPLATE, prompt_tokens
from model.tokens.tokenizer import domain_tokenizer
from model.trial import try_tokenizer

MOST_NEW_TOKENS = 10_000  # tokens beyond the language model's vocabulary; some checkpoints have a few

TRAINED: dict[Stage, tuple[str, ...]] = {"pretrain": ("tower", "projector", "dense_head"), "align": ("projector",)}
"""The parts that the stages before instruction tuning train. Instruction tuning trains whatever the preset does not freeze."""


@dataclass(frozen=True)
class ModelPlan:
    """The codec and the configuration of a preset's model, checked as far as possible before weights are loaded."""

    preset: Preset
    stage: Stage
    codec: CodeCodec
    config: IGLLMConfig

    @property
    def bases(self) -> dict[str, Any]:
        """The checkpoints that the parts start from, as ``run.json`` records them: the digest of a folder's weights, or a hub name and its
        revision."""
        stated = {"vision": self.config.vision_base, "language": self.config.language_base}
        return {name: base and (base["sha256"] or f"{base['name']}@{base['revision']}") for name, base in stated.items()}

    def build(self, provenance: Mapping[str, Any] | None = None) -> IGLLM:
        """The model. ``provenance`` holds the fields that its configuration records about its training: preset, data and code.

        All parts that the stage does not train (`TRAINED`) are frozen. `UserError` for a checkpoint that cannot be loaded, and for parts
        that fail on trial inputs.
        """
        preset, config = self.preset, deepcopy(self.config)
        for name, value in (provenance or {}).items():
            setattr(config, name, value)
        # Trained parts keep float32, with all digits of their checkpoint.
        frozen = torch.bfloat16 if preset.optimisation.bf16 else torch.float32
        vision_dtype = frozen if preset.tower.freeze_vision else torch.float32
        language_dtype = frozen if preset.language.lora_rank or self.stage == "align" else torch.float32
        with blaming("the parts"):
            model = IGLLM.on_bases(config, vision_dtype, language_dtype)
        _try_out(model, preset)
        if self.stage != "align":
            _own_what_is_trained(model, preset)
        if self.stage in TRAINED:
            model.requires_grad_(False)
            for name in TRAINED[self.stage]:
                model.get_submodule(name).requires_grad_(True)
        return model


def plan(preset: Preset, domain: Domain, *, stage: Stage = "train") -> ModelPlan:
    """The plan of the model that a preset describes.

    `UserError` for a checkpoint that is missing or does not fit, for tables that describe no model, for rotations that the domain does not
    have, and for a language model with a recurrent state or too few positions.
    """
    preset.check_parts()
    quiet_transformers()
    head = preset.head
    written = dialect(domain, head.rotations, head.places, head.shot_in_code)
    tokenizer, language_base = make_tokenizer(preset, written)
    vision, vision_base, frame = _vision(preset)
    text, language_base = _text(preset, tokenizer, language_base)
    try:
        codec = CodeCodec(domain, tokenizer, head.numbers, head.rotations, places=head.places, header=head.shot_in_code)
    except UserError as error:
        raise UserError(f"{_source(preset, 'text')}: {error}") from None
    _check_attends(text, _source(preset, "text"))
    config = IGLLMConfig(
        vision_config=vision,
        text_config=text,
        vision_base=vision_base and vision_base.to_json(),
        language_base=language_base and language_base.to_json(),
        lora=_lora(preset),
        domain=domain.name,
        prefix_token_ids=prompt_tokens(tokenizer).prefix,
        num_token_id=tokenizer.convert_tokens_to_ids(NUM),
        word_token_ids=word_tokens(written, tokenizer) if head.word_cells else [],
        **{name: value for name, value in preset.to_json().items() if name in IGLLMConfig.__annotations__} | frame,
    )
    tokens = _plan_tower(config, _source(preset, "vision"), Extent.of_memory() if vision_base is None else vision_base.extent())
    if language_base is None:  # a pretrained one is checked when it is loaded
        with blaming(_source(preset, "text")), within(Extent.of_memory(), _source(preset, "text")):
            AutoModelForCausalLM.from_config(text)
    if stage != "pretrain":
        answer, prompts = (CAPTION_TOKENS, DESCRIBE_PROMPTS) if stage == "align" else (codec.max_tokens, PROMPTS)
        asked = max(map(len, prompt_tokens(tokenizer, prompts).asked))
        _check_positions(text, _source(preset, "text"), len(config.prefix_token_ids) + tokens + asked, answer)
    return ModelPlan(preset, stage, codec, config)


def build(preset: Preset, domain: Domain, *, stage: Stage = "train") -> tuple[IGLLM, CodeCodec]:
    """The model that a preset describes, and the codec of its code, with its tokenizer; see `plan` and `Plan.build`."""
    planned = plan(preset, domain, stage=stage)
    return planned.build(), planned.codec


def _source(preset: Preset, table: Literal["vision", "text"]) -> str:
    """Where a part comes from, as messages name it: its checkpoint, or the preset's table."""
    name = preset.tower.vision_model if table == "vision" else preset.language.language_model
    return f"[{table}]" if name == FROM_SCRATCH else name


def _plan_tower(config: IGLLMConfig, source: str, extent: Extent) -> int:
    """The number of visual tokens of a configuration's tower; a frame that it was not made for is fitted to whole patches.

    `UserError` if the tower cannot be built or used, or exceeds the extent.
    """
    frame = config.image_height, config.image_width
    try:
        with blaming(source), within(extent, source):
            encoder = AutoModel.from_config(config.vision_config)
            if frame != own_frame(config.vision_config):
                config.image_height, config.image_width = known_layout(encoder, config.vision_config, frame).whole
            tower = VisionTower(config, encoder)
    except UserError as error:
        raise (error if source in str(error) else UserError(f"{source}: {error}")) from None
    if (fitted := (config.image_height, config.image_width)) != frame:
        whole = f"{fitted[0]} x {fitted[1]} pixels, {tower.layout.rows} x {tower.layout.columns} whole patches"
        print(f"note: {source}: the frame is {whole}; of {frame[0]} x {frame[1]} it would not see all", file=sys.stderr, flush=True)
    return tower.rows * tower.columns


def _check_attends(text: Any, source: str) -> None:
    """`UserError` for a language model with a recurrent state (Mamba and the like).

    Decoding drops and reorders the texts of a batch: keys and values of attention can be rearranged with them, a recurrent state cannot.
    """
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(text), None)
    if getattr(kind, "_is_stateful", False):
        raise UserError(f"{source}: a {text.model_type} keeps a state of the text, and could not predict; one that only attends is needed")


def _check_positions(text: Any, source: str, before: int, answer: int) -> None:
    """`UserError` for a language model with fewer position embeddings than the longest text has tokens, ``before`` + ``answer``.

    A model with computed (rotary) positions gets a warning: beyond the length that it was trained on, it may read and write worse.
    """
    positions, needed = getattr(text, "max_position_embeddings", None), before + answer
    if positions is None or positions >= needed:
        return
    limit = f"{source}: takes {positions} tokens at most; image and question are {before}, and the answer may have {answer} more"
    if getattr(text, "rope_parameters", None) is None:
        raise UserError(f"{limit}; a language model with at least {needed} positions is needed")
    print(f"warning: {limit}; what lies beyond {positions} it may read and write badly", file=sys.stderr, flush=True)


def _try_out(model: IGLLM, preset: Preset) -> None:
    """Run the parts on a blank image and two tokens, before anything is written.

    `UserError` for a tower that fails or gives something else than was planned, and for a language model that fails or is not causal.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model.eval()
        try:
            wrong = model.tower.fault((model.config.image_height, model.config.image_width))
        except Exception as error:  # of any kind: there are many architectures
            wrong = reason(error)
        if wrong is not None:
            raise UserError(f"{_source(preset, 'vision')}: cannot be read as a tower ({wrong}); {USABLE}")
        with blaming(_source(preset, "text")):
            first, other = (
                model.run_decoder(model.embed(torch.tensor([[0, last]]), None, None)).last_hidden_state[:, 0] for last in (0, 1)
            )
            if not torch.allclose(first, other, rtol=1e-3, atol=1e-4):
                raise UserError(f"{_source(preset, 'text')}: sees what comes after; a causal language model is needed")
        model.train()


def make_tokenizer(preset: Preset, domain: Language) -> tuple[Any, Base | None]:
    """The language model's tokenizer, with `[NUM]`, an end-of-sequence token and a chat template, and the checkpoint that it belongs to."""
    if preset.language.language_model == FROM_SCRATCH:
        return domain_tokenizer(domain, PROMPTS), None
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # forking data loaders after parallel tokenization may deadlock
    base = Base.named(preset.language.language_model)
    tokenizer = base.tokenizer()
    try_tokenizer(tokenizer, [*code_texts(domain), *PROMPTS, *DESCRIBE_PROMPTS])
    if tokenizer.eos_token_id is None:
        raise UserError(f"{base.name}: its tokenizer has no end-of-sequence token, with which an answer ends")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # any will do: padding is masked
    if tokenizer.chat_template is None:
        tokenizer.chat_template = VICUNA_TEMPLATE
    tokenizer.add_tokens([NUM], special_tokens=True)
    # Saved and loaded once, as later with the model: before that, an old checkpoint's tokenizer may split text differently.
    with tempfile.TemporaryDirectory() as folder, blaming(base.name):
        tokenizer.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.name_or_path = base.name
    return tokenizer, base


def _vision(preset: Preset) -> tuple[Any, Base | None, dict[str, Any]]:
    """The tower's configuration, its checkpoint if it has one, and the fields of its frame (size, mean, standard deviation)."""
    if preset.tower.vision_model == FROM_SCRATCH:
        config = configuration("vision", preset.vision)
        if not _sees(config, "[vision]"):
            within = getattr(config, "vision_config", None)
            meant = f"; did you mean {within.model_type}, the tower in it?" if within is not None else ": a vision tower is needed"
            raise UserError(f"[vision]: model_type {config.model_type} is not one that sees{meant}")
        return config, None, _frame(config, preset)
    base = Base.named(preset.tower.vision_model)
    whole = base.config()
    config = vision_config_of(whole)
    if not _sees(config, base.name):
        raise UserError(
            f"{base.name}: a {whole.model_type} cannot be loaded as a pretrained part that sees: a vision tower is needed; {USABLE}"
        )
    frame = _frame(config, preset)
    if (statistics := base.image_statistics() or statistics_of_timm(config, base.name)) is not None:
        frame["image_mean"], frame["image_std"] = statistics
    else:
        warning = f"warning: {base.name}: has no {PREPROCESSOR_FILE}; its images are normalised as CLIP's are"
        print(warning, file=sys.stderr, flush=True)
    return config, base.exact(), frame


def _sees(config: Any, source: str) -> bool:
    """Whether `AutoModel` makes a model that takes pixels of a configuration; `UserError` if that needs a package that is not there."""
    kind = MODEL_MAPPING.get(type(config), None)
    with blaming(source):
        return getattr(kind[0] if isinstance(kind, tuple) else kind, "main_input_name", None) == "pixel_values"


def _frame(config: Any, preset: Preset) -> dict[str, Any]:
    """Height and width of a tower's frame, pixels: those that it was made for, unless it was made for none or others are stated."""
    try:
        own = own_frame(config)
    except UserError as error:
        raise UserError(f"{_source(preset, 'vision')}: {error}") from None
    stated = (preset.tower.image_height, preset.tower.image_width)
    height, width = stated if own is None or preset.tower.frame == "stated" else own
    return {"image_height": height, "image_width": width}


def _text(preset: Preset, tokenizer: Any, base: Base | None) -> tuple[Any, Base | None]:
    """The language model's configuration, its vocabulary enlarged to the tokenizer's, and its checkpoint if it has one."""
    if base is None:
        ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        return configuration("text", preset.text, vocab_size=len(tokenizer), **ids), None
    config = base.config()
    if not hasattr(config, "vocab_size"):
        raise UserError(f"{base.name}: a {config.model_type} cannot be loaded as a pretrained part that writes: a language model is needed")
    needed = max(len(tokenizer), 1 + tokenizer.convert_tokens_to_ids(NUM))
    if needed > config.vocab_size + MOST_NEW_TOKENS:
        raise UserError(
            f"{base.name}: its tokenizer has {needed:,} tokens, and its language model {config.vocab_size:,}: they do not belong together"
        )
    config.vocab_size = max(config.vocab_size, needed)
    config.eos_token_id = tokenizer.eos_token_id  # the codec ends answers with this token alone; checkpoints may state several
    return config, base.exact()


def _lora(preset: Preset) -> dict[str, Any] | None:
    language = preset.language
    return {"rank": language.lora_rank, "alpha": language.lora_alpha, "dropout": language.lora_dropout} if language.lora_rank else None


def _own_what_is_trained(model: IGLLM, preset: Preset) -> None:
    """Make the model's own file store pretrained parts that are trained in full, as their weights will differ from the checkpoint's."""
    if not preset.tower.freeze_vision:
        model.config.vision_base = None
    if not preset.language.lora_rank and model.config.language_base is not None:
        model.config.language_base = None
        model.language_model.requires_grad_(True)
