"""How well a scene and its picture agree with the truth and with the image, as rows for the page."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from PIL import Image

from datagen.code.grammar import parse_code
from datagen.domains.base import Domain
from datagen.errors import CodeError
from datagen.metrics.scores import SceneScores, score_scene
from datagen.metrics.summary import summarize
from render.images import MIN_SIDE, compare_images, heat_image

NEAREST = 0.125
"""The distance, in metres, of the average precision that the page names, where the domain has it."""


def judge_scene(code: str, truth: str, domain: Domain) -> list[list[str]]:
    """Rows of a name and a value: how the objects of some code agree with the true ones. Empty if either does not parse.

    Locations and sizes are off by so much in the mean, rotations in the median, over matched objects; right words are of all true objects.
    """
    try:
        true, said = parse_code(truth, domain), parse_code(code, domain)
        domain.check(true)
        domain.check(said)
    except CodeError:
        return []
    return _rows(score_scene(domain.canonical(true), domain.canonical(said), domain), domain)


def _rows(scores: SceneScores, domain: Domain) -> list[list[str]]:
    found = summarize([scores])
    aside = [f"{found[name]} {name}" for name in ("missed", "extra") if found[name]]
    rows = [["objects", ", ".join([f"{found['matched']} of {found['objects']} found", *aside])]]
    if found["location_l2"] is not None and domain.ap_thresholds:
        rows.append(["location off by", f"{found['location_l2']:.3f} {domain.unit}"])
    if found["rotation_error"]["pairs"]:
        rows.append(["rotation off by", f"{found['rotation_error']['median']:.1f}°"])
    for name, error in found["size_error"].items():
        if error is not None:
            rows.append([f"{name} off by", f"{error:.3f}"])
    for name, tally in scores.choices.items():
        if tally.all:
            rows.append([name, f"{tally.right} of {tally.all}"])
    if found["ap"]:
        key = f"{NEAREST:g}" if f"{NEAREST:g}" in found["ap"] else min(found["ap"], key=float)
        rows.append([f"AP@{key}", f"{100 * found['ap'][key]:.0f} %"])
    return rows


def judge_picture(image: np.ndarray, picture: np.ndarray) -> dict[str, Any]:
    """``scores``: rows of a name and a value, and ``difference``: a heat map as base64 PNG, of an image scaled to a picture's frame."""
    reference = fitted(image, picture.shape[1], picture.shape[0])
    if min(picture.shape[:2]) < MIN_SIDE:
        return {}
    found, error = compare_images(reference, picture)
    rows = [["FLIP", f"{found.flip:.3f}"], ["SSIM", f"{found.ssim:.3f}"], ["PSNR", f"{found.psnr:.1f} dB"]]
    return {"scores": rows, "difference": base64.b64encode(heat_image(error)).decode()}


def fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The image (h, w, 3) uint8, scaled to a frame, (height, width, 3) uint8; the same image if it has that size."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
