"""Declarations of the files of a model and of its run, against which these files are checked before use.

In ``config.json``, the content of the parts' own configurations is left to transformers; an absent field has its default in
`model.config` or `model.derender.config`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from datagen.io.declared import Count, Digest, FileName, InnerPath
from datagen.scene import FRAME_SIDES

MOST_PROMPT_TOKENS = 4096
"""Limit before the image, and between image and answer: attention needs memory quadratic in the length."""
MOST_ADDED = 10_000  # tokens added to a vocabulary: Gemma has 6,400
MOST_WORDS = 500_000  # of a vocabulary: Gemma has 262,144
MOST_MERGES = 1_000_000  # merge rules of a tokenizer: Gemma has 514,906

FrameSide = Annotated[int, Meta(ge=FRAME_SIDES[0], le=FRAME_SIDES[1])]
Share = Annotated[float, Meta(ge=0, le=1)]
Deviation = Annotated[float, Meta(ge=1e-4, le=1000)]
Weight = Annotated[float, Meta(ge=0, le=1e9)]
Token = Annotated[int, Meta(ge=0, lt=2**31)]
Few = Annotated[int, Meta(ge=1, le=64)]
Width = Annotated[int, Meta(ge=1, le=65536)]
Step = Annotated[int, Meta(ge=0, le=10**9)]


class Seeing(Struct):
    """The fields of ``config.json`` that both kinds of model have."""

    domain: Annotated[str, Meta(max_length=200)]
    vision_config: dict[str, Any]
    image_height: FrameSide | UnsetType = UNSET
    image_width: FrameSide | UnsetType = UNSET
    image_mean: tuple[Share, Share, Share] | UnsetType = UNSET
    image_std: tuple[Deviation, Deviation, Deviation] | UnsetType = UNSET
    number_weight: Weight | UnsetType = UNSET


class StatedBase(Struct, forbid_unknown_fields=True):
    """See `model.parts.pretrained.Base`."""

    name: str
    revision: str | None = None
    sha256: str | None = None


class StatedPreprocessor(Struct):
    """The fields of a preprocessor's file that are used; image sizes are taken from the tower's configuration instead."""

    image_mean: tuple[Share, Share, Share] | None = None
    image_std: tuple[Deviation, Deviation, Deviation] | None = None
    do_normalize: bool | None = None
    do_rescale: bool | None = None
    rescale_factor: float | None = None


class AddedToken(Struct):
    """A token that a tokenizer has in addition to its vocabulary."""

    content: str
    id: Token = 0


AddedTokens = Annotated[dict[str, Token], Meta(max_length=MOST_ADDED)]
"""The content of ``added_tokens.json``: the id of each added token."""


Vocabulary = Annotated[dict[str, Any], Meta(max_length=MOST_WORDS)]
"""The content of ``vocab.json``: the id of each word."""


class StatedWords(Struct):
    """The vocabulary in ``tokenizer.json``."""

    vocab: Vocabulary | Annotated[list[Any], Meta(max_length=MOST_WORDS)] = {}
    merges: Annotated[list[Any], Meta(max_length=MOST_MERGES)] | None = None


class StatedTokenizer(Struct):
    """The fields of ``tokenizer.json`` that are checked here; the tokenizers library reads the rest, first in a confined process."""

    added_tokens: Annotated[list[AddedToken], Meta(max_length=MOST_ADDED)] = []
    model: StatedWords | None = None


FewAdded = Annotated[int, Meta(ge=0, le=MOST_ADDED)]
SomeAdded = Annotated[dict[str, Any], Meta(max_length=MOST_ADDED)] | Annotated[list[Any], Meta(max_length=MOST_ADDED)] | None


class StatedTemplate(Struct):
    """One of several chat templates; transformers writes it to a file of that name."""

    name: FileName
    template: str


class StatedTokenizerConfig(Struct):
    """The fields of ``tokenizer_config.json`` that are checked here: tokens, and the number of tokens of a kind."""

    added_tokens_decoder: Annotated[dict[str, AddedToken], Meta(max_length=MOST_ADDED)] = {}
    additional_special_tokens: SomeAdded = None
    extra_special_tokens: SomeAdded = None
    model_specific_special_tokens: SomeAdded = None
    extra_ids: FewAdded | None = None
    num_madeup_words: FewAdded | None = None
    offset: FewAdded | None = None
    chat_template: str | list[StatedTemplate] | dict[FileName, str] | None = None
    model_max_length: float | None = None  # 10 to the power of 30 where there is no limit


class StatedAdapters(Struct, forbid_unknown_fields=True):
    """The settings of LoRA's adapters."""

    rank: Width
    alpha: Annotated[float, Meta(gt=0, le=1e6)]
    dropout: Annotated[float, Meta(ge=0, lt=1)]


class DeclaredIGLLM(Seeing, kw_only=True):
    """See `model.config.IGLLMConfig`."""

    text_config: dict[str, Any]
    vision_base: StatedBase | None = None
    language_base: StatedBase | None = None
    lora: StatedAdapters | None = None
    rotations: str | UnsetType = UNSET
    places: Literal["world", "image"] | UnsetType = UNSET
    shot_in_code: bool | UnsetType = UNSET
    prompt: Annotated[str, Meta(min_length=1, max_length=10_000)] | UnsetType = UNSET
    prefix_token_ids: Annotated[list[Token], Meta(max_length=MOST_PROMPT_TOKENS)] | UnsetType = UNSET
    vision_layer: Annotated[int, Meta(ge=-1000, le=1000)] | UnsetType = UNSET
    vision_merge: Few | UnsetType = UNSET
    freeze_vision: bool | UnsetType = UNSET
    num_token_id: Token | UnsetType = UNSET
    numbers: Literal["head", "char"] | UnsetType = UNSET
    number_cells: bool | UnsetType = UNSET
    word_token_ids: list[Token] | UnsetType = UNSET
    number_feedback: bool | UnsetType = UNSET
    feedback_noise: Weight | UnsetType = UNSET
    number_close: Weight | UnsetType = UNSET
    dense_weight: Weight | UnsetType = UNSET
    dense_split: Few | UnsetType = UNSET
    dense_reader: Literal["linear", "context"] | UnsetType = UNSET
    guide_weight: Weight | UnsetType = UNSET


class DeclaredDerenderer(Seeing, kw_only=True):
    """See `model.derender.config.DerenderConfig`."""

    width: Width | UnsetType = UNSET
    region_width: Width | UnsetType = UNSET
    threshold: Share | UnsetType = UNSET


DECLARATIONS: dict[str, type[Seeing]] = {"igllm": DeclaredIGLLM, "igllm-derender": DeclaredDerenderer}
"""The declaration of ``config.json`` by ``model_type``."""


class RunStatement(Struct, kw_only=True):
    """``run.json``: the preset's ``settings`` and further fields that `model.run_folder.check_run` compares, such as digests of the data
    and of the initial weights, and the number of samples a step."""

    format_version: int
    stage: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    data: str | UnsetType = UNSET
    val: str | UnsetType | None = UNSET
    init: str | UnsetType | None = UNSET
    step_samples: Count | UnsetType = field(default=UNSET, name="samples a step")
    vision: str | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET
    settings: dict[str, Any]


WholeCheckpoint = dict[InnerPath, Digest]
"""``whole.json`` of a checkpoint: the SHA-256 of each of its other files."""


class TrainerState(Struct):
    """The fields of a checkpoint's ``trainer_state.json``, written by transformers, that resuming uses."""

    global_step: Step
    epoch: float | None
    max_steps: Step = 0
    num_train_epochs: Step = 0
    total_flos: float = 0.0
    num_input_tokens_seen: int = 0
    log_history: list[dict[str, float | int | str | None]] = []
    train_batch_size: Step | None = None
    logging_steps: float = 0.0
    eval_steps: float = 0.0
    save_steps: float = 0.0
    stateful_callbacks: dict[str, Any] = {}


class Pending(Struct, forbid_unknown_fields=True):
    """``pending.json`` of a checkpoint: the steps since the last line of the log, and the sums of losses over them."""

    since: Step
    sums: dict[str, float]


class Best(Struct):
    """``best.json``: the step and the validation loss of the best model."""

    step: Count
    eval_loss: float


class FeaturesDone(Struct):
    """``done.json`` of features: the number of rows in their file at each sync, and the CRC-32 of the rows since the previous sync."""

    rows: list[Count] = []
    crc32: list[Count] = []


Real = Annotated[float, Meta(ge=-1e9, le=1e9)]
Positive = Annotated[float, Meta(ge=1e-9, le=1e9)]
MOST_FEATURES = 65536
MOST_AXES = 64
MOST_CALIBRATION = 1 << 26  # bytes


class StatedMap(Struct, forbid_unknown_fields=True):
    """A map from the log-odds of a probability to the probability of being right: by ``slope`` and ``offset`` of the log-odds or, if there
    are ``knots`` (log-odds, rising, and probability, never falling), by straight lines between them."""

    slope: Annotated[float, Meta(ge=0, le=1e3)] = 1.0
    offset: Annotated[float, Meta(ge=-1e3, le=1e3)] = 0.0
    knots: Annotated[list[tuple[Real, Share]], Meta(max_length=200)] = []


class StatedStretch(Struct, forbid_unknown_fields=True):
    """What a number's interval is made by from its spread: the factor for objects of some sureness. ``edges`` are log-probabilities of
    objects, rising; of the ``factors``, the first is for objects below the first edge, the last for those from the last one on. ``least``
    is the smallest half-width before it is stretched, in the number's unit."""

    edges: Annotated[list[Real], Meta(max_length=50)]
    factors: Annotated[list[Annotated[float, Meta(ge=0, le=1e9)]], Meta(min_length=1, max_length=51)]
    least: Positive


class StatedLook(Struct, forbid_unknown_fields=True):
    """What images of the domain look like: ``mean`` and ``scale`` of each feature, the main ``axes`` of the features in these terms with
    the ``variances`` along them, the variance of all ``rest`` together, and the distance beyond which an image is none of them; ``doubt``
    is the largest that the model has of its objects in such images, in the mean."""

    mean: Annotated[list[Real], Meta(min_length=1, max_length=MOST_FEATURES)]
    scale: Annotated[list[Positive], Meta(min_length=1, max_length=MOST_FEATURES)]
    axes: Annotated[list[Annotated[list[Real], Meta(max_length=MOST_FEATURES)]], Meta(max_length=MOST_AXES)]
    variances: Annotated[list[Positive], Meta(max_length=MOST_AXES)]
    rest: Positive
    farthest: Positive
    doubt: Annotated[float, Meta(ge=0.01, le=1)]


class StatedCalibration(Struct, forbid_unknown_fields=True):
    """``calibration.json``: ``model`` is the digest of the model that it is of, ``images`` the number of images that it was fitted on,
    ``within`` the distance below which an object counted as in its place, null for any. ``objects`` and ``words``, by argument, map
    confidences, ``numbers``, by component, make intervals, ``look`` tells images of the domain from others."""

    model: Digest
    images: Count
    within: Annotated[float, Meta(gt=0, le=1e9)] | None
    objects: StatedMap
    words: Annotated[dict[str, StatedMap], Meta(max_length=64)]
    numbers: Annotated[dict[str, StatedStretch], Meta(max_length=64)]
    look: StatedLook


KINDS: dict[str, Any] = {
    "config.json of a model": DeclaredIGLLM,
    "config.json of a de-rendering model": DeclaredDerenderer,
    "calibration.json": StatedCalibration,
    "run.json": RunStatement,
    "whole.json of a checkpoint": WholeCheckpoint,
    "trainer_state.json of a checkpoint": TrainerState,
    "pending.json of a checkpoint": Pending,
    "best.json": Best,
    "in the cache, done.json of features": FeaturesDone,
}
"""The declared kinds of model files; `datagen.kinds` holds those of data files."""
