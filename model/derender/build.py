"""A new `Derenderer` from a preset, with the `Learner` that trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from datagen.domains.base import Domain
from datagen.shards.reader import Samples
from model.data.examples import SampleSource
from model.data.frames import Frame
from model.data.learner import Learner
from model.data.order import ExampleSource
from model.derender.config import DerenderConfig
from model.derender.data import RegionMaker, collate_regions
from model.derender.derenderer import Derenderer
from model.extent import Extent, within
from model.preset import Preset
from model.tables import blaming, configuration


def check_derendering(preset: Preset, domain: Domain) -> None:
    """`UserError` for a domain of several statements, and for a trunk that is no backbone or fails on a blank image."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = _derenderer(preset, domain, {})
        with blaming("[vision]"):
            model.eval().perceive(torch.zeros(1, 3, preset.tower.image_height, preset.tower.image_width))


def begin_derendering(preset: Preset, domain: Domain, provenance: Mapping[str, Any]) -> Learner:
    """The `Learner` of a preset of the kind ``derender`` that `check_derendering` has passed.

    ``provenance`` holds the fields that the model's configuration records about its training.
    """
    model = _derenderer(preset, domain, provenance)
    make = RegionMaker(domain, model.slots, Frame.of(model.config), preset.examples.augment)

    def source(samples: Samples) -> ExampleSource:
        return SampleSource(samples, make)

    return Learner(model, None, source, collate_regions)


def _derenderer(preset: Preset, domain: Domain, provenance: Mapping[str, Any]) -> Derenderer:
    config = DerenderConfig(
        vision_config=configuration("vision", preset.vision),
        domain=domain.name,
        image_height=preset.tower.image_height,
        image_width=preset.tower.image_width,
        number_weight=preset.head.number_weight,
        **provenance,
    )
    with blaming("[vision]"):
        with within(Extent.of_memory(), "[vision]"):
            Derenderer(config)
        return Derenderer(config)
