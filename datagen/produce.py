"""From settings and an index to a whole sample, given something that renders. The worker runs this beside Blender, so that drawing,
labels and image files are made by as many processes as there are workers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from datagen.domains import get_domain
from datagen.sample import Sample, make_sample
from datagen.sampling import draw
from datagen.scene import Scene, Shot
from datagen.settings import DatasetSettings, sample_key

Render = Callable[[Scene, Shot], np.ndarray]


def produce(settings: DatasetSettings, index: int, render: Render) -> Sample:
    """The sample (settings, index); `render` gives a scene's image, (height, width, 3) uint8. `UserError` if no scene can be placed."""
    domain = get_domain(settings.domain)
    template = domain.canonical_shot(settings.width, settings.height, settings.quality)
    drawn = draw(domain, settings.limits, template, settings.seed, index)
    return make_sample(
        sample_key(index),
        drawn.scene,
        drawn.shot,
        render(drawn.scene, drawn.shot),
        drawn.view,
        image_format=settings.image_format,
        index=index,
        seed=settings.seed,
        attempt=drawn.attempt,
        split=settings.split,
    )
