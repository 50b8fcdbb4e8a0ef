"""Ways to choose among the tokens that the grammar allows (greedy, sampling, beam search), and the random numbers of sampling."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch

LARGEST_DRAW = 1 - 2**-20  # so that rounding cannot raise a draw above the sum of all probabilities

Choose = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor | None, torch.Tensor]]
"""A function of log-probabilities (rows, options), the log-likelihoods of the texts so far (rows,) and draws from [0, 1) (rows,). It gives
the rows of the texts to continue (rows,), None if each text is continued in its place, and the option chosen for each (rows,).
"""


def draws(seed: int, keys: Sequence[str], samples: int, count: int) -> torch.Tensor:
    """(keys * samples, count) draws from [0, 1), which depend only on the seed, the key and the number of the sample."""
    streams = (np.random.default_rng((seed, sample, _digest(key))) for key in keys for sample in range(samples))
    return torch.from_numpy(np.stack([stream.random(count, np.float32) for stream in streams])).clamp(max=LARGEST_DRAW)


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])


def likeliest(log_probability: torch.Tensor, log_likelihood: torch.Tensor, draw: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
    return None, log_probability.argmax(-1)


def drawing(temperature: float, top_p: float) -> Choose:
    def choose(log_probability: torch.Tensor, log_likelihood: torch.Tensor, draw: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        # Relative to the largest, which is 0 at any temperature, so that none becomes infinite or NaN.
        probability = ((log_probability - log_probability.amax(-1, keepdim=True)) / temperature).softmax(-1)
        if top_p < 1:
            probability = probability * _nucleus(probability, top_p)
        summed = probability.cumsum(-1)
        return None, (summed > (draw * summed[:, -1])[:, None]).int().argmax(-1)  # the first option above the draw

    return choose


def _nucleus(probability: torch.Tensor, top_p: float) -> torch.Tensor:
    """(rows, options) whether an option is among the fewest that together have ``top_p`` of the ``probability`` (rows, options)."""
    falling, order = probability.sort(stable=True, descending=True)
    kept = falling.cumsum(-1) - falling < top_p
    return torch.zeros_like(kept).scatter(-1, order, kept)


def beam_search(beams: int) -> Choose:
    """Chooses the ``beams`` likeliest continuations of each image's texts. A text that has ended is not changed."""

    def choose(log_probability: torch.Tensor, log_likelihood: torch.Tensor, draw: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        options = log_probability.shape[-1]
        best = (log_likelihood[:, None] + log_probability).view(-1, beams * options).topk(beams).indices
        first = torch.arange(0, len(log_likelihood), beams, device=best.device)[:, None]
        rows = (first + best // options).flatten()
        moved = not torch.equal(rows, torch.arange(len(rows), device=rows.device))  # often false, as the grammar forces many tokens
        return rows if moved else None, (best % options).flatten()

    return choose
