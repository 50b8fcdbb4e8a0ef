"""A run: one training of any stage, by `IGTrainer`, into a folder from which it can be resumed.

A run folder holds ``run.json`` (the settings and digests of the run), whole ``checkpoint-N`` folders, ``best`` (the model with the lowest
validation loss), ``tensorboard``, and, when training is done, ``log.jsonl`` and the model itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments, set_seed

from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.io.locks import hold
from datagen.shards.overlap import data_digest, refuse_overlap
from datagen.shards.reader import Samples
from datagen.shards.store import Place
from datagen.shards.writer import package_versions
from datagen.workers.cores import available_cores
from model.config import quiet_transformers
from model.data.caption_pairs import CAPTION_TOKENS
from model.data.learner import Learner
from model.data.order import InOrder, Mixture, check_weights
from model.device import pick_device
from model.load import Loaded, find_model
from model.preset import Preset, Stage
from model.run_folder import CURVES, check_finished, check_present, check_run, keep_log, newest_checkpoint, stated
from model.staging import CONFIG_FILE
from model.tokens.prompts import DESCRIBE_PROMPTS, PROMPTS, prompt_tokens
from model.training.checkpointing import checkpointed_every
from model.training.initial_weights import load_initial_weights, weights_digest
from model.training.spread import autocast_forward, is_spread, pickles_as_data
from model.training.trainer import EverySteps, IGTrainer

NEVER = 10**9  # steps

Provenance = Mapping[str, Any]
"""The record of a model's training in its configuration: preset, digest of the data, version of the code."""


@dataclass(frozen=True)
class Data:
    """The training sets of a run with their weights (None: their sizes), and its validation set."""

    train: Sequence[Place]
    weights: Sequence[float] | None = None
    val: Place | None = None

    def open(self) -> DataSets:
        """The data sets, opened; `UserError` for one that cannot be, and for weights that are not a positive number for each."""
        if self.weights is not None:
            check_weights(self.weights, len(self.train))
        train = [Samples.for_training(place) for place in self.train]
        weights = [len(samples) for samples in train] if self.weights is None else self.weights
        return DataSets(train, weights, None if self.val is None else Samples.for_training(self.val))


@dataclass(frozen=True)
class DataSets:
    """Opened `Data`."""

    train: Sequence[Samples]
    weights: Sequence[float]
    val: Samples | None

    @property
    def domain(self) -> Domain:
        """The domain of the first sample."""
        return self.train[0].at(0).domain

    @property
    def digest(self) -> str:
        """The SHA-256 of the content of the training sets with their weights, in their order."""
        mixed = [(data_digest(samples), float(weight)) for samples, weight in zip(self.train, self.weights, strict=True)]
        return hashlib.sha256(repr(mixed).encode()).hexdigest()


@dataclass(frozen=True)
class Callback:
    """A function that is called every ``steps`` steps with the current model and the step, on the first process."""

    call: Callable[[Loaded, int], None]
    steps: int


@dataclass(frozen=True)
class Training:
    """The description of a training: one stage of a preset, on these data, into the run folder ``out``.

    ``begin`` makes the `Learner` to train, given the provenance that its configuration records; ``bases`` are the checkpoints that its
    parts begin with (`Plan.bases`); ``labels`` names the field of a batch that its loss needs; ``init`` is a run with the initial weights.
    """

    stage: Stage
    preset: Preset
    preset_name: str
    data: DataSets
    out: Path
    device: str
    begin: Callable[[Provenance], Learner]
    bases: Mapping[str, str | None] = field(default_factory=dict)
    labels: str = "labels"
    init: str | None = None
    callback: Callback | None = None

    @property
    def batch_setting(self) -> str:
        """The name of the setting that holds `batch_size`."""
        return "align_batch_size" if self.stage == "align" else "batch_size"

    @property
    def batch_size(self) -> int:
        """The number of samples of a micro-batch on one device."""
        size: int = getattr(self.preset.optimisation, self.batch_setting)
        return size


def run(training: Training) -> Any:
    """Train from the newest checkpoint of the run folder, or from the beginning, to the end; return the trained model.

    Nothing is written before model and examples are made, and nothing is left of a run that is refused before it has trained.

    `UserError` if another call is writing the folder, if the folder belongs to another run, if training and validation sets share scenes,
    or if memory runs out.
    """
    preset, data, out = training.preset, training.data, training.out
    init = None if training.init is None else find_model(training.init)
    if data.val is not None and training.stage != "align":
        for samples in data.train:
            refuse_overlap(samples, data.val)
    quiet_transformers()
    arguments = _arguments(training)
    statement = _statement(training, arguments, init)
    with ExitStack() as held:
        with arguments.main_process_first(local=False):
            if arguments.process_index == 0:
                held.enter_context(hold(out))
                check_run(out, preset, **statement)
        set_seed(preset.optimisation.seed)
        recorded = {"name": training.preset_name, **preset.to_json()}
        code_version = package_versions(blender=False)["igllm"]
        learner = training.begin({"preset": recorded, "data_digest": statement["data"], "code_version": code_version})
        if init is not None:
            load_initial_weights(learner.model, init)
        learner.model.to(arguments.device)
        if preset.optimisation.bf16 and is_spread():
            autocast_forward(learner.model, arguments.device)
        if preset.run.gradient_checkpointing == "auto":
            _checkpoint_as_memory_asks(learner, training, arguments)
        checkpoint = newest_checkpoint(out, warn=_printer(arguments))
        sources = [learner.source(samples) for samples in data.train]
        mixture = Mixture(sources, data.weights, preset.optimisation.seed, preset.optimisation.steps * statement["step_samples"])
        validation = None if data.val is None else InOrder(learner.source(data.val))
        leads = arguments.process_index == 0
        stepped = held.enter_context(stated(out, preset, **statement)) if leads else threading.Event()
        with _one_message(training):
            _train(training, learner, arguments, checkpoint, mixture=mixture, validation=validation, stepped=stepped)
    return learner.model


def is_finished(training: Training) -> bool:
    """Whether the run folder holds the finished model of this training. `UserError` if that model is of another training."""
    if not (training.out / CONFIG_FILE).is_file():
        return False
    init = None if training.init is None else find_model(training.init)
    check_finished(training.out, training.preset, **_statement(training, _arguments(training), init))
    return True


def _statement(training: Training, arguments: TrainingArguments, init: Path | None) -> dict[str, Any]:
    """The content of ``run.json`` apart from the settings."""
    data = training.data
    return {
        "stage": training.stage,
        "model": training.preset_name,
        "data": data.digest,
        "val": None if data.val is None else data_digest(data.val),
        "init": None if init is None else weights_digest(init),
        "step_samples": training.batch_size * training.preset.optimisation.accumulation * arguments.world_size,
        **training.bases,
    }


def _train(
    training: Training,
    learner: Learner,
    arguments: TrainingArguments,
    checkpoint: Path | None,
    *,
    mixture: Mixture,
    validation: InOrder | None,
    stepped: threading.Event,
) -> None:
    """Train a model from a checkpoint, or from the beginning, to the end; ``stepped`` is set when a step has been made."""
    model, codec, out = learner.model, learner.codec, training.out
    trainer = IGTrainer(
        preset=training.preset,
        model=model,
        args=arguments,
        train_dataset=mixture,
        eval_dataset=validation,
        data_collator=learner.collate,
        processing_class=None if codec is None else codec.tokenizer,
    )
    trainer.add_callback(EverySteps(lambda _: stepped.set(), 1))
    if (callback := training.callback) is not None:

        def call(step: int) -> None:
            check_present(out)
            callback.call(Loaded(model, codec, str(out), f"step {step}"), step)

        trainer.add_callback(EverySteps(call, callback.steps))
    if checkpoint is not None:
        trainer.load_pending(checkpoint)
        steps = training.preset.optimisation.steps
        _printer(arguments)(f"{out}: going on from step {checkpoint.name.removeprefix('checkpoint-')} of {steps}")
    with _errors_of_tensorboard(out), pickles_as_data(out):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    trainer.save_final()
    if trainer.is_world_process_zero():
        keep_log(out, trainer.state.log_history)


def _checkpoint_as_memory_asks(learner: Learner, training: Training, arguments: TrainingArguments) -> None:
    """Choose the layers whose activations are computed twice: on a GPU as few as its memory allows, elsewhere all."""
    every = 1
    if arguments.device.type == "cuda" and learner.codec is not None:
        free, _ = torch.cuda.mem_get_info(arguments.device)
        memory = free + torch.cuda.memory_reserved(arguments.device)
        prompt = max(map(len, prompt_tokens(learner.codec.tokenizer, [*PROMPTS, *DESCRIBE_PROMPTS]).asked))
        longest, bf16 = prompt + max(CAPTION_TOKENS, learner.codec.max_tokens), training.preset.optimisation.bf16
        every = checkpointed_every(learner.model, training.batch_size, longest, memory, bf16=bf16)
    arguments.activation_checkpointing = every > 0
    arguments.activation_checkpointing_kwargs = {"use_reentrant": False, "every_n_layers": max(every, 1)}
    which = {0: "no layer", 1: "every layer"}.get(every, f"one layer of {every}")
    _printer(arguments)(f"gradient_checkpointing=auto: the activations of {which} are computed twice")


def _printer(arguments: TrainingArguments) -> Callable[[str], None]:
    """A function that prints a line to stderr, on the first process alone."""

    def print_line(text: str) -> None:
        if arguments.process_index == 0:
            print(text, file=sys.stderr, flush=True)

    return print_line


@contextmanager
def _one_message(training: Training) -> Iterator[None]:
    """Turn errors of training that a user can mend, such as too little memory, into a `UserError` of one message."""
    try:
        yield
    except UserError as error:  # from a loader's process, the message begins with the traceback
        text = "\n".join(map(str, error.args))
        *_, message = re.split(r"^datagen\.errors\.\w+: ", text, flags=re.MULTILINE)
        raise (error if message == text else UserError(message.strip())) from None
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            asked = f"{training.batch_setting}={training.batch_size}"
            raise UserError(f"there is not enough memory for {asked}; give a smaller one, and a larger accumulation to match") from None
        raise


@contextmanager
def _errors_of_tensorboard(out: Path) -> Iterator[None]:
    """Suppress the tracebacks of tensorboard's writing thread: the next call that logs raises its error again, to which the run's folder is
    added here."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not type(arguments.thread).__module__.startswith("tensorboard"):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(out)
        raise
    finally:
        threading.excepthook = before


def _arguments(training: Training) -> TrainingArguments:
    preset, optimisation, out = training.preset, training.preset.optimisation, training.out
    # transformers reads these two from the environment only.
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / CURVES)
    os.environ.setdefault("WANDB_PROJECT", "igllm")
    evaluate, device = training.data.val is not None, pick_device(training.device)
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.batch_size,
        gradient_accumulation_steps=optimisation.accumulation,
        max_steps=optimisation.steps,
        learning_rate=optimisation.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(optimisation.warmup * optimisation.steps),
        logging_steps=preset.run.log_steps,
        logging_nan_inf_filter=False,  # it would wait for the device at every micro-batch
        save_steps=preset.run.save_steps or NEVER,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=preset.run.eval_steps if evaluate else None,
        prediction_loss_only=True,
        label_names=[training.labels],
        report_to=preset.run.report_to,
        run_name=out.resolve().name,
        seed=optimisation.seed,
        bf16=optimisation.bf16 and not is_spread(),
        activation_checkpointing=bool(preset.run.gradient_checkpointing),
        activation_checkpointing_kwargs={"use_reentrant": False} if preset.run.gradient_checkpointing else None,
        # A transformer tower that is trained has unused layers after the one that is read.
        ddp_find_unused_parameters=not preset.tower.freeze_vision,
        remove_unused_columns=False,
        disable_tqdm=not sys.stderr.isatty(),
        use_cpu=device.type == "cpu",
        dataloader_num_workers=min(preset.run.loaders, len(available_cores())),  # more would wait for one another
        # A batch in pinned memory goes to a GPU without the host's waiting for what the GPU still has to do.
        dataloader_pin_memory=device.type == "cuda",
        accelerator_config={"non_blocking": device.type == "cuda"},
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # each of several GPUs needs its own process, by torchrun or accelerate launch
    return arguments
