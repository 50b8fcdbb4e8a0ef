"""`transformers.Trainer` with losses of several parts, exact resume, and checkpoints that are whole or not there."""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_callback import ExportableState

from datagen.errors import UserError
from datagen.io.files import write_json
from model.data.lengths import of_like_length
from model.preset import OptimisationSettings, Preset
from model.run_folder import (
    FINAL,
    OPTIMIZER,
    PENDING,
    RANDOM_STATES,
    SAVING,
    SCALER,
    SCHEDULER,
    best_loss,
    keep_best,
    keep_checkpoint,
    keep_final,
    saving,
)
from model.state_dict import first_not_finite
from model.training.resume import check_files, check_optimizer, check_schedule, check_weights, read_state, resuming, settings_of


class IGTrainer(Trainer):
    """Trains on the data set's positions in order, so that a step's samples depend on its number alone, and logs the parts of the loss.

    The model's ``loss_weights`` are the parts with their weights. Each part is divided by a count of its own (``loss_counts``) over all
    micro-batches and processes of a step, so that the same samples give the same step, however they are distributed. (In validation on
    several processes, the samples that fill up the last batch count twice.)
    """

    loss_is_scaled_for_ga = True

    def __init__(self, preset: Preset, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.preset, self.run_folder = preset, Path(self.args.output_dir)
        self._unwrapped: Any = self.model
        if self.is_fsdp_enabled and any("token_adapter" in name for name in getattr(self.model, "all_tied_weights_keys", ())):
            raise UserError(
                "FSDP cannot spread adapters on a language model whose two embeddings are one tensor: let torchrun or ddp.yaml start the "
                "processes, or train all of the language model (--full)"
            )
        self._sums: dict[str, torch.Tensor] = {}
        self._logged = 0  # the step of the last line of the log
        self._evaluated: dict[str, torch.Tensor] = defaultdict(lambda: torch.zeros((), device=self.args.device))
        self.remove_callback(PrinterCallback)
        self.add_callback(TimedSaves(self, preset.run.save_seconds))
        if not sys.stderr.isatty():
            self.add_callback(LossLines())

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW, with the groups of `parameter_groups`."""
        if self.optimizer is None:
            self.optimizer: Any = adamw(self.model, self.preset.optimisation)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(train_dataset or self.train_dataset)  # the data set is in the order of training already

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """A step's micro-batches, gathered anew by the length of texts, each with the ``counts`` of the whole step, by which the parts of
        the loss are divided."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches:
            batches = of_like_length(batches)
            counts = torch.stack([self._unwrapped.loss_counts(batch) for batch in batches]).sum(0).to(device)
            # Gradients are averaged over processes, not summed, so the counts must be averaged as well.
            counts = self.accelerator.reduce(counts, "mean")
            batches = [{**batch, "counts": counts} for batch in batches]
        return batches, None

    def floating_point_ops(self, inputs: Any) -> int:
        """0: Trainer would go through all parameters at every step, and multiply their number by that of the image's pixels."""
        return 0

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The model's loss. Its parts are also added to the sums for the log."""
        output = model(**inputs)
        if model.training:
            for name in ("loss", *self._unwrapped.loss_weights):
                if (value := getattr(output, name)) is not None:
                    self._sums[name] = self._sums.get(name, 0.0) + value.detach()
        else:
            counts = self._unwrapped.loss_counts(inputs)
            for name, count in zip(self._unwrapped.loss_weights, counts, strict=True):
                if (value := getattr(output, name)) is not None:
                    self._evaluated[name] += value.detach() * count
                    self._evaluated[f"{name} count"] += count
        return (output.loss, output) if return_outputs else output.loss

    def log(self, logs: dict[str, float], *arguments: Any, **keywords: Any) -> None:
        """Log as Trainer does, with the loss and its parts over all processes. `UserError` if one of them is not finite."""
        if "loss" in logs:
            steps, self._logged = self.state.global_step - self._logged, self.state.global_step
            logs |= {name: value / steps for name, value in self._pending().items()}
            self._sums = {}
        elif "eval_loss" in logs:
            logs |= self._evaluation()
        self._check_logged(logs)
        super().log(logs, *arguments, **keywords)

    def _check_logged(self, logs: Mapping[str, Any]) -> None:
        """`UserError` if a loss is not finite: the weights have diverged then, and no later step would mend that."""
        wrong = next((name for name, value in logs.items() if isinstance(value, float) and not math.isfinite(value)), None)
        if wrong is not None:
            raise self._diverged(f"{wrong} is {logs[wrong]}")

    def _check_finite(self, state: Mapping[str, torch.Tensor], what: str) -> None:
        """`UserError` if a state to be saved holds NaN or infinity, which the last loss, of the weights before the step, cannot show."""
        wrong = first_not_finite(state)
        found = torch.tensor(0.0 if wrong is None else 1.0, device=self.args.device)
        if float(self.accelerator.reduce(found, "sum")):  # if the model is sharded, another process may have found it
            raise self._diverged(f"{what} {wrong or 'of another process'} is not finite")

    def _diverged(self, what: str) -> UserError:
        return UserError(
            f"{self.run_folder}: {what} at step {self.state.global_step}: training has gone astray; begin again in another folder with "
            f"lower learning rates (learning_rate is {self.preset.optimisation.learning_rate:g}) or a longer warmup"
        )

    def _pending(self) -> dict[str, float]:
        """The loss and its parts over all processes, summed over the steps since the last log."""
        return {name: float(self.accelerator.reduce(value, "mean")) for name, value in self._sums.items()}

    def _evaluation(self) -> dict[str, float]:
        """The validation loss and its parts, each the mean over all items that it counts, independent of the batches."""
        sums = {name: float(self.accelerator.reduce(value, "sum")) for name, value in self._evaluated.items()}
        self._evaluated.clear()
        weights = self._unwrapped.loss_weights
        parts = {name: sums[name] / max(1.0, sums[f"{name} count"]) for name in weights if name in sums}
        return {"eval_loss": sum(weights[name] * value for name, value in parts.items())} | {f"eval_{n}": v for n, v in parts.items()}

    def evaluate(self, *arguments: Any, **keywords: Any) -> dict[str, float]:
        """Evaluate as Trainer does, and keep the model with the lowest validation loss so far in ``best``."""
        metrics = super().evaluate(*arguments, **keywords)
        if metrics["eval_loss"] < best_loss(self.run_folder):
            self.accelerator.wait_for_everyone()  # all processes have compared before the first one writes
            with saving(self.run_folder) as folder:
                self.save_model(str(folder / "best"), _internal_call=True)
                if self.args.should_save:
                    keep_best(self.run_folder, folder / "best", {"step": self.state.global_step, "eval_loss": metrics["eval_loss"]})
            self.accelerator.wait_for_everyone()
        return metrics

    def save_model(self, *arguments: Any, **keywords: Any) -> None:
        """Save as Trainer does. `UserError` for weights that are not finite."""
        trained = {name: value.data for name, value in self._unwrapped.named_parameters() if value.requires_grad}
        self._check_finite(trained | dict(self._unwrapped.named_buffers()), "the weight")
        super().save_model(*arguments, **keywords)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self._is_whole:
            kept = enumerate(self.optimizer.state.values())
            self._check_finite({f"{i}.{name}": value for i, state in kept for name, value in state.items()}, "the optimizer's state")
        super()._save_optimizer_and_scheduler(output_dir)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.run_folder / SAVING)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save as Trainer does, but into a folder that gets its name at the end: a checkpoint with the usual name is whole."""
        pending = self._pending()
        self._check_logged(pending)
        with saving(self.run_folder) as folder:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process saves the state of its random numbers
            if self.args.should_save:
                saved = folder / f"checkpoint-{self.state.global_step}"
                write_json(saved / PENDING, {"since": self._logged, "sums": pending})
                keep_checkpoint(self.run_folder, saved)
        self.accelerator.wait_for_everyone()

    def _load_callback_state(self) -> None:
        """Replace a checkpoint's states of callbacks by those of this training: Trainer restores none, and updates entries at each save
        that the checkpoint may lack."""
        exported = [each for each in (*self.callback_handler.callbacks, self.control) if isinstance(each, ExportableState)]
        self.state.stateful_callbacks = {type(each).__name__: each.state() for each in exported}

    def load_pending(self, checkpoint: Path) -> None:
        """Load a checkpoint's sums of losses for the next line of the log. `UserError` for a damaged checkpoint or one of another run."""
        _, pending = read_state(checkpoint)
        if not pending.sums.keys() <= {"loss", *self._unwrapped.loss_weights}:
            raise UserError(f"{checkpoint / PENDING}: names other parts of the loss than this model has; remove this checkpoint")
        self._logged = pending.since
        self._sums = {name: torch.tensor(value, device=self.args.device) for name, value in pending.sums.items()}

    @property
    def _is_whole(self) -> bool:
        """Whether each process has the whole model and optimizer. Only then do checkpoints consist of the files that `resume` checks."""
        return not (self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._is_whole:
            check_files(Path(resume_from_checkpoint))
            check_weights(Path(resume_from_checkpoint), self._unwrapped.own_state_dict())
        with resuming(Path(resume_from_checkpoint)):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not self._is_whole:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        settings = settings_of(self.optimizer.param_groups)
        with resuming(Path(checkpoint), OPTIMIZER, SCHEDULER):
            saved = torch.load(Path(checkpoint, SCHEDULER), map_location="cpu", weights_only=True)
            check_schedule(saved, self.lr_scheduler.state_dict(), self.state.global_step)
            super()._load_optimizer_and_scheduler(checkpoint)
            check_optimizer(self.optimizer, settings)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        states = _matching(checkpoint, RANDOM_STATES)
        if checkpoint is not None and not states:
            raise UserError(f"{checkpoint}: has no rng_state.pth, and would go on otherwise; remove this checkpoint")
        with resuming(Path(checkpoint or ""), *states):
            super()._load_rng_state(checkpoint)

    def _load_scaler(self, checkpoint: str | None) -> None:
        with resuming(Path(checkpoint or ""), *_matching(checkpoint, SCALER)):
            super()._load_scaler(checkpoint)

    def save_final(self) -> None:
        """Put the model into the run folder."""
        with saving(self.run_folder) as folder:
            self.save_model(str(folder / FINAL), _internal_call=True)
            if self.args.should_save:
                keep_final(self.run_folder, folder / FINAL)
        self.accelerator.wait_for_everyone()


def _matching(checkpoint: str | None, pattern: str) -> list[str]:
    """The names of a checkpoint's files that match a pattern."""
    return [] if checkpoint is None else sorted(path.name for path in Path(checkpoint).glob(pattern))


class TimedSaves(TrainerCallback):
    """Requests checkpoints so that at most ``seconds`` of work can be lost, by the clock of the first process."""

    def __init__(self, trainer: Trainer, seconds: float) -> None:
        self._trainer, self._seconds = trainer, seconds
        self._saved = self._stepped = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._saved = self._stepped = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Request a checkpoint if the next step, should it take as long as this one, would end too late."""
        now = time.monotonic()
        due = now - self._saved + (now - self._stepped) > self._seconds
        self._stepped = now
        if args.world_size > 1:
            due = bool(broadcast(torch.tensor([due], device=args.device)).item())
        control.should_save = control.should_save or due

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Restart the clock."""
        self._saved = time.monotonic()


class EverySteps(TrainerCallback):
    """Calls a function with the step, every ``steps`` steps, on the first process."""

    def __init__(self, call: Callable[[int], None], steps: int) -> None:
        self._call, self._steps = call, steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Call the function if the step is a multiple of ``steps``."""
        if state.is_world_process_zero and state.global_step % self._steps == 0:
            self._call(state.global_step)


class LossLines(TrainerCallback):
    """Prints logged losses to stderr as lines, where stderr is no terminal with a progress bar."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Print the step and the logged losses."""
        numbers = {k: v for k, v in (logs or {}).items() if isinstance(v, int | float) and "loss" in k}
        if numbers and state.is_world_process_zero:
            text = ", ".join(f"{k} {v:.4f}" for k, v in numbers.items())
            print(f"train: step {state.global_step}/{state.max_steps}, {text}", file=sys.stderr, flush=True)


def adamw(model: torch.nn.Module, settings: OptimisationSettings) -> torch.optim.AdamW:
    """The optimizer of a model's trainable parameters, with the groups of `parameter_groups`; on a GPU in one kernel for many of them."""
    on_gpu = all(parameter.is_cuda for parameter in model.parameters() if parameter.requires_grad)
    optimizer = torch.optim.AdamW(parameter_groups(model, settings), betas=(0.9, 0.98), fused=on_gpu or None)
    optimizer.register_load_state_dict_pre_hook(_for_own_device)
    return optimizer


def _for_own_device(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's state, which may have been saved on a device of another kind, for the kernels of this optimizer's device."""
    groups, own = state["param_groups"], optimizer.param_groups
    if len(groups) != len(own):  # torch refuses that
        return state
    return {**state, "param_groups": [{**group, "fused": mine["fused"]} for group, mine in zip(groups, own, strict=True)]}


def parameter_groups(model: torch.nn.Module, settings: OptimisationSettings) -> list[dict[str, Any]]:
    """Trainable parameters in groups by learning rate and weight decay; biases, norms and embeddings have no weight decay."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = settings.weight_decay if parameter.ndim >= 2 and not any(part in name for part in ("embed", "trainable_tokens")) else 0.0
        groups[_learning_rate(name, settings), decay].append(parameter)
    return [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]


def _learning_rate(name: str, settings: OptimisationSettings) -> float:
    if name.startswith(("numeric_head", "number_feedback")):
        return settings.head_learning_rate
    return settings.projector_learning_rate if name.startswith(("projector", "dense_head")) else settings.learning_rate
