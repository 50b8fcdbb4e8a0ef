"""A tokenizer's rules (replacements, patterns of its splits) are a program of its author's: texts are cut by them here first
(`model.confined`), so that rules without end are known before they are followed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

from datagen.errors import UserError
from model.confined import answer, ask

MOST_HOLES = 10_000  # numbers that a vocabulary leaves out
_WHAT = "the tokenizer's way to cut a text"


def try_tokenizer(tokenizer: Any, texts: Sequence[str]) -> None:
    """`UserError` if a tokenizer takes more time or memory for these texts than one may."""
    vocabulary = tokenizer.get_vocab()
    largest = max(vocabulary.values(), default=0)
    if largest > 2 * len(vocabulary) + MOST_HOLES:  # which tokenizers counts through
        raise UserError(f"the tokenizer has {len(vocabulary):,} tokens, and numbers up to {largest:,} for them; one of the two is wrong")
    rules = getattr(tokenizer, "backend_tokenizer", None)
    if rules is not None:
        _try(rules.to_str(), tuple(texts))


@lru_cache(maxsize=8)  # a model's plan, its examples and its predictions cut the same texts
def _try(rules: str, texts: tuple[str, ...]) -> None:
    ask("model.trial", {"rules": rules, "texts": texts}, _WHAT)


def _count(request: Any) -> int:
    tokenizer = Tokenizer.from_str(request["rules"])
    return sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in request["texts"])


if __name__ == "__main__":
    answer(_count)
