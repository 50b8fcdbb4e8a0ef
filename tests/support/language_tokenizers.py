"""Tokenizers of the kinds that language models come with, trained here on a little English and no code."""

from __future__ import annotations

import json

from tokenizers import Tokenizer, decoders, normalizers
from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.trainers import BpeTrainer, UnigramTrainer
from transformers import PreTrainedTokenizerFast

from model.tokens.codec import NUM

CORPUS = ["the large metal cube and the small rubber sphere are added to the scene , and what code makes this image ?"] * 4
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(num: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as GPT-2, Llama 3, Qwen and SmolLM have it."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    trainer = BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _fast(tokenizer, num)


def sentence_piece_bpe(num: bool = True) -> PreTrainedTokenizerFast:
    """BPE with byte fallback that puts a space before a text, as Llama 1 and 2 and Vicuna have it."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = _byte_fallback_decoder()
    trainer = BpeTrainer(vocab_size=400, special_tokens=["<unk>", "<s>", "</s>", "<pad>", *BYTES], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _fast(tokenizer, num)


def sentence_piece_unigram(num: bool = True, byte_fallback: bool = True) -> PreTrainedTokenizerFast:
    """A unigram model with byte fallback behind Metaspace; without byte fallback it cannot write what it has not seen."""
    tokenizer = Tokenizer(Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = Metaspace(), decoders.Metaspace()
    special = ["<unk>", "<s>", "</s>", "<pad>", *(BYTES if byte_fallback else [])]
    tokenizer.train_from_iterator(CORPUS, UnigramTrainer(vocab_size=330, special_tokens=special, unk_token="<unk>", show_progress=False))
    content = json.loads(tokenizer.to_str())
    content["model"]["byte_fallback"] = byte_fallback
    content["added_tokens"] = content["added_tokens"][:4]  # bytes are ordinary tokens
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.decoder = _byte_fallback_decoder()
    return _fast(tokenizer, num)


def _byte_fallback_decoder() -> decoders.Decoder:
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def _fast(tokenizer: Tokenizer, num: bool) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    if num:
        fast.add_special_tokens({"additional_special_tokens": [NUM]})
    return fast


KINDS = {"byte level": byte_level, "sentence piece": sentence_piece_bpe, "unigram": sentence_piece_unigram}
