"""Small valid files as the toolkit writes them, into which faults are put. Each is made once a process."""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datagen.generate import generate
from datagen.io.cache import alone
from datagen.samples.draw import draw
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings, sample_key
from datagen.shards.reader import Samples

DOTS = DatasetSettings(domain="dot2d", seed=3, width=32, height=24, quality="draft", shard_size=1)
SCENES = DatasetSettings(domain="clevr", seed=3, width=64, height=48, quality="draft", min_objects=3, max_objects=3)


@cache
def home() -> Path:
    """A temporary folder of this process; in a campaign, the one that all of its processes share (``FUZZ_HONEST``)."""
    if "FUZZ_HONEST" in os.environ:
        return Path(os.environ["FUZZ_HONEST"])
    folder = tempfile.mkdtemp(prefix="igllm-honest-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def data_set() -> Mapping[str, bytes]:
    """The files of a data set of two samples in two shards."""
    folder = home() / "dots"
    with alone(home() / "dots.lock"):
        generate(DOTS, 2, folder, 1)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")}


@cache
def dots() -> list[Sample]:
    """The samples of `data_set`."""
    data_set()
    return list(Samples(home() / "dots"))


@cache
def scene() -> Sample:
    """A sample of the domain clevr with three objects, its image a plain grey."""
    drawn = draw(SCENES, 0)
    pixels = np.full((SCENES.height, SCENES.width, 3), 90, np.uint8)
    return make_sample(sample_key(0), drawn.scene, drawn.shot, pixels, index=0, seed=3, attempt=drawn.attempt, split="default")


def plain(sample: Sample) -> Any:
    """A sample's record as plain data."""
    return json.loads(sample.files()[".json"])


@cache
def images() -> Mapping[str, bytes]:
    """Small images of all formats and several modes, by file name."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    found = {}
    for mode, name, form in (
        ("RGB", "rgb.png", "PNG"),
        ("RGBA", "rgba.png", "PNG"),
        ("P", "p.png", "PNG"),
        ("I;16", "deep.png", "PNG"),
        ("RGB", "rgb.jpg", "JPEG"),
        ("CMYK", "cmyk.jpg", "JPEG"),
        ("RGBA", "rgba.webp", "WEBP"),
        ("P", "p.gif", "GIF"),
        ("RGB", "rgb.bmp", "BMP"),
        ("RGB", "rgb.tif", "TIFF"),
        ("F", "float.tif", "TIFF"),
        ("I;16", "deep.tif", "TIFF"),
        ("RGB", "rgb.ppm", "PPM"),
        ("RGB", "rgb.jp2", "JPEG2000"),
        ("RGBA", "rgba.tga", "TGA"),
        ("RGB", "rgb.avif", "AVIF"),
    ):
        stream = io.BytesIO()
        image = Image.fromarray(noise).convert("I").convert("I;16") if mode == "I;16" else Image.fromarray(noise).convert(mode)
        image.save(stream, form)
        found[name] = stream.getvalue()
    return found
