"""The small tokenizer of a language model that is made from scratch for a domain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from datagen.code.statements import Language, Statement
from model.tokens.codec import NUM
from model.tokens.digits import CHARACTERS
from model.tokens.pieces import Words, header_pieces, pieces
from model.tokens.prompts import PLAIN_TEMPLATE

PAD, BEGIN, END, UNKNOWN = "[PAD]", "[BOS]", "[EOS]", "[UNK]"


def domain_tokenizer(domain: Language, prompts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer whose words are the pieces of a domain's canonical code, fragments of them, and the words of all prompts.

    The longest word that fits becomes a token, so canonical code falls into its pieces. The fragments are for code with shuffled keywords
    or synonyms, and for numbers digit by digit.
    """
    lines = [*map(pieces, domain.statements), *header_pieces(domain).values()]
    words = [text for line in lines for piece in line if isinstance(piece, Words) for text in piece.texts]
    words += [word for prompt in prompts for word in re.findall(r"\w+|\W", prompt)]
    words += [fragment for statement in domain.statements for fragment in _fragments(statement, domain)]
    words += [*"(),", ", ", ")\n", *CHARACTERS]
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
        chat_template=PLAIN_TEMPLATE,
    )


def _fragments(statement: Statement, domain: Language) -> Iterator[str]:
    """A statement's name, its keywords, its words and their synonyms."""
    yield f"{statement.name}("
    yield from (f"{argument.name}=" for argument in statement.arguments)
    for choice in statement.choices:
        yield from (f'"{word}"' for declared in choice.words for word in (declared, *domain.synonyms.get(declared, ())))
