"""The configuration of an `IGLLM`: those of its two Hugging Face parts, how they are joined, and where their weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec
from transformers.utils import logging

from datagen.domains.dialects import Dialect, dialect
from datagen.domains.registry import get_domain
from model.staging import checked_config

FORMAT_VERSION = 2
PROMPT = "What graphics code makes this image?"


def quiet_transformers() -> None:
    """Silence transformers' progress bars, its hints, and the pages of configuration that it prints before an error."""
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)


class IGLLMConfig(PreTrainedConfig):
    """The settings from which `IGLLM.from_pretrained` rebuilds a model.

    ``image_height`` and ``image_width`` in pixels; ``image_mean`` and ``image_std`` per channel in [0, 1]. ``vision_layer`` is the index
    of the hidden state that is read from a transformer tower (-2: the penultimate, as in IG-LLM); of other towers, the last output is
    read. ``vision_merge`` x ``vision_merge`` neighbouring patches, or places of the map, make one visual token. ``prefix_token_ids``
    are the tokens that the chat template puts before the image; ``num_token_id`` is the id of `[NUM]`.

    ``vision_base`` and ``language_base`` (``name``, ``revision``, ``sha256`` where known) name the checkpoint from which a frozen part's
    weights are loaded; the model's own file then holds only LoRA's adapters of that part. None: the file holds the whole part.
    ``lora`` (``rank``, ``alpha``, ``dropout``) puts adapters on the language model.

    ``rotations``, ``places`` and ``shot_in_code`` choose the dialect that the model writes (`datagen.domains.dialects.dialect`).

    ``numbers`` is ``head`` (`[NUM]` tokens whose values the numeric head predicts; with ``number_cells`` a value may also be the dense
    read-out's for a cell, see `model.parts.cell_head`) or ``char`` (digits as text). ``word_token_ids`` holds one token for each word of
    all choices, in order, if the dense read-out contributes to the logits of words; else it is empty. ``feedback_noise`` is the standard
    deviation, in normalised units, of the noise that training adds to the true values fed back, so that a model does not rely on more
    digits than it can predict.

    ``number_weight``, ``dense_weight`` and ``guide_weight`` weigh the losses of numbers, dense read-out and `model.parts.guide` beside
    next-token cross-entropy. Without ``number_cells``, a number's loss is its squared error; beyond an error of ``number_close``, in
    normalised units, it grows linearly (0: nowhere). The dense read-out splits a visual token's cell into ``dense_split`` x
    ``dense_split`` cells; ``dense_reader`` is what reads them (`model.parts.dense_head`).

    ``preset``, ``data_digest`` and ``code_version`` record how the model was trained; nothing depends on them.
    """

    model_type: ClassVar[str] = "igllm"
    sub_configs_defaults: ClassVar[dict] = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    vision_config: Any = None
    text_config: Any = None
    vision_base: dict[str, Any] | None = None
    language_base: dict[str, Any] | None = None
    lora: dict[str, Any] | None = None
    domain: str = "clevr"
    rotations: str = "own"
    places: str = "world"
    shot_in_code: bool = False
    prompt: str = PROMPT
    prefix_token_ids: list[int] = field(default_factory=list)
    image_height: int = 336
    image_width: int = 336
    image_mean: list[float] = field(default_factory=lambda: [0.48145466, 0.4578275, 0.40821073])  # CLIP's
    image_std: list[float] = field(default_factory=lambda: [0.26862954, 0.26130258, 0.27577711])
    vision_layer: int = -2
    vision_merge: int = 1
    freeze_vision: bool = True
    num_token_id: int = 0
    numbers: str = "head"
    number_cells: bool = False
    word_token_ids: list[int] = field(default_factory=list)
    number_feedback: bool = False
    feedback_noise: float = 0.0
    number_weight: float = 1.0
    number_close: float = 0.0
    dense_weight: float = 0.0
    dense_split: int = 1
    dense_reader: str = "linear"
    guide_weight: float = 0.0
    preset: dict[str, Any] = field(default_factory=dict)
    data_digest: str = ""
    code_version: str = ""
    format_version: int = FORMAT_VERSION

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: Any, **keywords: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """As for any configuration; `UserError` for unsupported fields and impossible values (`model.staging.checked_config`)."""
        content, unused = super().get_config_dict(pretrained_model_name_or_path, **keywords)
        return checked_config(content, pretrained_model_name_or_path), unused


def dialect_of(config: IGLLMConfig | Mapping[str, Any]) -> Dialect:
    """The dialect of the code that a model of this configuration writes; `UserError` if its domain has no such dialect."""
    stated = config if isinstance(config, Mapping) else vars(config)
    choices = str(stated.get("rotations", "own")), str(stated.get("places", "world")), bool(stated.get("shot_in_code", False))
    return dialect(get_domain(stated["domain"]), *choices)


AutoConfig.register(IGLLMConfig.model_type, IGLLMConfig)
