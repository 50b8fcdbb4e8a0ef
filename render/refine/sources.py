"""Predictions together with their images and cameras, by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from datagen.code.predictions import Prediction
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.declared import as_declared
from datagen.samples.record import CameraRecord
from datagen.screen import print_line
from datagen.shards.pictures import DatasetImages, Pictures
from render.refine.refine import RefineSettings
from render.refine.task import Task


class Sources:
    """The tasks for predictions that have images: ``keys``. What has no partner is named on stderr, and left out; `UserError` if nothing
    has one."""

    def __init__(self, predictions: Mapping[str, Prediction], images: Pictures, domain: str, settings: RefineSettings) -> None:
        """``domain`` is that of images that are not of a data set, of which nothing is known."""
        get_domain(domain)
        self._predictions, self._images, self._domain, self._settings = predictions, images, domain, settings
        self.keys = [key for key in predictions if key in set(images.keys)]
        if not self.keys:
            raise UserError("no image has the name of a prediction's key: are these the images that were predicted?")
        for what, missing in (
            ("predictions have no image", [key for key in predictions if key not in set(images.keys)]),
            ("images have no prediction", [key for key in images.keys if key not in predictions]),
        ):
            if missing:
                print_line(f"refine: {len(missing)} {what}, and are left out: {', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}")

    def task(self, key: str) -> Task:
        """The task for a key. `ImageError` if its image cannot be read."""
        domain, camera = self._domain, None
        if isinstance(self._images, DatasetImages):
            shot, of_sample = self._images.samples.shot(key)
            domain = of_sample.name
            if shot.camera is not None:
                camera = as_declared(asdict(shot.camera), CameraRecord, key)
        image, name = self._images.encoded(key), self._images.name(key)
        how = self._settings
        return Task(self._predictions[key], domain, image, name, camera, how.free_camera, how.seconds, how.renders)
