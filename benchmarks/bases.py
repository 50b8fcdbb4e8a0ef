"""Stand-ins for published checkpoints: random weights of the published sizes, made on the device in bfloat16 and saved once as folders.

Random weights are as fast as trained ones. Nothing is fetched, and no float32 copy is made anywhere: a part of seven billion parameters
takes 13.5 GB of the device's memory, and as much of the disk.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

from datagen.domains.dialects import Dialect
from datagen.domains.registry import get_domain
from model.config import IGLLMConfig
from model.preset import FROM_SCRATCH, Preset
from model.tokens.pieces import code_texts
from model.tokens.prompts import DESCRIBE_PROMPTS, PROMPTS, VICUNA_TEMPLATE

VOCABULARIES = {"lmsys/vicuna-7b-v1.3": 32_000, "HuggingFaceTB/SmolLM2-360M-Instruct": 49_152}
"""Tokens of the published language models, by the names that presets have for them."""
DTYPE = torch.bfloat16
SHARD = "5GB"
_WHOLE = "whole"  # a file that is written last


def on_bases(preset: Preset, folder: Path, device: torch.device) -> Preset:
    """The preset with folders below ``folder`` in the place of the checkpoints that it names on the hub, made unless they are there.

    Parts are as large as the preset's tables ``[vision]`` and ``[text]`` say, with the vocabulary of the named checkpoint. Parts from
    scratch, and those that are folders already, stay as they are.
    """
    changes: dict[str, str] = {}
    if _is_published(preset.tower.vision_model):
        changes["vision_model"] = str(_made(folder / "vision", preset.tower.vision_model, preset.vision, device, language=False))
    if _is_published(preset.language.language_model):
        changes["language_model"] = str(_made(folder / "language", preset.language.language_model, preset.text, device, language=True))
    return preset.replaced(**changes)


def _is_published(name: str) -> bool:
    return name != FROM_SCRATCH and not Path(name).is_dir()


def _made(folder: Path, name: str, table: dict, device: torch.device, *, language: bool) -> Path:
    described = json.dumps([name, dict(table)])
    if (folder / _WHOLE).is_file() and (folder / _WHOLE).read_text() == described:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    more = {"vocab_size": VOCABULARIES.get(name, 32_000)} if language else {}
    config, kind = AutoConfig.for_model(**table, **more), AutoModelForCausalLM if language else AutoModel
    with torch.device(device):
        model = kind.from_config(config, dtype=DTYPE)
    if language:
        tokenizer = plain_tokenizer()
        model.generation_config.eos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
        tokenizer.save_pretrained(folder)
    else:
        statistics = {"image_mean": IGLLMConfig().image_mean, "image_std": IGLLMConfig().image_std}
        (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "CLIPImageProcessor", **statistics}))
    model.save_pretrained(folder, max_shard_size=SHARD)
    (folder / _WHOLE).write_text(described)
    return folder


def plain_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that knows the words of prompts and code, and cuts code into about as many tokens as a published one does."""
    words = [VICUNA_TEMPLATE, *PROMPTS, *DESCRIBE_PROMPTS, *code_texts(Dialect(get_domain("clevr")))]
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>"]
    trainer = BpeTrainer(vocab_size=1000, special_tokens=special, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(words * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>")
