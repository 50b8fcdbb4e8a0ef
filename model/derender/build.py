"""A new `Derenderer` as a preset wants it, and what its training takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig

from datagen.archive import Archive
from datagen.domain import Domain
from datagen.errors import UserError
from model.data import SampleSource
from model.derender.config import DerenderConfig
from model.derender.data import RegionMaker, collate_regions
from model.derender.derenderer import Derenderer
from model.images import Frame
from model.learner import Learner
from model.order import Source
from model.presets import Preset


def begin_derendering(preset: Preset, domain: Domain, told: Mapping[str, Any]) -> Learner:
    """What is trained by a preset of the kind ``derender``. ``told`` goes into the configuration.

    Raises `UserError` for a domain of several statements and a trunk that is no backbone.
    """
    try:
        vision = AutoConfig.for_model(**preset.vision)
        config = DerenderConfig(
            vision_config=vision,
            domain=domain.name,
            image_height=preset.image_height,
            image_width=preset.image_width,
            number_weight=preset.number_weight,
            **told,
        )
        model = Derenderer(config)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"the preset's [vision] makes no convolutional trunk ({str(error).splitlines()[0]})") from None
    make = RegionMaker(domain, model.slots, Frame.of(config), preset.augment)

    def source(archive: Archive) -> Source:
        return SampleSource(archive, make)

    return Learner(model, None, source, collate_regions)
