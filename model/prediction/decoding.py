"""The settings of decoding, and its three ways to choose among the tokens that the grammar allows: greedy, drawn, beam search."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from datagen.errors import UserError

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-6, 1e6
LARGEST_DRAW = 1 - 2**-20  # so that rounding cannot lift a draw above the sum of all probabilities

Choose = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor | None, torch.Tensor]]
"""From log-probabilities (rows, options), the log-likelihoods of the texts so far (rows,) and draws from [0, 1) (rows,): which texts are
continued, in order (rows,), None if it is each in its place; and the option that each of them takes (rows,).
"""


@dataclass(frozen=True)
class Decoding:
    """How texts are found: greedily; with a ``temperature``, by drawing ``samples`` of them, each token from the fewest that have ``top_p``
    of the probability; or by a beam search of ``beams`` texts, the ``samples`` best of which are kept. Draws depend on ``seed`` and the
    image's key. `UserError` for settings that contradict each other or are out of range.
    """

    samples: int = 1
    beams: int = 1
    temperature: float | None = None
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.beams < 1 or self.seed < 0:
            raise UserError(f"samples {self.samples}, beams {self.beams}, seed {self.seed}: at least 1 sample, 1 beam and seed 0 are meant")
        if self.temperature is not None and not LOWEST_TEMPERATURE <= self.temperature <= HIGHEST_TEMPERATURE:
            possible = f"from {LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g} are possible"
            raise UserError(f"temperature {self.temperature:g}: {possible}; leave it out to take the likeliest token each time")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p {self.top_p:g}: it must be a share above 0 and at most 1")
        if self.temperature is None and self.top_p < 1:
            raise UserError("top-p is for drawing tokens: give a temperature too")
        if self.temperature is not None and self.beams > 1:
            raise UserError("temperature and beams exclude each other: tokens are either drawn or searched for")
        if self.temperature is None and self.samples > self.beams:
            raise UserError(f"{self.samples} samples: give a temperature, to draw them, or {self.samples} beams, to search for them")

    @property
    def texts_per_image(self) -> int:
        """How many texts are written at once for each image."""
        return max(self.samples, self.beams)

    @property
    def choose(self) -> Choose:
        """The function that chooses how texts go on."""
        if self.temperature is not None:
            return _drawing(self.temperature, self.top_p)
        return _likeliest if self.beams == 1 else _beam_search(self.beams)

    def draws(self, keys: Sequence[str], count: int) -> torch.Tensor:
        """(texts, count) draws from [0, 1), each row a function of seed, key and number of the sample; zeros without temperature."""
        if self.temperature is None:
            return torch.zeros(len(keys) * self.texts_per_image, count)
        streams = (np.random.default_rng((self.seed, sample, _digest(key))) for key in keys for sample in range(self.samples))
        return torch.from_numpy(np.stack([stream.random(count, np.float32) for stream in streams])).clamp(max=LARGEST_DRAW)


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])


def _likeliest(log_probability: torch.Tensor, log_likelihood: torch.Tensor, draw: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
    return None, log_probability.argmax(-1)


def _drawing(temperature: float, top_p: float) -> Choose:
    def choose(log_probability: torch.Tensor, log_likelihood: torch.Tensor, draw: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        # Relative to the largest, which stays 0 at any temperature: so none becomes infinite or NaN.
        probability = ((log_probability - log_probability.amax(-1, keepdim=True)) / temperature).softmax(-1)
        if top_p < 1:
            probability = probability * _nucleus(probability, top_p)
        summed = probability.cumsum(-1)
        return None, (summed > (draw * summed[:, -1])[:, None]).int().argmax(-1)  # the first option above the draw

    return choose


def _nucleus(probability: torch.Tensor, top_p: float) -> torch.Tensor:
    """(rows, options) whether an option is among the fewest that have ``top_p`` of the probability (rows, options)."""
    falling, order = probability.sort(stable=True, descending=True)
    kept = falling.cumsum(-1) - falling < top_p
    return torch.zeros_like(kept).scatter(-1, order, kept)


def _beam_search(beams: int) -> Choose:
    """Chooses the ``beams`` likeliest continuations of each image's texts. A text that has ended stays as it is, and as likely."""

    def choose(log_probability: torch.Tensor, log_likelihood: torch.Tensor, draw: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        options = log_probability.shape[-1]
        best = (log_likelihood[:, None] + log_probability).view(-1, beams * options).topk(beams).indices
        first = torch.arange(0, len(log_likelihood), beams, device=best.device)[:, None]
        rows = (first + best // options).flatten()
        moved = not torch.equal(rows, torch.arange(len(rows), device=rows.device))  # mostly not: much of a text is forced
        return rows if moved else None, (best % options).flatten()

    return choose
