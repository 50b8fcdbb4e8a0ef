"""Training: `transformers.Trainer` over the examples of a data set, into a run folder that is safe to interrupt.

A run folder holds ``run.json`` (what was asked), whole ``checkpoint-N`` folders, and, when training is done, ``log.jsonl`` and the model
itself.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from datagen.archive import open_archive
from datagen.errors import UserError
from datagen.files import read_json, sync_folder, write_json, write_jsonl
from datagen.overlap import data_digest, refuse_overlap
from datagen.shards import Samples
from model.codec import NUM, CodeCodec
from model.config import FORMAT_VERSION, PROMPT
from model.data import CodeSource, Collator, ExampleMaker
from model.device import pick_device
from model.igllm import IGLLM
from model.images import Frame
from model.order import InOrder, Mixture
from model.presets import Preset
from model.quiet import quiet_transformers
from model.tokens import domain_tokenizer, prompt_ids

RUN = "run.json"
SAVING = ".saving"  # where checkpoint and model are written before they are renamed
KEPT_CHECKPOINTS = 2
FREE_TO_CHANGE = ("steps", "save_steps")  # between the calls that make up one run


def train(preset: Preset, name: str, *, data: Path, out: Path, val: Path | None = None, device: str = "auto") -> IGLLM:
    """Train a preset on the samples in `data` into the run folder `out`, or go on where an earlier call stopped.

    Raises `UserError` if the run folder belongs to other settings or data, or if `val` shares scenes with `data`.
    """
    archive, val_archive = open_archive(data), None if val is None else open_archive(val)
    if val_archive is not None:
        refuse_overlap(archive, val_archive)
    _state_run(out, preset, name, data_digest(archive))
    quiet_transformers()
    set_seed(preset.seed)
    domain = Samples(data).at(0).domain
    tokenizer = domain_tokenizer(domain, PROMPT)
    special = {"num": tokenizer.convert_tokens_to_ids(NUM), "bos": tokenizer.bos_token_id}
    special |= {"eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    model = IGLLM(preset.config(domain, len(tokenizer), special))
    make = example_maker(model, CodeCodec(domain, tokenizer), preset.augment)
    trainer = CodeTrainer(
        preset=preset,
        model=model,
        args=_arguments(preset, out, device, evaluate=val is not None),
        train_dataset=Mixture([CodeSource(archive, make)], [1.0], preset.seed, preset.steps * preset.batch_size),
        eval_dataset=None if val_archive is None else InOrder(CodeSource(val_archive, make)),
        data_collator=Collator(tokenizer.pad_token_id),
        processing_class=tokenizer,
    )
    checkpoint = newest_checkpoint(out)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if trainer.is_world_process_zero():
        _save_final(trainer, out)
    return model


def example_maker(model: IGLLM, codec: CodeCodec, augment: bool = False) -> ExampleMaker:
    """What turns samples into this model's examples."""
    prompt = prompt_ids(codec.tokenizer, model.config.prompt)
    layout = None if model.dense_head is None else model.dense_head.layout
    return ExampleMaker(codec, Frame.of(model.config), [prompt], (model.tower.rows, model.tower.columns), layout, augment)


def newest_checkpoint(run: Path) -> Path | None:
    """The last whole checkpoint of a run; None if there is none. What is being saved goes by another name."""
    return next(reversed(_checkpoints(run)), None)


def _checkpoints(run: Path) -> list[Path]:
    """A run's whole checkpoints, oldest first."""
    found = [path for path in run.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


class CodeTrainer(Trainer):
    """`Trainer` that logs the parts of the loss, has learning rates by part, and saves checkpoints whole or not at all."""

    def __init__(self, preset: Preset, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.preset = preset
        self._parts: dict[str, list[torch.Tensor]] = defaultdict(list)
        self.remove_callback(PrinterCallback)
        if not sys.stderr.isatty():
            self.add_callback(PlainLines())

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        """The data set is in the order of training already."""
        return SequentialSampler(self.train_dataset)

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW; the numeric parts at their own rate, and no decay on biases, norms and embeddings."""
        self.optimizer: Any = torch.optim.AdamW(parameter_groups(self.model, self.preset), betas=(0.9, 0.98))
        return self.optimizer

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The model's own loss; its parts are kept for the log."""
        output = model(**inputs)
        for name in ("token_loss", "number_loss", "dense_loss"):
            if output[name] is not None:
                self._parts[name if model.training else f"eval_{name}"].append(output[name].detach())
        return (output.loss, output) if return_outputs else output.loss

    def log(self, logs: dict[str, float], *arguments: Any, **keywords: Any) -> None:
        """Add the mean of each part of the loss since the last log."""
        evaluation = any(name.startswith("eval_") for name in logs)
        for name in [name for name in self._parts if name.startswith("eval_") == evaluation]:
            logs[name] = round(float(torch.stack(self._parts.pop(name)).mean()), 4)
        super().log(logs, *arguments, **keywords)

    def _get_output_dir(self, trial: Any) -> str:
        return os.path.join(self.args.output_dir, SAVING)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save beside, then rename: a checkpoint that has its name is whole."""
        super()._save_checkpoint(model, trial)
        if not self.args.should_save:
            return
        run = Path(self.args.output_dir)
        saved = run / SAVING / f"checkpoint-{self.state.global_step}"
        (saved / "training_args.bin").unlink(missing_ok=True)  # a pickle, which nobody should have to trust
        _sync_files(saved)
        target = run / saved.name
        shutil.rmtree(target, ignore_errors=True)
        saved.rename(target)
        sync_folder(run)
        shutil.rmtree(run / SAVING)
        for old in _checkpoints(run)[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)


class PlainLines(TrainerCallback):
    """A line of the log for people who read it in a file."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Print the step and what was logged."""
        numbers = {k: v for k, v in (logs or {}).items() if isinstance(v, int | float) and "loss" in k}
        if numbers:
            text = ", ".join(f"{k} {v:.4f}" for k, v in numbers.items())
            print(f"train: step {state.global_step}/{state.max_steps}, {text}", file=sys.stderr, flush=True)


def parameter_groups(model: IGLLM, preset: Preset) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate and decay."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        numeric = name.startswith(("numeric_head", "number_feedback"))
        rate = preset.head_learning_rate if numeric else preset.learning_rate
        decay = preset.weight_decay if parameter.ndim >= 2 and "embed" not in name else 0.0
        groups[rate, decay].append(parameter)
    return [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]


def _arguments(preset: Preset, out: Path, device: str, evaluate: bool) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=preset.batch_size,
        per_device_eval_batch_size=preset.batch_size,
        max_steps=preset.steps,
        learning_rate=preset.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(preset.warmup * preset.steps),
        logging_steps=10,
        save_steps=preset.save_steps,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=preset.save_steps if evaluate else None,
        prediction_loss_only=True,
        report_to="none",
        seed=preset.seed,
        bf16=preset.bf16,
        remove_unused_columns=False,
        disable_tqdm=not sys.stderr.isatty(),
        use_cpu=pick_device(device).type == "cpu",
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _state_run(out: Path, preset: Preset, name: str, digest: str) -> None:
    """Write ``run.json``, or see that the one there is of the same run."""
    settings = asdict(preset)
    statement: dict[str, Any] = {"format_version": FORMAT_VERSION, "preset": name, "settings": settings, "data": digest}
    if (out / RUN).exists():
        there = read_json(out / RUN)
        before, now = (
            {**s["settings"], "preset": s["preset"], "data": s["data"], **dict.fromkeys(FREE_TO_CHANGE)} for s in (there, statement)
        )
        differing = [key for key in now if before.get(key) != now[key]]
        if differing:
            key = differing[0]
            raise UserError(
                f"{out}: is a run with {key} {before.get(key)!r}, not {now[key]!r}; choose another folder, or the same settings"
            )
    elif out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: holds something that is not a run; choose another folder")
    write_json(out / RUN, statement)


def _save_final(trainer: CodeTrainer, out: Path) -> None:
    """Put the model into the run folder; ``config.json`` comes last and says that all is there."""
    beside = out / SAVING
    shutil.rmtree(beside, ignore_errors=True)
    trainer.model.save_pretrained(beside)
    trainer.processing_class.save_pretrained(beside)
    _sync_files(beside)
    for path in sorted(beside.iterdir(), key=lambda path: path.name == "config.json"):
        path.replace(out / path.name)
    beside.rmdir()
    write_jsonl(out / "log.jsonl", trainer.state.log_history)


def _sync_files(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    sync_folder(folder)
