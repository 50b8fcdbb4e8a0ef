"""What a model is asked, in its chat template: token ids before the image, and after it up to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datagen.errors import UserError
from model.config import PROMPT

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
"""Ways to ask for code; the first is what prediction says."""
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

# For language models without a template of their own, such as the first Vicunas: the form that these were tuned with.
VICUNA_TEMPLATE = (
    "{{ bos_token }}A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
    "polite answers to the user's questions."
    "{% for message in messages %} {{ message['role'] | upper }}: {{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
PLAIN_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""For a language model that is made from scratch: nothing but what is said."""


@dataclass(frozen=True)
class PromptTokens:
    """``prefix`` comes before the image; ``asked`` has, for each prompt, what comes after it."""

    prefix: list[int]
    asked: list[list[int]]


def prompt_tokens(tokenizer: Any, prompts: Sequence[str] = PROMPTS) -> PromptTokens:
    """The prompts in the tokenizer's chat template, the image before the question; `UserError` for a template that cannot have that."""
    halves = [_halves(tokenizer, prompt) for prompt in prompts]
    prefixes, asked = [half[0] for half in halves], [half[1] for half in halves]
    if any(prefix != prefixes[0] for prefix in prefixes):
        raise UserError("the tokenizer's chat template puts the question before the image; a tokenizer with another template is needed")
    return PromptTokens(prefixes[0], asked)


def _halves(tokenizer: Any, prompt: str) -> tuple[list[int], list[int]]:
    separator = "" if tokenizer.chat_template == PLAIN_TEMPLATE else "\n"
    message = {"role": "user", "content": f"{IMAGE}{separator}{prompt}"}
    try:
        text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of its checkpoint's author
        raise UserError(f"the tokenizer's chat template cannot be applied ({error})") from None
    before, image, after = text.partition(IMAGE)
    if not image:
        raise UserError("the tokenizer's chat template drops what the user says; a tokenizer with another template is needed")
    return tokenizer.encode(before, add_special_tokens=False), tokenizer.encode(after, add_special_tokens=False)
