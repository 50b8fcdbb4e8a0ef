"""How sure a model is of what it wrote for an image, and a warning where it is less sure than of images like those it has learnt from.

A calibrated model says itself whether an image looks like the scenes of its domain. For others the measure is the mean of the confidences
that the model states for the objects of its code. It needs no truth and no second model. It is no proof either way: a model may be sure
and wrong, and unsure of a hard scene of its own domain.
"""

from __future__ import annotations

from statistics import fmean

from datagen.code.predictions import Prediction

SURE = 0.8
"""The mean confidence below which an image counts as unlike what the model knows: of new renders of its own domain, the shipped model fell
below it for 1 of 168 (docs/prediction.md has the figures and their command)."""


def sureness(prediction: Prediction) -> float | None:
    """The mean confidence of a prediction's objects, in [0, 1]; None where it states none."""
    return fmean(prediction.confidence) if prediction.confidence else None


def warning(prediction: Prediction) -> str | None:
    """Why an image seems to be unlike what the model knows, in words; None if it does not."""
    if prediction.looks_like_domain is False:
        return (
            "Unlike what the model knows: it does not look like a scene of its domain (by its distance from them, "
            f"{prediction.domain_distance or 0.0:.1f} times what such scenes may have). The code is the best that the model could write."
        )
    if not prediction.code.strip():
        return "Unlike what the model knows: it names no object in this image."
    sure = sureness(prediction)
    if prediction.looks_like_domain or sure is None or sure >= SURE:
        return None
    return (
        f"Unlike what the model knows: it is {100 * sure:.0f} % sure of its objects in the mean; "
        f"of renders like those it has learnt from it is hardly ever less sure than {100 * SURE:.0f} %."
    )
