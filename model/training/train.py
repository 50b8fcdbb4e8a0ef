"""Training: pretraining of the tower, alignment, instruction tuning, de-rendering, all by `IGTrainer`, into a folder safe to interrupt.

A run folder holds ``run.json`` (what was asked), whole ``checkpoint-N`` folders, ``best`` (the lowest validation loss), ``tensorboard``,
and, when training is done, ``log.jsonl`` and the model itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import TrainingArguments, set_seed

from datagen.domains.base import Domain
from datagen.domains.dialects import dialect
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.files import file_sha256, write_jsonl
from datagen.io.locks import hold
from datagen.samples.sample import Sample
from datagen.shards.archive import Archive, open_archive
from datagen.shards.overlap import data_digest, refuse_overlap
from datagen.shards.store import Place
from datagen.workers.cores import available_cores
from model.build import Stage, plan
from model.config import IGLLMConfig
from model.data.caption_pairs import CAPTION_TOKENS, CaptionMaker, CaptionSource
from model.data.examples import CodeSource, Collator, ExampleMaker, SampleSource
from model.data.feature_cache import FeatureCache
from model.data.frames import Frame
from model.data.learner import Learner
from model.data.order import InOrder, Mixture, Source, check_weights
from model.derender.build import begin_derendering, check_derendering
from model.derender.derenderer import Derenderer
from model.device import pick_device
from model.extent import shapes_in
from model.finite import first_not_finite
from model.igllm import IGLLM
from model.load import Loaded, check_config, file_digests, find_model
from model.preset import FROM_SCRATCH, Preset
from model.quiet import one_error_of_logs, quiet_transformers
from model.run_folder import check_run, check_saved, newest_checkpoint, see_run, state_run
from model.staging import WEIGHTS_FILE
from model.tables import reason
from model.tokens.codec import CodeCodec
from model.tokens.prompts import DESCRIBE_PROMPTS, prompt_tokens
from model.training.trainer import IGTrainer

NEVER = 10**9  # steps

Told = Mapping[str, Any]
"""What a model's configuration tells of how it was trained."""


@dataclass(frozen=True)
class Data:
    """What a run learns from: data sets and their weights (None: by their sizes), and what its loss is measured on."""

    train: Sequence[Place]
    weights: Sequence[float] | None = None
    val: Place | None = None


@dataclass(frozen=True)
class Look:
    """``call`` is called every ``steps`` steps with the model as it is and the step, on the first process."""

    call: Callable[[Loaded, int], None]
    steps: int


def train(
    preset: Preset, name: str, *, data: Data, out: Path, device: str = "auto", init: str | None = None, look: Look | None = None
) -> IGLLM | Derenderer:
    """Train a preset to write the code of images (an IG-LLM: instruction tuning), or go on where an earlier call stopped.

    ``init`` is a run whose weights to begin with, such as an alignment's. Raises `UserError` if the run folder belongs to other settings or
    data, or if the validation set shares scenes with the others.
    """
    if preset.kind == "derender":
        if init is not None:
            raise UserError("--init begins with the weights of a run of IG-LLM; a de-rendering model begins from nothing")
        archives, val = _opened(data)
        domain = _domain(archives[0])
        check_derendering(preset, domain)
        derendering = partial(begin_derendering, preset, domain)
        stage = _Stage("train", preset, name, device, preset.batch_size, derendering, labels="boxes")
        return _run(stage, archives, data.weights, val, out, look)
    archives, val = _opened(data)
    planned = plan(preset, _domain(archives[0]))

    def begin(told: Told) -> Learner:
        model, tokenizer = planned.build(told), planned.tokenizer
        make = example_maker(model, planned.codec, preset)

        def source(archive: Archive) -> Source:
            return CodeSource(archive, make, _features(preset, model, CodeSource(archive, make), archive))

        return Learner(model, tokenizer, source, Collator(tokenizer.pad_token_id))

    stage = _Stage("train", preset, name, device, preset.batch_size, begin, planned.bases, init=init)
    return _run(stage, archives, data.weights, val, out, look)


def pretrain(preset: Preset, name: str, *, data: Data, out: Path, device: str = "auto", init: str | None = None) -> IGLLM:
    """Teach a preset's tower to see, without the language model: what object has its centre where, by the dense loss alone.

    Trains tower, projector and dense read-out; `train`, or another pretraining, begins with them by its ``init``. Raises `UserError` as
    `train` does, and for a preset that freezes its tower or has no dense loss.
    """
    _refuse_derendering(preset, "pretraining")
    if preset.freeze_vision:
        raise UserError("pretraining teaches the tower, and this preset freezes it: --set freeze_vision=false")
    if not preset.dense_weight:
        raise UserError("pretraining learns by the dense loss alone: --set dense_weight=1")
    archives, val = _opened(data)
    planned = plan(preset, _domain(archives[0]), stage="pretrain")

    def begin(told: Told) -> Learner:
        model, tokenizer = planned.build(told), planned.tokenizer
        make = replace(example_maker(model, planned.codec, preset), text=False)
        return Learner(model, tokenizer, lambda archive: SampleSource(archive, make), Collator(tokenizer.pad_token_id))

    stage = _Stage("pretrain", preset, name, device, preset.batch_size, begin, planned.bases, labels="dense_words", init=init)
    return _run(stage, archives, data.weights, val, out)


def align(preset: Preset, name: str, *, data: Data, out: Path, device: str = "auto") -> IGLLM:
    """Feature alignment (LLaVA's first stage): train the projector alone to have the frozen language model caption images.

    Raises `UserError` if the run folder belongs to other settings or data, or a data set has no captions.
    """
    _refuse_derendering(preset, "alignment")
    if preset.language_model == FROM_SCRATCH:
        raise UserError("alignment teaches a projector the words of a language model that knows some: give --language-model")
    if preset.vision_model == FROM_SCRATCH:
        raise UserError("alignment is between parts that are trained already: give --vision-model")
    # Nothing but the projector is there to be trained, and nothing but it goes on to the next stage.
    preset = replace(preset, lora_rank=0, freeze_vision=True, rotations="own", numbers="char", number_feedback=False)
    preset = replace(preset, dense_weight=0.0, number_cells=False, word_cells=False, augment=False)
    preset = replace(preset, learning_rate=preset.align_learning_rate, projector_learning_rate=preset.align_learning_rate)
    archives, val = _opened(data)
    planned = plan(preset, get_domain(IGLLMConfig().domain), stage="align")

    def begin(told: Told) -> Learner:
        model, tokenizer = planned.build(told), planned.tokenizer
        make = CaptionMaker(tokenizer, Frame.of(model.config), prompt_tokens(tokenizer, DESCRIBE_PROMPTS).asked, CAPTION_TOKENS)

        def source(archive: Archive) -> Source:
            return CaptionSource(archive, make, _features(preset, model, CaptionSource(archive, make), archive))

        return Learner(model, tokenizer, source, Collator(tokenizer.pad_token_id))

    stage = _Stage("align", preset, name, device, preset.align_batch_size, begin, planned.bases)
    return _run(stage, archives, data.weights, val, out)


def example_maker(model: IGLLM, codec: CodeCodec, preset: Preset) -> ExampleMaker:
    """What turns samples into this model's examples."""
    asked = prompt_tokens(codec.tokenizer).asked
    layout = None if model.dense_head is None else model.dense_head.layout
    return ExampleMaker(
        codec,
        Frame.of(model.config),
        asked if preset.vary_prompts else asked[:1],
        (model.tower.rows, model.tower.columns),
        layout,
        augment=preset.augment,
        shuffle_attributes=preset.shuffle_attributes,
        synonyms=preset.synonyms,
        order_noise=preset.order_noise,
        guide=model.config.guide_weight > 0,
    )


@dataclass(frozen=True)
class _Stage:
    """One stage of training.

    ``begin`` makes what is trained, given what its configuration is to tell of preset, data and code; ``bases`` tells which checkpoints it
    begins with (`Plan.bases`), and ``labels`` names what a batch has when there is a loss to measure.
    """

    name: Stage
    preset: Preset
    preset_name: str
    device: str
    batch_size: int
    begin: Callable[[Told], Learner]
    bases: Mapping[str, str | None] = field(default_factory=dict)
    labels: str = "labels"
    init: str | None = None


def _refuse_derendering(preset: Preset, stage: str) -> None:
    if preset.kind == "derender":
        raise UserError(f"{stage} is a stage of IG-LLM; a de-rendering model is trained in one: igllm train")


def _run(  # noqa: PLR0917
    stage: _Stage, archives: Sequence[Archive], weights: Sequence[float] | None, val: Archive | None, out: Path, look: Look | None = None
) -> Any:
    """What all stages do: be alone with the run folder, see that it is of this run, make the model, state the run, and train.

    Until the model is there, nothing is written.
    """
    preset = stage.preset
    weights = [len(archive) for archive in archives] if weights is None else weights
    check_weights(weights, len(archives))
    init = None if stage.init is None else find_model(stage.init)
    if val is not None and stage.name != "align":
        for archive in archives:
            refuse_overlap(archive, val)
    mixed = [(data_digest(archive), float(weight)) for archive, weight in zip(archives, weights, strict=True)]
    digest = hashlib.sha256(repr(mixed).encode()).hexdigest()
    quiet_transformers()
    arguments = _arguments(stage, out, evaluate=val is not None)
    step_samples = stage.batch_size * preset.accumulation * arguments.world_size
    statement = {
        "stage": stage.name,
        "model": stage.preset_name,
        "data": digest,
        "val": None if val is None else data_digest(val),
        "init": None if init is None else _weights_digest(init),
        "step_samples": step_samples,
        **stage.bases,
    }
    with ExitStack() as held:
        with arguments.main_process_first(local=False):
            if arguments.process_index == 0:
                held.enter_context(hold(out))
                check_run(out, preset, **statement)
        told = {"preset": {"name": stage.preset_name, **preset.to_json()}, "data_digest": digest, "code_version": version("igllm")}
        set_seed(preset.seed)
        learner = stage.begin(told)
        if init is not None:
            take_weights(learner.model, init)
        learner.model.to(arguments.device)
        checkpoint = newest_checkpoint(out, tell=_teller(arguments))
        if arguments.process_index == 0:
            state_run(out, preset, **statement)
        sources = [learner.source(archive) for archive in archives]
        mixture = Mixture(sources, weights, preset.seed, preset.steps * step_samples)
        validation = None if val is None else InOrder(learner.source(val))
        with _in_one_line(stage):
            _learn(learner, preset, arguments, mixture, validation, out, checkpoint, look)
    return learner.model


def _teller(arguments: TrainingArguments) -> Callable[[str], None]:
    """What prints a line for people, on the first process."""

    def tell(text: str) -> None:
        if arguments.process_index == 0:
            print(text, file=sys.stderr, flush=True)

    return tell


def _weights_digest(folder: Path) -> str:
    try:
        return file_sha256(folder / WEIGHTS_FILE)
    except OSError as error:
        raise UserError(f"--init {folder}: {WEIGHTS_FILE} cannot be read ({error.strerror or error})") from None


@contextmanager
def _in_one_line(stage: _Stage) -> Iterator[None]:
    """What ends training in the middle, said so that it can be mended."""
    try:
        yield
    except UserError as error:  # out of a loader it comes behind that process's traceback
        text = "\n".join(map(str, error.args))
        *_, told = re.split(r"^datagen\.errors\.\w+: ", text, flags=re.MULTILINE)
        raise (error if told == text else UserError(told.strip())) from None
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            size = "align_batch_size" if stage.name == "align" else "batch_size"
            raise UserError(
                f"there is not enough memory for {size}={stage.batch_size}; give a smaller one, and a larger accumulation to match"
            ) from None
        raise


def _learn(  # noqa: PLR0917
    learner: Learner,
    preset: Preset,
    arguments: TrainingArguments,
    data: Mixture,
    val: InOrder | None,
    out: Path,
    checkpoint: Path | None,
    look: Look | None,
) -> None:
    """Train from a checkpoint, or from the beginning, to the end."""
    model, tokenizer = learner.model, learner.tokenizer

    def call(step: int) -> None:
        assert look is not None
        see_run(out)
        look.call(Loaded(model, tokenizer, str(out), f"step {step}"), step)

    trainer = IGTrainer(
        preset=preset,
        look=None if look is None else call,
        look_steps=0 if look is None else look.steps,
        model=model,
        args=arguments,
        train_dataset=data,
        eval_dataset=val,
        data_collator=learner.collate,
        processing_class=tokenizer,
    )
    if checkpoint is not None:
        trainer.take_up(checkpoint)
        _teller(arguments)(f"{out}: going on from step {checkpoint.name.removeprefix('checkpoint-')} of {preset.steps}")
    with one_error_of_logs(out):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    trainer.save_final()
    if trainer.is_world_process_zero():
        write_jsonl(out / "log.jsonl", trainer.state.log_history)


def take_weights(model: IGLLM, folder: Path) -> None:
    """Begin with the weights of another run; `UserError` if they do not fit or there is no projector among them.

    Of a run that wrote the domain's rotations in another way, tower and projector are taken: all else knows other words and numbers.
    """
    config = check_config(folder)
    check_saved(folder, file_digests(folder))
    try:
        shapes_in(folder / WEIGHTS_FILE)
        weights = load_file(folder / WEIGHTS_FILE)
        if (wrong := first_not_finite(weights)) is not None:
            raise UserError(f"its weights hold {wrong}, which is not finite")
        if _written_otherwise(model, config):
            weights = {name: value for name, value in weights.items() if name.startswith(("tower.", "projector."))}
        model.load_weights(weights)
    except Exception as error:  # of a file that is not what its name says
        raise UserError(f"--init {folder}: {reason(error)}; give the same preset, parts and settings as that run had") from None
    if "projector.weight" not in weights:
        raise UserError(f"--init {folder}: has no projector; the model is damaged")


def _written_otherwise(model: IGLLM, config: Mapping[str, Any]) -> bool:
    """Whether a configuration's rotations are not the model's, their domain being the same."""
    domain = get_domain(model.config.domain)
    now, then = (dialect(domain, name).statements for name in (model.config.rotations, config.get("rotations", "own")))
    return config["domain"] == domain.name and now != then


def _features(preset: Preset, model: IGLLM, images: Any, archive: Archive) -> FeatureCache | None:
    """The frozen tower's features of a data set's images, if the preset wants them kept."""
    if not preset.cache_features:
        return None
    return FeatureCache.fill(model.tower, Frame.of(model.config), images, data_digest(archive), preset.batch_size)


def _opened(data: Data) -> tuple[list[Archive], Archive | None]:
    """The data sets to learn from, and the one that the loss is measured on."""
    return [open_archive(place) for place in data.train], None if data.val is None else open_archive(data.val)


def _domain(archive: Archive) -> Domain:
    """The domain of a data set's samples."""
    return Sample.from_files(archive.key(0), archive.files(0), archive.name).domain


def _arguments(stage: _Stage, out: Path, evaluate: bool) -> TrainingArguments:
    preset = stage.preset
    if preset.report_to == "wandb" and find_spec("wandb") is None:
        raise UserError("report_to=wandb: Weights & Biases is not installed; pip install wandb")
    # The environment is where transformers looks for these two.
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "tensorboard")
    os.environ.setdefault("WANDB_PROJECT", "igllm")
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=stage.batch_size,
        per_device_eval_batch_size=stage.batch_size,
        gradient_accumulation_steps=preset.accumulation,
        max_steps=preset.steps,
        learning_rate=preset.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(preset.warmup * preset.steps),
        logging_steps=preset.log_steps,
        logging_nan_inf_filter=False,  # it would wait for the device at every micro-batch
        save_steps=preset.save_steps or NEVER,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=preset.eval_steps if evaluate else None,
        prediction_loss_only=True,
        label_names=[stage.labels],
        report_to=preset.report_to,
        run_name=out.resolve().name,
        seed=preset.seed,
        bf16=preset.bf16,
        activation_checkpointing=preset.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if preset.gradient_checkpointing else None,
        # A transformer tower that is trained has layers behind the one that is read.
        ddp_find_unused_parameters=not preset.freeze_vision,
        remove_unused_columns=False,
        disable_tqdm=not sys.stderr.isatty(),
        use_cpu=pick_device(stage.device).type == "cpu",
        dataloader_num_workers=min(preset.loaders, len(available_cores())),  # more would wait for one another
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs take a process each, by torchrun or accelerate launch
    return arguments
