"""A line of ``refined.jsonl``: a prediction that has been refined, which every verb reads as any other prediction; and the shots in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from msgspec import Meta, Struct

from datagen.code.predictions import Prediction
from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.images.limits import max_pixels, refusal
from datagen.io.declared import to_plain
from datagen.samples.record import ShotRecord
from datagen.scene import Shot
from render.rerender import Standard

Measured = Annotated[float, Meta(ge=0, le=1e9)]


class Refinement(Struct, frozen=True):
    """How a prediction was refined.

    ``shot`` has the light and the camera that were found. ``error`` is the root mean square difference of the frame from the image, of sRGB
    in [0, 1], ``first_error`` that of the code as it was given; ``renders`` and ``seconds`` were spent.
    """

    shot: ShotRecord
    first_error: Measured
    error: Measured
    renders: Annotated[int, Meta(ge=0)]
    seconds: Measured


class RefinedPrediction(Prediction, frozen=True, omit_defaults=True):
    """The code after refinement; ``refinement`` is None, and the code as it was given, where it could not be refined."""

    refinement: Refinement | None = None

    @staticmethod
    def as_given(prediction: Prediction) -> RefinedPrediction:
        """A prediction that could not be refined."""
        return RefinedPrediction(**{name: getattr(prediction, name) for name in Prediction.__struct_fields__})

    @property
    def shot(self) -> Shot | None:
        """The light and the camera that were found."""
        return None if self.refinement is None else Shot.from_json(to_plain(self.refinement.shot))


@dataclass(frozen=True)
class Found:
    """Camera, light and size of the frame that refinement has found for a code, in the place of those of ``otherwise``.

    ``found`` has them by key. With ``canonical_light`` the lamps stay the standard ones, and so does what is in ``frame``.
    """

    otherwise: Standard
    found: Mapping[str, Shot]
    canonical_light: bool = False
    frame: Mapping[str, Any] = field(default_factory=dict)

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The shot of a key, and the domain; `UserError` if its frame has more than `max_pixels`."""
        standard, domain = self.otherwise.shot(key)
        if key not in self.found or standard.camera is None:
            return standard, domain
        shot = replace(self.found[key], quality=standard.quality, noise_seed=standard.noise_seed, **self.frame)
        if shot.width * shot.height > max_pixels():
            raise UserError(f"{key}: its refinement {refusal(f'{shot.width:,}x{shot.height:,} pixels')}")
        return replace(shot, lamps=standard.lamps) if self.canonical_light else shot, domain
