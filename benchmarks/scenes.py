"""Data sets of CLEVR's scenes without Blender: true scenes, labels and code, but each object is a disc on a plain ground.

A model that trains on them works as hard as on renders.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from datagen.domains.registry import get_domain
from datagen.samples.draw import draw
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings, sample_key
from datagen.shards.writer import open_dataset

RADIUS = 0.05  # of a disc, as a share of the image's height


def write_discs(folder: Path, num: int, settings: DatasetSettings) -> Path:
    """Bring a data set in ``folder`` to ``num`` samples. Returns the folder."""
    with open_dataset(folder, settings, num) as writer:
        for index in writer.missing():
            writer.put(_sample(settings, index))
        writer.close()
    return folder


def _sample(settings: DatasetSettings, index: int) -> Sample:
    drawn, domain = draw(settings, index), get_domain(settings.domain)
    image = Image.new("RGB", (settings.width, settings.height), (130, 130, 130))
    pen, radius = ImageDraw.Draw(image), RADIUS * settings.height
    for place, (x, y, _) in enumerate(domain.centres(drawn.scene.objects, drawn.shot)):
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(25 * place % 256, 80, 255 - 25 * place % 256))
    origin = {"index": index, "seed": settings.seed, "attempt": drawn.attempt, "split": settings.split}
    return make_sample(sample_key(index), drawn.scene, drawn.shot, np.asarray(image), drawn.view, **origin)
