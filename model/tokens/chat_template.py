"""Chat templates. A checkpoint's template is a program written by its author, so it runs in a confined process (`model.confined`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from datagen.errors import UserError
from model.confined import answer, ask

MOST_CHARACTERS = 100_000  # of a template, and of the text that it makes
_WHAT = "the tokenizer's chat template"


def apply_template(template: str, tokens: Mapping[str, Any], conversations: Sequence[Sequence[Mapping[str, str]]]) -> list[str]:
    """The text of each conversation up to the assistant's answer. ``tokens`` are the tokenizer's special tokens by name.

    `UserError` if the template fails, is too long, or takes too much time or memory.
    """
    if len(template) > MOST_CHARACTERS:
        raise UserError(f"{_WHAT} has {len(template):,} characters; {MOST_CHARACTERS:,} are possible")
    request = {"template": template, "tokens": tokens, "conversations": conversations}
    return list(_applied(json.dumps(request)))


@lru_cache(maxsize=8)  # planning, training and prediction make the same request
def _applied(request: str) -> tuple[str, ...]:
    return tuple(ask("model.tokens.chat_template", json.loads(request), _WHAT))


def _rendered(request: Any) -> list[str]:
    texts: list[str]
    texts, _ = render_jinja_template(
        request["conversations"], chat_template=request["template"], add_generation_prompt=True, **request["tokens"]
    )
    if max(map(len, texts)) > MOST_CHARACTERS:
        raise ValueError(f"its text has more than {MOST_CHARACTERS:,} characters")
    return texts


if __name__ == "__main__":
    answer(_rendered)
