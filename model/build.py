"""A new model and its tokenizer, as a preset wants them: parts from scratch or pretrained, `[NUM]` among the tokens."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, AutoTokenizer

from datagen.code.statements import Language
from datagen.domains.base import Domain
from datagen.domains.dialects import dialect
from datagen.errors import UserError
from datagen.io.untrusted import shortened
from datagen.scene import FRAME_SIDES
from model.config import IGLLMConfig
from model.data.caption_pairs import CAPTION_TOKENS
from model.extent import Extent, within
from model.igllm import IGLLM
from model.parts.preprocessor import PREPROCESSOR_FILE
from model.parts.pretrained import Base, vision_config_of
from model.parts.tower import USABLE, VisionTower
from model.preset import FROM_SCRATCH, Preset
from model.quiet import quiet_transformers
from model.tables import blaming, configuration, reason
from model.tokens.codec import NUM, CodeCodec, code_texts, word_tokens
from model.tokens.prompts import DESCRIBE_PROMPTS, PROMPTS, VICUNA_TEMPLATE, prompt_tokens
from model.tokens.tokenizer import domain_tokenizer
from model.trial import try_tokenizer

_SHARED = (
    "vision_layer",
    "vision_merge",
    "freeze_vision",
    "rotations",
    "numbers",
    "number_feedback",
    "feedback_noise",
    "number_cells",
    "number_weight",
    "number_close",
    "dense_weight",
    "dense_split",
    "guide_weight",
)

MOST_NEW_TOKENS = 10_000  # that a tokenizer may have beyond its language model's; some have a few

Stage = Literal["pretrain", "align", "train"]
TRAINED: dict[Stage, tuple[str, ...]] = {"pretrain": ("tower", "projector", "dense_head"), "align": ("projector",)}
"""What the stages before instruction tuning train; that trains whatever the preset does not freeze."""


@dataclass(frozen=True)
class Plan:
    """What a preset's model will be: known, and checked as far as that goes, before any weights are there."""

    preset: Preset
    stage: Stage
    tokenizer: Any
    codec: CodeCodec
    config: IGLLMConfig

    @property
    def bases(self) -> dict[str, Any]:
        """Which checkpoints the parts begin with, for a run to state: of folders the digest of their weights, wherever they lie."""
        stated = {"vision": self.config.vision_base, "language": self.config.language_base}
        return {name: base and (base["sha256"] or f"{base['name']}@{base['revision']}") for name, base in stated.items()}

    def build(self, told: Mapping[str, Any] | None = None) -> IGLLM:
        """The model. ``told`` goes into its configuration: what is known of the preset, the data and the code.

        Frozen is all that the stage does not train (`TRAINED`). `UserError` for a checkpoint that cannot be loaded, and for parts that
        cannot compute.
        """
        preset, config = self.preset, deepcopy(self.config)
        for name, value in (told or {}).items():
            setattr(config, name, value)
        # What is trained keeps the digits of its checkpoint.
        frozen = torch.bfloat16 if preset.bf16 else torch.float32
        vision_dtype = frozen if preset.freeze_vision else torch.float32
        language_dtype = frozen if preset.lora_rank or self.stage == "align" else torch.float32
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


def plan(preset: Preset, domain: Domain, *, stage: Stage = "train") -> Plan:
    """The plan of the model that a preset describes.

    Raises `UserError` for a checkpoint that there is not or that does not fit, for tables that describe no model, for rotations that the
    domain does not have, and for a language model that does not take as long a text as it may have to.
    """
    quiet_transformers()
    said = dialect(domain, preset.rotations)
    tokenizer, language_base = make_tokenizer(preset, said)
    vision, vision_base, frame = _vision(preset)
    text, language_base = _text(preset, tokenizer, language_base)
    try:
        codec = CodeCodec(domain, tokenizer, preset.numbers, preset.rotations)
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
        word_token_ids=word_tokens(said, tokenizer) if preset.word_cells else [],
        **frame,
        **{name: getattr(preset, name) for name in _SHARED},
    )
    extent = Extent.of_memory() if vision_base is None else vision_base.extent()
    try:
        with blaming(_source(preset, "vision")), within(extent, _source(preset, "vision")):
            tower = VisionTower(config)
    except UserError as error:
        raise (error if _source(preset, "vision") in str(error) else UserError(f"{_source(preset, 'vision')}: {error}")) from None
    if language_base is None:  # else it is looked at when it is loaded
        with blaming(_source(preset, "text")), within(Extent.of_memory(), _source(preset, "text")):
            AutoModelForCausalLM.from_config(text)
    if stage != "pretrain":
        answer, prompts = (CAPTION_TOKENS, DESCRIBE_PROMPTS) if stage == "align" else (codec.max_tokens, PROMPTS)
        asked = max(map(len, prompt_tokens(tokenizer, prompts).asked))
        _check_positions(text, _source(preset, "text"), len(config.prefix_token_ids) + tower.rows * tower.columns + asked, answer)
    return Plan(preset, stage, tokenizer, codec, config)


def build(preset: Preset, domain: Domain, *, stage: Stage = "train", told: Mapping[str, Any] | None = None) -> tuple[IGLLM, Any]:
    """The model that a preset describes, and its tokenizer; see `plan` and `Plan.build`."""
    planned = plan(preset, domain, stage=stage)
    return planned.build(told), planned.tokenizer


def _source(preset: Preset, table: Literal["vision", "text"]) -> str:
    """What messages call where a part comes from: its checkpoint, or the preset's table."""
    name = preset.vision_model if table == "vision" else preset.language_model
    return f"[{table}]" if name == FROM_SCRATCH else name


def _check_attends(text: Any, source: str) -> None:
    """`UserError` for a language model that keeps a state of the text (Mamba and its like): as texts of a batch end, or are chosen among,
    keys and values of attention can be rearranged, and a state cannot."""
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(text), None)
    if getattr(kind, "_is_stateful", False):
        raise UserError(f"{source}: a {text.model_type} keeps a state of the text, and could not predict; one that only attends is needed")


def _check_positions(text: Any, source: str, before: int, answer: int) -> None:
    """`UserError` for a language model with a table of positions that ends before the longest text does; a warning where it does not
    break but may read worse."""
    positions, needed = getattr(text, "max_position_embeddings", None), before + answer
    if positions is None or positions >= needed:
        return
    told = f"{source}: takes {positions} tokens at most; image and question are {before}, and the answer may have {answer} more"
    if getattr(text, "rope_parameters", None) is None:
        raise UserError(f"{told}; a language model with at least {needed} positions is needed")
    print(f"warning: {told}; what lies beyond {positions} it may read and write badly", file=sys.stderr, flush=True)


def _try_out(model: IGLLM, preset: Preset) -> None:
    """`UserError` for parts that do not compute what they should, on a blank image and two tokens: then that is known before anything is
    written."""
    tower, config = model.tower, model.config
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model.eval()
        try:
            seen = tower(torch.zeros(1, 3, config.image_height, config.image_width))
        except Exception as error:  # whatever it does with an image
            raise UserError(f"{_source(preset, 'vision')}: cannot be read as a tower ({reason(error)}); {USABLE}") from None
        if seen.shape[1:] != (tower.rows * tower.columns, tower.width):
            raise UserError(
                f"{_source(preset, 'vision')}: gives {seen.shape[1]} tokens {seen.shape[2]} wide, and by its configuration should give "
                f"{tower.rows} x {tower.columns} of {tower.width}; {USABLE}"
            )
        with blaming(_source(preset, "text")):
            first, other = (
                model.run_decoder(model.embed(torch.tensor([[0, last]]), None, None)).last_hidden_state[:, 0] for last in (0, 1)
            )
            if not torch.allclose(first, other, rtol=1e-3, atol=1e-4):
                raise UserError(f"{_source(preset, 'text')}: sees what comes after; a causal language model is needed")
        model.train()


def make_tokenizer(preset: Preset, domain: Language) -> tuple[Any, Base | None]:
    """The language model's tokenizer with `[NUM]`, an end and a chat template, and the checkpoint that it is of."""
    if preset.language_model == FROM_SCRATCH:
        return domain_tokenizer(domain, PROMPTS), None
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # loaders fork
    base = Base.named(preset.language_model)
    tokenizer = base.tokenizer()
    try_tokenizer(tokenizer, [*code_texts(domain), *PROMPTS, *DESCRIBE_PROMPTS])
    if tokenizer.eos_token_id is None:
        raise UserError(f"{base.name}: its tokenizer has no end-of-sequence token, with which an answer ends")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # what is padded is neither seen nor learnt
    if tokenizer.chat_template is None:
        tokenizer.chat_template = VICUNA_TEMPLATE
    tokenizer.add_tokens([NUM], special_tokens=True)
    # A tokenizer that was saved may cut text otherwise than one of an old checkpoint.
    with tempfile.TemporaryDirectory() as folder, blaming(base.name):
        tokenizer.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.name_or_path = base.name
    return tokenizer, base


def _vision(preset: Preset) -> tuple[Any, Base | None, dict[str, Any]]:
    """The tower's configuration, the checkpoint that it is of, and its frame."""
    if preset.vision_model == FROM_SCRATCH:
        if not preset.vision:
            raise UserError("the preset has no [vision] to make a tower from; give --vision-model")
        config = configuration("vision", preset.vision)
        if not _sees(config):
            within = getattr(config, "vision_config", None)
            meant = f"; did you mean {within.model_type}, the tower in it?" if within is not None else ": a vision tower is needed"
            raise UserError(f"[vision]: model_type {config.model_type} is not one that sees{meant}")
        return config, None, _frame(config, preset)
    base = Base.named(preset.vision_model)
    whole = base.config()
    config = vision_config_of(whole)
    if not _sees(config):
        raise UserError(
            f"{base.name}: a {whole.model_type} cannot be loaded as a pretrained part that sees: a vision tower is needed; {USABLE}"
        )
    frame = _frame(config, preset)
    if (statistics := base.image_statistics()) is not None:
        frame["image_mean"], frame["image_std"] = statistics
    else:
        told = f"warning: {base.name}: has no {PREPROCESSOR_FILE}; its images are normalised as CLIP's are"
        print(told, file=sys.stderr, flush=True)
    return config, base.exact(), frame


def _sees(config: Any) -> bool:
    return hasattr(config, "patch_size") or hasattr(config, "hidden_sizes")


def _frame(config: Any, preset: Preset) -> dict[str, Any]:
    """A tower's own frame, or the preset's where the tower takes any."""
    side = getattr(config, "image_size", None)
    if isinstance(side, list | tuple) and len(side) != 2:
        raise UserError(f"{_source(preset, 'vision')}: image_size is {str(side)[:80]}; a number is expected, or a height and a width")
    height, width = side if isinstance(side, list | tuple) else (side or preset.image_height, side or preset.image_width)
    low, high = FRAME_SIDES
    if not all(type(side) is int and low <= side <= high for side in (height, width)):
        told = f"image_size is {shortened([height, width])}; {low} to {high:,} pixels each way are possible"
        raise UserError(f"{_source(preset, 'vision')}: {told}")
    return {"image_height": height, "image_width": width}


def _text(preset: Preset, tokenizer: Any, base: Base | None) -> tuple[Any, Base | None]:
    """The language model's configuration, with a token for each of the tokenizer's, and the checkpoint that it is of."""
    if base is None:
        if not preset.text:
            raise UserError("the preset has no [text] to make a language model from; give --language-model")
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
    config.eos_token_id = tokenizer.eos_token_id  # with which answers will end, whatever else the checkpoint ends texts with
    return config, base.exact()


def _lora(preset: Preset) -> dict[str, Any] | None:
    if not preset.lora_rank:
        return None
    return {"rank": preset.lora_rank, "alpha": preset.lora_alpha, "dropout": preset.lora_dropout}


def _own_what_is_trained(model: IGLLM, preset: Preset) -> None:
    """Parts of a checkpoint that are trained as a whole are no longer that checkpoint's, but the model's from here on."""
    if not preset.freeze_vision:
        model.config.vision_base = None
    if not preset.lora_rank and model.config.language_base is not None:
        model.config.language_base = None
        model.language_model.requires_grad_(True)
