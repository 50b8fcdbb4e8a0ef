"""A line of ``refined.jsonl``: a prediction that has been refined, which every verb reads as any other prediction."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from datagen.code.predictions import Prediction
from datagen.samples.record import ShotRecord

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
