"""Small stand-ins for published checkpoints: the real classes and tokenizer kinds, saved to disk with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import sentencepiece
import torch
from language_tokenizers import CORPUS, byte_level
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipConfig,
    SiglipModel,
)

LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def clip(folder: Path) -> Path:
    """CLIP, image and text sides, with the statistics of its images."""
    vision, text = {**LAYERS, "image_size": 64, "patch_size": 16}, {**LAYERS, "vocab_size": 99}
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text)).save_pretrained(folder)
    statistics = {"image_processor_type": "CLIPImageProcessor", "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
    return folder


def siglip(folder: Path) -> Path:
    """SigLIP, image and text sides: no class token."""
    vision, text = {**LAYERS, "image_size": 64, "patch_size": 16}, {**LAYERS, "vocab_size": 99}
    SiglipModel(SiglipConfig(vision_config=vision, text_config=text)).save_pretrained(folder)
    statistics = {"image_processor_type": "SiglipImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
    return folder


def dinov2(folder: Path) -> Path:
    """DINOv2: a tower without a text side, and without a preprocessor's file."""
    Dinov2Model(Dinov2Config(**LAYERS, image_size=56, patch_size=14)).save_pretrained(folder)
    return folder


def llama(folder: Path) -> Path:
    """A LLaMA as the first Vicunas are published: a SentencePiece model with byte fallback, no chat template, no padding token."""
    folder.mkdir(parents=True)
    (folder / "corpus.txt").write_text("\n".join(CORPUS * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        byte_fallback=True,
        vocab_size=400,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    for name in ("corpus.txt", "tokenizer.vocab"):
        (folder / name).unlink()
    settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "legacy": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    rows = len(AutoTokenizer.from_pretrained(folder))
    config = LlamaConfig(**LAYERS, vocab_size=rows, num_key_value_heads=2, max_position_embeddings=1024)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def qwen2(folder: Path) -> Path:
    """A Qwen 2: byte-level tokens, a chat template, tied embeddings, and more rows of them than tokens."""
    tokenizer = byte_level(num=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHAT
    rows = len(tokenizer) + 11
    config = Qwen2Config(**LAYERS, vocab_size=rows, num_key_value_heads=1, tie_word_embeddings=True, max_position_embeddings=1024)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


VISION: dict[str, Callable[[Path], Path]] = {"clip": clip, "siglip": siglip, "dinov2": dinov2}
LANGUAGE: dict[str, Callable[[Path], Path]] = {"llama": llama, "qwen2": qwen2}


def make_parts(folder: Path) -> dict[str, Path]:
    """Save all checkpoints under `folder`. Their folders, by name."""
    torch.manual_seed(11)
    return {name: make(folder / name) for name, make in {**VISION, **LANGUAGE}.items()}
