"""Tries a tokenizer before it is used. Its rules (replacements, split patterns) are an untrusted program, so they are first applied to
texts in a process with limits on time and memory (`model.confined`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from datagen.errors import UserError
from datagen.io.declared import as_declared, read_declared
from datagen.io.files import read_text
from model.confined import answer, ask
from model.declared import MOST_MERGES, MOST_WORDS, AddedTokens, StatedTokenizer, StatedTokenizerConfig, Vocabulary
from model.staging import (
    ADDED_TOKENS_FILE,
    LARGEST_TOKENIZER_FILE,
    MERGES_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    VOCABULARY_FILE,
    plain,
    read_object,
    tokenizer_files,
)

MOST_HOLES = 10_000  # unused ids that a vocabulary may have beyond the number of its tokens
_WHAT = "the tokenizer's way to cut a text"


def try_tokenizer(tokenizer: Any, texts: Sequence[str]) -> None:
    """`UserError`, naming the tokenizer's source, if it fails on these texts or exceeds the limits of `model.confined`."""
    try:
        _try_all(tokenizer, texts)
    except UserError as error:
        raise (UserError(f"{tokenizer.name_or_path}: {error}") if tokenizer.name_or_path else error) from None


def try_rules(folder: Path) -> None:
    """`UserError` if the rules in a folder's ``tokenizer.json`` cannot be read within the limits, or crash the reading process."""
    if (folder / TOKENIZER_FILE).exists():
        try:
            ask("model.trial", {"rules": read_text(folder / TOKENIZER_FILE, LARGEST_TOKENIZER_FILE), "texts": []}, "it")
        except UserError as error:
            raise UserError(f"{folder / TOKENIZER_FILE}: {error}") from None


def stated_tokens(folder: Path) -> dict[str, int | str]:
    """The ids of the added tokens in a tokenizer's files, by token. To be called before the tokenizer is loaded, which takes longer with
    each of them.

    `UserError` for more of them than `model.declared.MOST_ADDED`, for a vocabulary of more words than `model.declared.MOST_WORDS`, and for
    a token with several ids.
    """
    _check_vocabulary(folder)
    found: list[tuple[str, int | str]] = []
    if (folder / TOKENIZER_CONFIG_FILE).exists():
        config = as_declared(read_object(folder / TOKENIZER_CONFIG_FILE), StatedTokenizerConfig, str(folder / TOKENIZER_CONFIG_FILE))
        found += ((token.content, number) for number, token in config.added_tokens_decoder.items())
    if (folder / ADDED_TOKENS_FILE).exists():
        found += read_declared(folder / ADDED_TOKENS_FILE, AddedTokens, LARGEST_TOKENIZER_FILE).items()
    if (folder / TOKENIZER_FILE).exists():
        rules = read_declared(folder / TOKENIZER_FILE, StatedTokenizer, LARGEST_TOKENIZER_FILE)
        found += ((token.content, token.id) for token in rules.added_tokens)
    stated: dict[str, int | str] = {}
    for content, number in found:
        if str(before := stated.setdefault(content, number)) != str(number):
            numbers = f"the number {plain(str(before))} and the number {plain(str(number))}; put its files back from one copy"
            raise UserError(f"{folder}: its tokenizer's files give {plain(content)!r} {numbers}")
    return stated


def _check_vocabulary(folder: Path) -> None:
    """`UserError` if the separate vocabulary or merges files of a tokenizer, which some kinds have, exceed the limits."""
    for path in tokenizer_files(folder):
        if path.name == VOCABULARY_FILE:
            read_declared(path, Vocabulary, LARGEST_TOKENIZER_FILE)
        elif path.suffix in {".txt", ".bpe"}:
            lines, most = path.read_bytes().count(b"\n"), MOST_MERGES if path.name == MERGES_FILE else MOST_WORDS
            if lines > most:
                raise UserError(f"{path}: has {lines:,} lines; a vocabulary has at most {most:,}")


def check_added_tokens(tokenizer: Any, stated: Mapping[str, int | str], folder: Path) -> None:
    """`UserError` if a loaded tokenizer gives added tokens other ids than its files have ``stated``, or several tokens one id."""
    vocabulary = tokenizer.get_vocab()
    if len(set(vocabulary.values())) < len(vocabulary):
        number, _ = Counter(vocabulary.values()).most_common(1)[0]
        raise UserError(f"{folder}: its tokenizer's files give the number {number:,} to several tokens")
    for content, number in stated.items():
        if str(given := tokenizer.convert_tokens_to_ids(content)) != str(number):
            found = f"the number {plain(str(number))}, where {given} is possible alone"
            raise UserError(f"{folder}: its tokenizer's files give {plain(content)!r} {found}")


def _try_all(tokenizer: Any, texts: Sequence[str]) -> None:
    vocabulary = tokenizer.get_vocab()
    largest = max(vocabulary.values(), default=0)
    if largest > 2 * len(vocabulary) + MOST_HOLES:  # the library loops over all ids
        raise UserError(f"the tokenizer has {len(vocabulary):,} tokens, and numbers up to {largest:,} for them; one of the two is wrong")
    rules = getattr(tokenizer, "backend_tokenizer", None)
    if rules is not None:
        _try(rules.to_str(), tuple(texts))


@lru_cache(maxsize=8)  # planning, training examples and prediction try the same texts
def _try(rules: str, texts: tuple[str, ...]) -> None:
    ask("model.trial", {"rules": rules, "texts": texts}, _WHAT)


def _count(request: Any) -> int:
    tokenizer = Tokenizer.from_str(request["rules"])
    return sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in request["texts"])


if __name__ == "__main__":
    answer(_count)
