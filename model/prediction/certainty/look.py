"""Whether an image looks like the scenes of a model's domain: how far the statistics of its visual tokens are from those of true scenes.

The features are the means and the deviations of the visual tokens, channel by channel. The distance is Mahalanobis' (as Lee et al. 2018 use
it on a network's features), with the covariance of few true images shrunk towards the identity (Ledoit and Wolf 2004) and kept as its main
axes and what is left (probabilistic principal components: Tipping and Bishop 1999); both parts weigh the same. What looks like such scenes
and holds other things leaves the model in doubt of what it says: where it doubts its objects more than in true images, it is none either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from datagen.errors import UserError
from model.declared import StatedLook

LEAST_IMAGES = 100
AXES = 32
DEVIATIONS = 4.5  # of the logarithm of the distance of true images, above its mean: beyond, an image is none of them
LEAST_VARIANCE = 1e-6
FEW = 0.01  # of other images may be nearer
MOST = 0.999  # of true images must be nearer
MOST_SURE = 0.998  # of true images leave the model no more in doubt than the bound allows
LEAST_DOUBT = 0.2  # that the bound of doubts allows


def doubt(confidence: Sequence[float]) -> float:
    """How much a model doubts what it says of an image: 1 less the mean confidence of its objects; 1 where it names none."""
    return 1 - fmean(confidence) if len(confidence) else 1.0


def fit_look(true: np.ndarray, doubts: Sequence[float], others: np.ndarray | None = None) -> StatedLook:
    """The look of images whose features are ``true`` (N, features), in random order, and of which the model has these ``doubts``.

    The statistics are of every second image, the distance beyond which an image is none of them is found on the rest: by these alone, or
    nearer where ``others``, the features of images that are none, ask for it. `UserError` for too few images.
    """
    if len(true) < LEAST_IMAGES:
        raise UserError(f"{len(true)} images: at least {LEAST_IMAGES} are needed to tell the domain's images from others")
    some, rest = true[::2], true[1::2]
    mean, scale = some.mean(0), some.std(0) + 1e-6
    variances, axes = _principal((some - mean) / scale)
    count = min(AXES, len(axes) - 1)
    all_variance = some.shape[1] * float((((some - mean) / scale) ** 2).mean())
    look = StatedLook(
        mean=_rounded(mean),
        scale=_rounded(scale),
        axes=[_rounded(axis) for axis in axes[:count]],
        variances=_rounded(variances[:count].clip(LEAST_VARIANCE)),
        rest=max(LEAST_VARIANCE, all_variance - float(variances[:count].sum())),
        farthest=1.0,
        doubt=min(1.0, max(LEAST_DOUBT, float(np.quantile(doubts, MOST_SURE)))),
    )
    look.farthest = _farthest(distances(look, rest), None if others is None else distances(look, others))
    return look


def distances(look: StatedLook, features: np.ndarray) -> np.ndarray:
    """(N,) the distances of images with these ``features`` (N, features); about 1 for true ones."""
    off = (features - np.array(look.mean)) / np.array(look.scale)
    along = off @ np.array(look.axes).reshape(-1, off.shape[1]).T
    left = (off**2).sum(1) - (along**2).sum(1)
    main = (along**2 / np.array(look.variances)).mean(1) if along.shape[1] else 0.0
    return np.asarray(np.sqrt((main + left.clip(0) / look.rest) / 2))


def _farthest(true: np.ndarray, others: np.ndarray | None) -> float:
    logs = np.log(true.clip(1e-6))
    alone = math.exp(logs.mean() + DEVIATIONS * logs.std())
    if others is None or not len(others):
        return alone
    near = float(np.quantile(true, MOST))
    return max(near, min(alone, math.sqrt(near * float(np.quantile(others, FEW)))))


def _principal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The variances along the main axes, falling, and the axes (axes, features) of centred values (N, features), by Ledoit and Wolf's
    estimate of their covariance."""
    count, width = values.shape
    _, singular, axes = np.linalg.svd(values, full_matrices=False)
    variances = singular**2 / count
    middle, squares = variances.sum() / width, (variances**2).sum()
    apart = squares - width * middle**2
    spread = ((values**2).sum(1) ** 2).sum() / count**2 - squares / count
    share = 0.0 if apart <= 0 else min(1.0, max(0.0, spread / apart))
    return (1 - share) * variances + share * middle, axes


def _rounded(values: np.ndarray) -> list[float]:
    """To five digits, so that the file stays small."""
    return [float(f"{one:.5g}") for one in values.tolist()]
