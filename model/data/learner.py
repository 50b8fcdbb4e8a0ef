"""What is trained, whatever model it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datagen.shards.reader import Samples
from model.data.order import Source


@dataclass(frozen=True)
class Learner:
    """A new model, and what its training takes.

    ``tokenizer`` is saved beside it, if it has one; ``source`` makes the model's examples of a data set, ``collate`` a batch of examples.
    The model tells the parts of its loss, their weights and what they are divided by (``loss_weights`` and ``loss_counts``).
    """

    model: Any
    tokenizer: Any
    source: Callable[[Samples], Source]
    collate: Callable[[Any], dict[str, Any]]
