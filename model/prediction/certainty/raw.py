"""What decoding says of an image beside the code, before any calibration."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct

from datagen.code.predictions import Bounds
from model.prediction.certainty.spans import sampled_spans
from model.prediction.decode import Decoded
from model.tokens.codec import CodeCodec

LEAST = -50.0  # log-probabilities below this are taken as this
LogProbability = Annotated[float, Meta(ge=LEAST, le=0)]
Feature = Annotated[float, Meta(ge=-1e9, le=1e9)]


class Raw(Struct, frozen=True):
    """What decoding says of an image beside its ``code``.

    By statement, ``objects`` has the log-probability of the object, ``words`` those of its words, by argument, and ``spans``, by argument,
    the 5th and the 95th percentile of each component of its numbers (`model.prediction.certainty.spans`); it is None where nobody asked for
    it. ``look`` has the means and deviations of the image's visual tokens, channel by channel.
    """

    code: str
    objects: tuple[LogProbability, ...]
    words: tuple[dict[str, LogProbability], ...]
    look: tuple[Feature, ...]
    spans: tuple[dict[str, tuple[Bounds, ...]], ...] | None = None

    @staticmethod
    def of(decoded: Decoded, codec: CodeCodec, *, spans: bool) -> Raw:
        """What decoding says of one image."""
        text = decoded.text
        words = [
            {name: _held(score) for name, score in of_statement.items()} for of_statement in codec.word_scores(text.tokens, text.scores)
        ]
        objects = [_held(math.log(one) if one else LEAST) for one in codec.confidence(text.tokens, text.scores)]
        found = tuple(sampled_spans(codec, text)) if spans else None
        return Raw(decoded.code, tuple(objects), tuple(words), decoded.look, found)


def _held(score: float) -> float:
    return min(0.0, max(LEAST, score))
