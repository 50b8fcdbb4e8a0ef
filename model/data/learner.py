"""What is trained, whatever model it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datagen.shards.reader import Samples
from model.data.order import Source
from model.tokens.codec import CodeCodec


@dataclass(frozen=True)
class Learner:
    """A new model, and what its training takes.

    ``codec`` is that of its code, if it writes code as tokens; the tokenizer in it is saved beside the model. ``source`` makes the model's
    examples of a data set, ``collate`` a batch of examples. The model names the parts of its loss with their weights (``loss_weights``),
    and counts what each is divided by (``loss_counts``).
    """

    model: Any
    codec: CodeCodec | None
    source: Callable[[Samples], Source]
    collate: Callable[[Any], dict[str, Any]]
