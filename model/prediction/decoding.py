"""The settings of decoding. They are also command-line flags, so torch is imported only when decoding needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from datagen.errors import UserError
from datagen.flags import Flag, positive

if TYPE_CHECKING:
    import torch

    from model.prediction.choosing import Choose

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-6, 1e6


@dataclass(frozen=True)
class Decoding:
    """How texts are found: greedily; with a ``temperature``, by drawing ``samples`` of them, each token from the fewest that have ``top_p``
    of the probability; or by a beam search of ``beams`` texts, the ``samples`` best of which are kept. Draws depend on ``seed`` and the
    image's key. With ``intervals``, predictions state intervals and the certainty of words,
    too. `UserError` for settings that contradict each other or are out of range.
    """

    samples: Annotated[
        int, Flag("give K codes for each image, likeliest first: the likeliest found or, with --temperature, random ones", "K", positive)
    ] = 1
    beams: Annotated[int, Flag("search with B beginnings of the code at a time, the likeliest", "B", positive)] = 1
    temperature: Annotated[float | None, Flag("choose at random, more freely the higher (default: the likeliest)", "T")] = None
    top_p: Annotated[
        float, Flag("with --temperature: choose among the likeliest words alone, which have this share of the probability together", "P")
    ] = 1.0
    intervals: Annotated[
        bool, Flag("state a 90 %% interval beside every number, and how sure the model is of every word; needs a calibrated model")
    ] = False
    seed: Annotated[int, Flag("seed of what --temperature chooses at random, together with the image's key")] = 0

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
        """The number of texts that are written at once for each image."""
        return max(self.samples, self.beams)

    @property
    def choose(self) -> Choose:
        """The function that chooses the next token of each text."""
        from model.prediction.choosing import beam_search, drawing, likeliest

        if self.temperature is not None:
            return drawing(self.temperature, self.top_p)
        return likeliest if self.beams == 1 else beam_search(self.beams)

    def draws(self, keys: Sequence[str], count: int) -> torch.Tensor:
        """(texts, count) draws from [0, 1), each row a function of seed, key and number of the sample; zeros without a temperature."""
        import torch

        from model.prediction.choosing import draws

        if self.temperature is None:
            return torch.zeros(len(keys) * self.texts_per_image, count)
        return draws(self.seed, keys, self.samples, count)
