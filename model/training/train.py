"""The stages of training: pretraining of the tower, alignment, instruction tuning; and the training of a de-rendering model.

Each function here defines which parts are trained on which examples; `model.training.run` does the rest: run folder, resuming, loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from datagen.domains.registry import get_domain
from datagen.shards.overlap import data_digest
from datagen.shards.reader import Samples
from model.build import plan
from model.config import IGLLMConfig
from model.data.caption_pairs import CAPTION_TOKENS, CaptionMaker, CaptionSource
from model.data.examples import CodeSource, Collator, ExampleMaker, SampleSource
from model.data.feature_cache import FeatureCache
from model.data.frames import Frame
from model.data.learner import Learner
from model.data.order import ExampleSource
from model.derender.build import begin_derendering, check_derendering
from model.derender.derenderer import Derenderer
from model.device import pick_device
from model.igllm import IGLLM
from model.load import find_model
from model.preset import ExampleSettings, Preset, Stage
from model.run_folder import check_statement
from model.tokens.codec import CodeCodec
from model.tokens.prompts import DESCRIBE_PROMPTS, prompt_tokens
from model.training.run import Callback, Data, Provenance, Training, run

__all__ = ["Callback", "Data", "align", "example_maker", "pretrain", "pretraining_of", "train", "training_of"]


def train(
    preset: Preset, name: str, *, data: Data, out: Path, device: str = "auto", init: str | None = None, callback: Callback | None = None
) -> IGLLM | Derenderer:
    """Train a preset to write the code of images (for IG-LLM: instruction tuning), or go on where an earlier call stopped.

    ``init`` is a run with the initial weights, such as an alignment. Raises `UserError` if the run folder belongs to other settings or
    data, or if the validation set shares scenes with the training sets.
    """
    return run(training_of(preset, name, data=data, out=out, device=device, init=init, callback=callback))


def training_of(
    preset: Preset, name: str, *, data: Data, out: Path, device: str = "auto", init: str | None = None, callback: Callback | None = None
) -> Training:
    """The training that `train` runs."""
    init = _checked("train", preset, name=name, out=out, device=device, init=init)
    if preset.kind == "derender":
        datasets = data.open()
        check_derendering(preset, datasets.domain)
        derendering = partial(begin_derendering, preset, datasets.domain)
        return Training("train", preset, name, datasets, out, device, derendering, labels="boxes", callback=callback)
    datasets = data.open()
    planned = plan(preset, datasets.domain)

    def begin(provenance: Provenance) -> Learner:
        model, codec = planned.build(provenance), planned.codec
        make = example_maker(model, codec, preset.examples)
        return Learner(model, codec, _with_features(CodeSource, make, preset, model), Collator(codec.tokenizer.pad_token_id))

    return Training("train", preset, name, datasets, out, device, begin, planned.bases, init=init, callback=callback)


def pretrain(preset: Preset, name: str, *, data: Data, out: Path, device: str = "auto", init: str | None = None) -> IGLLM:
    """Pretrain a preset's tower without the language model, by the dense loss alone: which object has its centre where.

    Trains tower, projector and dense read-out, with which `train` or another pretraining can begin (``init``). Raises `UserError` as
    `train` does, and for a preset that freezes its tower or has no dense loss.
    """
    return run(pretraining_of(preset, name, data=data, out=out, device=device, init=init))


def pretraining_of(preset: Preset, name: str, *, data: Data, out: Path, device: str = "auto", init: str | None = None) -> Training:
    """The training that `pretrain` runs."""
    init = _checked("pretrain", preset, name=name, out=out, device=device, init=init)
    datasets = data.open()
    planned = plan(preset, datasets.domain, stage="pretrain")

    def begin(provenance: Provenance) -> Learner:
        model, codec = planned.build(provenance), planned.codec
        make = replace(example_maker(model, codec, preset.examples), text=False)
        return Learner(model, codec, lambda samples: SampleSource(samples, make), Collator(codec.tokenizer.pad_token_id))

    return Training("pretrain", preset, name, datasets, out, device, begin, planned.bases, labels="dense_words", init=init)


def align(preset: Preset, name: str, *, data: Data, out: Path, device: str = "auto") -> IGLLM:
    """Feature alignment (LLaVA's first stage): train the projector alone to have the frozen language model caption images.

    Raises `UserError` if the run folder belongs to other settings or data, a data set has no captions, or the preset's tower or language
    model is not pretrained.
    """
    preset.check_stage("align")
    rate = preset.optimisation.align_learning_rate
    preset = preset.replaced(  # only the projector is trained and used by the next stage
        lora_rank=0,
        freeze_vision=True,
        rotations="own",
        numbers="char",
        number_feedback=False,
        number_cells=False,
        word_cells=False,
        dense_weight=0.0,
        augment=False,
        learning_rate=rate,
        projector_learning_rate=rate,
    )
    _checked("align", preset, name=name, out=out, device=device)
    datasets = data.open()
    planned = plan(preset, get_domain(IGLLMConfig().domain), stage="align")

    def begin(provenance: Provenance) -> Learner:
        model, tokenizer = planned.build(provenance), planned.codec.tokenizer
        make = CaptionMaker(tokenizer, Frame.of(model.config), prompt_tokens(tokenizer, DESCRIBE_PROMPTS).asked, CAPTION_TOKENS)
        return Learner(model, planned.codec, _with_features(CaptionSource, make, preset, model), Collator(tokenizer.pad_token_id))

    return run(Training("align", preset, name, datasets, out, device, begin, planned.bases))


def _checked(stage: Stage, preset: Preset, *, name: str, out: Path, device: str, init: str | None = None) -> str | None:
    """The folder of the initial weights, None without an ``init``. `UserError` for what can be refused before data and parts are read."""
    preset.check_stage(stage, init)
    pick_device(device)
    check_statement(out, preset, stage=stage, model=name)
    return None if init is None else str(find_model(init))


def example_maker(model: IGLLM, codec: CodeCodec, settings: ExampleSettings) -> ExampleMaker:
    """The maker of this model's examples from samples."""
    asked = prompt_tokens(codec.tokenizer).asked
    layout = None if model.dense_head is None else model.dense_head.layout
    return ExampleMaker(
        codec,
        Frame.of(model.config),
        asked if settings.vary_prompts else asked[:1],
        (model.tower.rows, model.tower.columns),
        layout,
        augment=settings.augment,
        shuffle_attributes=settings.shuffle_attributes,
        synonyms=settings.synonyms,
        order_noise=settings.order_noise,
        guide=model.config.guide_weight > 0,
    )


def _with_features(kind: Callable[..., Any], make: Any, preset: Preset, model: IGLLM) -> Callable[[Samples], ExampleSource]:
    """The function that makes a data set's source, of class ``kind``, with cached features of the frozen tower if the preset sets that."""

    def source(samples: Samples) -> ExampleSource:
        plain = kind(samples, make)
        if not preset.tower.cache_features:
            return plain
        batch = preset.optimisation.batch_size
        return kind(samples, make, FeatureCache.fill(model.tower, Frame.of(model.config), plain, data_digest(samples), batch))

    return source
