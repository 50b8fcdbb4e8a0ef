"""What the camera sees of a true and of a predicted scene, by the exact ray cast: masks and their overlap, depth, distance, occlusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.geometry.camera import rays
from datagen.geometry.ground import Sweep, sweep_for
from datagen.geometry.view import View
from datagen.images.reduced import shrinkage
from datagen.metrics.certainty import HIDDEN
from datagen.metrics.matching import Pair
from datagen.samples.labels import masks_of, view_of
from datagen.scene import Camera, Object, Scene, Shot

MOST_CAST = 10**8  # rays for a scene, each object of which may meet those of the whole frame
MOST_MASKS = 200  # objects of a scene whose masks are kept


class SeenObject(NamedTuple):
    """A true object as the camera sees it: ``distance`` in metres along the camera's axis (None in a plane), ``pixels`` of the frame that
    show it, and the ``visible`` share of those that would show it alone (None if none would)."""

    distance: float | None
    pixels: float
    visible: float | None


@dataclass(frozen=True)
class Seen:
    """A true scene as its camera sees it; ``masks`` has the run lengths of the first objects' masks, ``size`` their (height, width)."""

    view: View
    depth: np.ndarray | None
    objects: tuple[SeenObject, ...]

    @property
    def hidden(self) -> frozenset[int]:
        """The indices of the objects of which less than `HIDDEN` is visible."""
        return frozenset(i for i, one in enumerate(self.objects) if one.visible is not None and one.visible < HIDDEN)

    @property
    def masks(self) -> dict[str, Any]:
        return masks(self.view, len(self.objects))


@dataclass(frozen=True)
class ViewScores:
    """``overlaps``: for each pair, the IoU of both objects' visible masks, None where neither is seen. ``mask_iou`` is the mean over the
    true objects that are seen, where a missed one counts 0. ``depth_error`` is the mean distance in metres between both depths over the
    pixels that show an object of either scene. None where there is nothing to measure."""

    overlaps: tuple[float | None, ...]
    mask_iou: float | None
    depth_error: float | None
    masks: dict[str, Any]

    def to_json(self) -> dict[str, float | None]:
        """Plain JSON."""
        return {"mask_iou": self.mask_iou, "depth_error": self.depth_error}


def see(scene: Scene, shot: Shot, domain: Domain) -> Seen | None:
    """A true scene as its camera sees it; None if it cannot be cast, as where its models are not at hand."""
    view = _view(scene, shot, domain)
    if view is None:
        return None
    coarse = _framed(shot, len(scene))
    scale = shot.width * shot.height / view.owner.size
    shown, centres = view.visible_pixels(len(scene)).tolist(), domain.centres(scene.objects, coarse)[:, 2].tolist()
    alone = [_alone(obj, domain, coarse) for obj in scene.objects]
    objects = (
        SeenObject(round(far, 4) if shot.camera is not None else None, scale * pixels, min(1.0, pixels / whole) if whole else None)
        for far, pixels, whole in zip(centres, shown, alone, strict=True)
    )
    return Seen(view, _depth(view, coarse, domain), tuple(objects))


def score_view(truth: Seen, guess: Scene, pairs: Sequence[Pair], shot: Shot, domain: Domain) -> ViewScores | None:
    """How a predicted scene looks in the true one's shot, against that one; None if it cannot be cast."""
    view = _view(guess, shot, domain, len(truth.objects))
    if view is None:
        return None
    if view.owner.shape != truth.view.owner.shape:  # so many objects were predicted that a coarser frame is cast
        return ViewScores((None,) * len(pairs), None, None, masks(view, len(guess)))
    one, other = truth.view.owner, view.owner
    seen, guessed = truth.view.visible_pixels(len(truth.objects)), view.visible_pixels(len(guess))
    together = one.astype(np.int64) * len(guess) + other  # of pixels that show an object of both scenes
    both = np.bincount(together[(one >= 0) & (other >= 0)], minlength=len(truth.objects) * len(guess))
    overlaps = []
    for pair in pairs:
        shared = int(both[pair.truth * len(guess) + pair.guess])
        union = int(seen[pair.truth] + guessed[pair.guess]) - shared
        overlaps.append(shared / union if union else None)
    total = sum(overlap for overlap, pair in zip(overlaps, pairs, strict=True) if overlap is not None and seen[pair.truth])
    visible = int(np.count_nonzero(seen))
    depth = _depth(view, _framed(shot, max(len(guess), len(truth.objects))), domain)
    return ViewScores(tuple(overlaps), total / visible if visible else None, _apart(truth, view, depth), masks(view, len(guess)))


def masks(view: View, count: int) -> dict[str, Any]:
    """The run lengths of the masks of the first objects of a view, and their ``size`` [height, width]."""
    height, width = view.owner.shape
    return {"size": [height, width], "runs": masks_of(view, min(count, MOST_MASKS))}


def _apart(truth: Seen, view: View, depth: np.ndarray | None) -> float | None:
    if depth is None or truth.depth is None:
        return None
    where = ((truth.view.owner >= 0) | (view.owner >= 0)) & np.isfinite(depth) & np.isfinite(truth.depth)
    return float(np.abs(depth[where] - truth.depth[where]).mean()) if where.any() else None


def _framed(shot: Shot, count: int) -> Shot:
    """The shot in which to cast so many objects: coarser by a whole number where its frame is very large or the objects very many."""
    pixels = shot.width * shot.height
    factor = max(shrinkage(shot.height, shot.width), math.ceil(math.sqrt(count * pixels / MOST_CAST)))
    return shot if factor == 1 else replace(shot, width=max(1, shot.width // factor), height=max(1, shot.height // factor))


def _view(scene: Scene, shot: Shot, domain: Domain, others: int = 0) -> View | None:
    try:
        domain.check(scene)
        domain.check_shot(shot)
        return view_of(scene, domain, _framed(shot, max(len(scene), others)))
    except UserError:
        return None


def _alone(obj: Object, domain: Domain, shot: Shot) -> int:
    return int(view_of(Scene(domain.name, (obj,)), domain, shot).visible_pixels(1)[0])


def _depth(view: View, shot: Shot, domain: Domain) -> np.ndarray | None:
    """The depth of what each pixel shows, objects, ground and backdrop: metres along the camera's axis (height, width); None in a plane."""
    if view.depth is None or shot.camera is None:
        return None
    if domain.ground is None:
        return view.depth
    return np.minimum(view.depth, _depth_behind(domain.ground, shot.camera, shot.width, shot.height))


@lru_cache(maxsize=4)  # as most data sets have one camera, or a few
def _depth_behind(ground: Sweep, camera: Camera, width: int, height: int) -> np.ndarray:
    return np.asarray(sweep_for(ground, camera, width, height).depth(rays(camera, width, height)), np.float32)
