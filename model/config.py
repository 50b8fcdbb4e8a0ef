"""The configuration of an `IGLLM`: the configurations of its two Hugging Face parts, and how they are joined."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

FORMAT_VERSION = 1
PROMPT = "What graphics code makes this image?"


class IGLLMConfig(PreTrainedConfig):
    """What `IGLLM.from_pretrained` needs to rebuild a model.

    ``image_height`` and ``image_width`` in pixels; ``image_mean`` and ``image_std`` per channel in [0, 1]. ``vision_layer`` is
    the hidden state that is read from a tower of transformer layers (-2: the penultimate, as in IG-LLM); a convolutional tower gives
    its last map. ``feedback_noise`` is the standard deviation, in normalised units, of what training adds to the true values fed back,
    so that a model does not come to rely on more digits than it will predict. ``number_weight`` and ``dense_weight`` weigh the losses
    beside next-token cross-entropy.
    """

    model_type: ClassVar[str] = "igllm"
    sub_configs_defaults: ClassVar[dict] = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    vision_config: Any = None
    text_config: Any = None
    domain: str = "clevr"
    prompt: str = PROMPT
    image_height: int = 336
    image_width: int = 336
    image_mean: list[float] = field(default_factory=lambda: [0.48145466, 0.4578275, 0.40821073])  # CLIP's
    image_std: list[float] = field(default_factory=lambda: [0.26862954, 0.26130258, 0.27577711])
    vision_layer: int = -2
    freeze_vision: bool = True
    num_token_id: int = 0
    numbers: str = "head"
    number_feedback: bool = False
    feedback_noise: float = 0.0
    number_weight: float = 1.0
    dense_weight: float = 0.0
    format_version: int = FORMAT_VERSION


AutoConfig.register(IGLLMConfig.model_type, IGLLMConfig)
