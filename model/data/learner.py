"""The common form of a model and its data for training, whichever kind of model it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datagen.shards.reader import Samples
from model.data.order import ExampleSource
from model.tokens.codec import CodeCodec


@dataclass(frozen=True)
class Learner:
    """A new model, and the functions that make its training data.

    ``codec`` is the codec of the model's code, None if it does not write code as tokens; the codec's tokenizer is saved beside the model.
    ``source`` makes a data set's examples, ``collate`` makes a batch of examples. The model has ``loss_weights``, the weights of the parts
    of its loss by name, and ``loss_counts``, which counts the divisor of each part.
    """

    model: Any
    codec: CodeCodec | None
    source: Callable[[Samples], ExampleSource]
    collate: Callable[[Any], dict[str, Any]]
