"""The configuration of a `Derenderer`: its trunk, its frame, its domain, and the weights of its losses."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from model.config import FORMAT_VERSION, IGLLMConfig
from model.staging import checked_config


class DerenderConfig(PreTrainedConfig):
    """The settings from which `Derenderer.from_pretrained` rebuilds a model.

    ``vision_config`` configures the trunk, any convolutional backbone of transformers. ``image_height`` and ``image_width`` in pixels;
    ``image_mean`` and ``image_std`` per channel in [0, 1]. ``width`` counts the channels of the map that proposals and masks are read
    from, ``region_width`` the channels of the first layer of the networks that read a region. Proposals have a heat above ``threshold``.
    ``number_weight`` is the weight of the localisation loss; the other three have 1.

    ``preset``, ``data_digest`` and ``code_version`` record how the model was trained; nothing depends on them.
    """

    model_type: ClassVar[str] = "igllm-derender"
    sub_configs_defaults: ClassVar[dict] = {"vision_config": SubConfigSpec(config_class=AutoConfig, model_type="resnet")}

    vision_config: Any = None
    domain: str = "clevr"
    image_height: int = 120
    image_width: int = 160
    image_mean: list[float] = field(default_factory=lambda: list(IGLLMConfig().image_mean))
    image_std: list[float] = field(default_factory=lambda: list(IGLLMConfig().image_std))
    width: int = 48
    region_width: int = 32
    threshold: float = 0.3
    number_weight: float = 1.0
    preset: dict[str, Any] = field(default_factory=dict)
    data_digest: str = ""
    code_version: str = ""
    format_version: int = FORMAT_VERSION

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: Any, **keywords: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """As `IGLLMConfig.get_config_dict`."""
        content, unused = super().get_config_dict(pretrained_model_name_or_path, **keywords)
        return checked_config(content, pretrained_model_name_or_path), unused


AutoConfig.register(DerenderConfig.model_type, DerenderConfig)
