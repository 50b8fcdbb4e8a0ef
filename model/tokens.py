"""Tokenizers: the small one that `tiny` makes for its domain, and the prompt in anyone's tokens."""

from __future__ import annotations

import re
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from datagen.domain import Domain
from model.codec import NUM, Words, pieces

PAD, BEGIN, END, UNKNOWN = "[PAD]", "[BOS]", "[EOS]", "[UNK]"


def domain_tokenizer(domain: Domain, prompt: str) -> PreTrainedTokenizerFast:
    """A tokenizer whose words are the pieces of a domain's code and of the prompt."""
    words = [text for s in domain.statements for piece in pieces(s) if isinstance(piece, Words) for text in piece.texts]
    words += re.findall(r"\w+|\W", prompt)
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([PAD, BEGIN, END, UNKNOWN, NUM, *words]))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    longest_first = sorted(dict.fromkeys(words), key=len, reverse=True)
    tokenizer.pre_tokenizer = Split(Regex("|".join(map(re.escape, longest_first))), behavior="isolated")
    tokenizer.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        unk_token=UNKNOWN,
        extra_special_tokens=[NUM],
        clean_up_tokenization_spaces=False,
    )


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """The token ids that come between the image and its code."""
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return begin + tokenizer.encode(prompt, add_special_tokens=False)
