"""A complete sample from settings, an index and a render function. Each worker runs this in its own process, so that drawing, labelling
and image encoding run in parallel too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from datagen.samples.captions import caption
from datagen.samples.depth import depth_file
from datagen.samples.draw import Drawn, draw
from datagen.samples.record import matrices_of
from datagen.samples.sample import CAPTION_SUFFIX, DEPTH_SUFFIX, Sample, make_sample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Scene, Shot

_CAPTION_STREAM = 2  # differs from the streams of `draw`

Render = Callable[[Scene, Shot], np.ndarray]


def generate_sample(settings: DatasetSettings, index: int, render: Render) -> Sample:
    """Draw, render and label the sample of an index; `render` returns the image, (height, width, 3) uint8.

    `UserError` if no scene can be drawn.
    """
    drawn = draw(settings, index)
    return make_sample(
        settings.key(index),
        drawn.scene,
        drawn.shot,
        render(drawn.scene, drawn.shot),
        drawn.view,
        image_format=settings.image_format,
        extras=dict(_extras(settings, index, drawn)),
        facts=_view_facts(settings, index, drawn) if settings.views > 1 else None,
        index=index,
        seed=settings.seed,
        attempt=drawn.attempt,
        split=settings.split,
    )


def _view_facts(settings: DatasetSettings, index: int, drawn: Drawn) -> dict[str, Any]:
    """The fields of a record that samples have if scenes have several views."""
    number, view = settings.scene_and_view(index)
    return {"scene_index": number, "view": view, **matrices_of(drawn.shot)}


def _extras(settings: DatasetSettings, index: int, drawn: Drawn) -> Iterator[tuple[str, bytes]]:
    """The optional files that the settings ask for, by suffix."""
    domain = settings.resolved_domain
    if settings.captions:
        rng = np.random.default_rng(np.random.SeedSequence((settings.seed, index, 0, _CAPTION_STREAM)))
        yield CAPTION_SUFFIX, (caption(drawn.scene, domain, drawn.shot.viewpoint, rng) + "\n").encode()
    if settings.depth:
        yield DEPTH_SUFFIX, depth_file(drawn.scene, domain, drawn.shot, drawn.view)
