"""The spread of a text's numbers in the domain's own terms.

Each number that the model wrote is the middle of a distribution whose spread decoding states. What it means for the numbers of the domain's
code (a dialect may turn several written numbers into one) is found by drawing all of a text's numbers some times over and decoding each
draw. The draws are a Latin hypercube (McKay, Beckman and Conover 1979): of every written number, each of the distribution's equal parts is
drawn once, so that a few draws give steady percentiles.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from datagen.code.grammar import parse_code
from datagen.code.predictions import Bounds
from datagen.metrics.certainty import LEVEL, off_centre
from datagen.scene import Object
from model.prediction.decode import Text
from model.tokens.codec import CodeCodec

DRAWS = 40
SEED = 0


def sampled_spans(codec: CodeCodec, text: Text) -> Iterator[dict[str, tuple[Bounds, ...]]]:
    """For each statement of a text's code, by argument, the 5th and the 95th percentile of each component of its numbers. Both are the
    number itself where it does not depend on what is drawn, as where no distribution is known."""
    domain = codec.domain
    said = parse_code(codec.decode(text.tokens, text.values), domain)
    drawn = [parse_code(codec.decode(text.tokens, values), domain) for values in _draws(text)]
    for place, obj in enumerate(said.objects):
        yield _spans(obj, [scene.objects[place] for scene in drawn if len(scene) == len(said)], codec)


def _spans(obj: Object, drawn: list[Object], codec: CodeCodec) -> dict[str, tuple[Bounds, ...]]:
    found = {}
    for number in codec.domain.statement(obj.statement).numbers:
        middle = number.as_tuple(obj[number.name])
        others = [number.as_tuple(other[number.name]) for other in drawn] or [middle]
        offs = np.array([[off_centre(v, m, number.period) for v, m in zip(other, middle, strict=True)] for other in others])
        low, high = np.quantile(offs, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        pairs = zip(middle, low.tolist(), high.tolist(), strict=True)
        found[number.name] = tuple((m + min(0.0, lower), m + max(0.0, upper)) for m, lower, upper in pairs)
    return found


def _draws(text: Text) -> Iterator[list[float]]:
    """A text's values, drawn anew `DRAWS` times, from Laplace distributions around them; nothing if no spread is known."""
    spreads = np.array(text.spreads)
    (places,) = spreads.nonzero()
    if not len(places):
        return
    rng = np.random.default_rng(SEED)
    strata = np.stack([rng.permutation(DRAWS) for _ in places], 1)
    share = (strata + 0.5) / DRAWS - 0.5  # (draws, numbers), from -1/2 to 1/2
    values = np.tile(text.values, (DRAWS, 1))
    values[:, places] -= spreads[places] * np.sign(share) * np.log1p(-2 * np.abs(share))
    yield from values.tolist()
