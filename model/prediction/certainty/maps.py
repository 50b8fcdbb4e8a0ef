"""Maps from the probability that a model states to the probability that it is right: few parameters, never falling.

Three kinds are fitted, temperature (one slope of the log-odds; Guo et al. 2017), Platt's (a slope and an offset; Platt 1999), and isotonic
regression (straight lines between as many knots as have `LEAST_CASES` each; Zadrozny and Elkan 2002). The one with the least log loss on
scenes that it was not fitted on is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import isotonic_regression, minimize

from model.declared import StatedMap

SUREST = 20.0  # log-odds beyond which none are told apart
FOLDS = 5
MOST_KNOTS = 12
LEAST_CASES = 100  # of a knot
PRIOR = 1e-3  # a pull towards leaving the log-odds as they are, so that no slope is infinite
LEAST_SHARE = 1e-4  # no map says 0 or 1


def log_odds(scores: Sequence[float]) -> np.ndarray:
    """The log-odds of probabilities given by their logarithms (N,)."""
    logs = np.minimum(np.array(scores, float), -1e-12)
    return np.asarray((logs - np.log(-np.expm1(logs))).clip(-SUREST, SUREST))


def mapped(stated: StatedMap, scores: Sequence[float]) -> np.ndarray:
    """The probabilities of being right (N,) of what was said with these log-probabilities."""
    odds = log_odds(scores)
    if stated.knots:
        at, share = zip(*stated.knots, strict=True)
        return np.interp(odds, at, share)
    return _sigmoid(stated.slope * odds + stated.offset).clip(LEAST_SHARE, 1 - LEAST_SHARE)


def fit_map(scores: Sequence[float], right: Sequence[bool], scenes: Sequence[int]) -> StatedMap:
    """The map for what was said with these log-probabilities in these scenes; the one that changes nothing without a case."""
    odds, hits, fold = log_odds(scores), np.array(right, float), np.array(scenes) % FOLDS
    if not len(odds):
        return StatedMap()
    held_out = {fit: _held_out_loss(fit, odds, hits, fold) for fit in (_temperature, _platt, _isotonic)}
    best = min(held_out, key=lambda fit: held_out[fit])
    return best(odds, hits)


def _held_out_loss(fit: Callable[[np.ndarray, np.ndarray], StatedMap], odds: np.ndarray, hits: np.ndarray, fold: np.ndarray) -> float:
    """The log loss of the cases of each fold by the map fitted on the others."""
    loss = 0.0
    for one in range(FOLDS):
        inside = fold == one
        if inside.any() and not inside.all():
            share = mapped(fit(odds[~inside], hits[~inside]), -np.logaddexp(0, -odds[inside]))
            loss += _loss(share, hits[inside])
    return loss


def _loss(share: np.ndarray, hits: np.ndarray) -> float:
    held = share.clip(LEAST_SHARE, 1 - LEAST_SHARE)
    return float(-(hits * np.log(held) + (1 - hits) * np.log1p(-held)).sum())


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -odds)))


def _temperature(odds: np.ndarray, hits: np.ndarray) -> StatedMap:
    return _by_odds(odds, hits, offset=False)


def _platt(odds: np.ndarray, hits: np.ndarray) -> StatedMap:
    return _by_odds(odds, hits, offset=True)


def _by_odds(odds: np.ndarray, hits: np.ndarray, *, offset: bool) -> StatedMap:
    def loss(parameters: np.ndarray) -> float:
        slope, shift = parameters[0], parameters[1] if offset else 0.0
        logits = slope * odds + shift
        return float(np.logaddexp(0, np.where(hits > 0.5, -logits, logits)).sum() + PRIOR * ((slope - 1) ** 2 + shift**2))

    bounds = [(0.0, 100.0), (-100.0, 100.0)][: 1 + offset]
    found = minimize(loss, [1.0, 0.0][: 1 + offset], bounds=bounds, method="L-BFGS-B").x
    return StatedMap(slope=round(float(found[0]), 6), offset=round(float(found[1]), 6) if offset else 0.0)


def _isotonic(odds: np.ndarray, hits: np.ndarray) -> StatedMap:
    order = np.argsort(odds, kind="stable")
    parts = np.array_split(order, max(1, min(MOST_KNOTS, len(order) // LEAST_CASES)))
    at = np.array([odds[part].mean() for part in parts])
    # Laplace's rule of succession keeps a bin without a fault from saying that there is none.
    share = np.array([(hits[part].sum() + 1) / (len(part) + 2) for part in parts])
    smooth = isotonic_regression(share, weights=[len(part) for part in parts]).x
    knots: list[tuple[float, float]] = []
    for place, value in zip(at.tolist(), smooth.tolist(), strict=True):
        if not knots or place > knots[-1][0] + 1e-6:
            knots.append((round(place, 6), round(min(max(value, LEAST_SHARE), 1 - LEAST_SHARE), 6)))
    return StatedMap(knots=knots) if len(knots) > 1 and all(map(math.isfinite, at)) else StatedMap()
