"""Prompts in a model's chat template: the token ids before the image, and those between it and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datagen.errors import UserError
from model.config import PROMPT
from model.declared import MOST_PROMPT_TOKENS
from model.tokens.chat_template import apply_template
from model.trial import try_tokenizer

PROMPTS = (
    PROMPT,
    "Write the graphics code of this image.",
    "Which code renders this picture?",
    "Describe this scene as graphics code.",
    "Give the statements that reproduce the image.",
    "What objects are here, as code?",
    "Turn this picture back into its code.",
    "Reconstruct the scene in graphics code.",
    "List every object of the image as a statement.",
    "How would you code this scene?",
)
"""Ways to ask for code; prediction uses the first."""
DESCRIBE_PROMPTS = (
    "Describe the image briefly.",
    "What is in this picture?",
    "Say in a few words what can be seen.",
    "Give a short caption for the image.",
    "Summarize what the photo shows.",
    "Write one sentence about this image.",
    "What does the picture show?",
    "Provide a brief description of the picture.",
    "Tell what you see.",
    "Caption this.",
)
"""Ways to ask for a caption, in alignment."""
IMAGE = "<image>"

# For language models without a template of their own, such as the first Vicunas, which were tuned with this one.
VICUNA_TEMPLATE = (
    "{{ bos_token }}A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
    "polite answers to the user's questions."
    "{% for message in messages %} {{ message['role'] | upper }}: {{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
PLAIN_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""For a language model that is made from scratch: the messages alone."""


@dataclass(frozen=True)
class PromptTokens:
    """Token ids: ``prefix``, before the image, is the same for all prompts; ``asked``, after it, has a list for each prompt."""

    prefix: list[int]
    asked: list[list[int]]


def prompt_tokens(tokenizer: Any, prompts: Sequence[str] = PROMPTS) -> PromptTokens:
    """Prompts in the tokenizer's chat template, the image before the question; `UserError` for a template that does not keep both so."""
    try:
        return _in_template(tokenizer, prompts)
    except UserError as error:
        name = tokenizer.name_or_path
        raise UserError(f"{name}: {error}" if name else str(error)) from None


def _in_template(tokenizer: Any, prompts: Sequence[str]) -> PromptTokens:
    separator = "" if tokenizer.chat_template == PLAIN_TEMPLATE else "\n"
    conversations = [[{"role": "user", "content": f"{IMAGE}{separator}{prompt}"}] for prompt in prompts]
    halves = [text.partition(IMAGE) for text in _texts(tokenizer, conversations)]
    if not all(image for _, image, _ in halves):
        raise UserError("the tokenizer's chat template drops what the user says; a tokenizer with another template is needed")
    for prompt, (_, _, after) in zip(prompts, halves, strict=True):
        if not prompt.strip():
            raise UserError("the prompt is empty, and a model has to be asked something")
        if prompt.strip() not in after:
            raise UserError("the tokenizer's chat template drops or changes the question; a tokenizer with another template is needed")
    prefixes, asked = ([tokenizer.encode(half[side], add_special_tokens=False) for half in halves] for side in (0, 2))
    longest = max(map(len, prefixes + asked))
    if longest > MOST_PROMPT_TOKENS:
        raise UserError(f"the tokenizer's chat template makes {longest:,} tokens of a question; {MOST_PROMPT_TOKENS:,} are possible")
    if not all(asked):
        raise UserError("the tokenizer makes no token of the question, so nothing would be asked; another tokenizer is needed")
    if any(prefix != prefixes[0] for prefix in prefixes):
        raise UserError("the tokenizer's chat template puts the question before the image; a tokenizer with another template is needed")
    return PromptTokens(prefixes[0], asked)


def _texts(tokenizer: Any, conversations: list[list[dict[str, str]]]) -> list[str]:
    if tokenizer.chat_template in (PLAIN_TEMPLATE, VICUNA_TEMPLATE):
        texts: list[str] = tokenizer.apply_chat_template(conversations, tokenize=False, add_generation_prompt=True)
        return texts
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:  # it has none, or several and none of them is the default
        raise UserError(f"the tokenizer's chat template cannot be applied ({error})") from None
    texts = apply_template(template, tokenizer.special_tokens_map, conversations)
    try_tokenizer(tokenizer, texts)
    return texts
