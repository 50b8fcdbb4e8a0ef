"""Checks of the training state in a checkpoint, which may come from anybody, against the training that resumes from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import trainer_callback

from datagen.errors import UserError
from datagen.io.declared import read_declared
from datagen.io.files import passed_over
from model.declared import Pending, TrainerState
from model.extent import Shapes, shapes_in
from model.run_folder import CHECKPOINT_FILES, PENDING, STATE
from model.staging import WEIGHTS_FILE, plain
from model.state_dict import first_not_finite
from model.tables import reason
from model.training.pickles import check_pickle

MOST_STATE_BYTES = 1 << 23  # of trainer_state.json, which has some 150 for each line of the log
_OF_ADAMW = {"step", "exp_avg", "exp_avg_sq"}
_CHANGING = {"params", "lr"}  # the entries of a group of parameters that training changes


@contextmanager
def resuming(checkpoint: Path, *names: str) -> Iterator[None]:
    """Check these files of a checkpoint, and turn any error in checking or reading them into a `UserError` with names and a remedy."""
    try:
        for name in names:
            _check_numbers(checkpoint / name)
        yield
    except Exception as error:  # the files may hold anything
        why = reason(error)
        if "weights_only" in str(error):  # the unpickler's message, which advises to trust the file
            why = "it holds more than numbers, and is not read"
        raise UserError(
            f"{checkpoint}: {' and '.join(names) or 'it'} cannot be taken up by this training ({why}); remove this checkpoint, and "
            "training goes on from the one before it, or begins anew"
        ) from None


def _check_numbers(path: Path) -> None:
    """`UserError` unless a file is there and, if it is a pickle for torch, passes `check_pickle`."""
    if not path.is_file():
        raise UserError(f"{path.name} is missing")
    if path.suffix in {".pt", ".pth"}:
        check_pickle(path)


def read_state(checkpoint: Path) -> tuple[int, Pending]:
    """The step of a checkpoint, and the sums of losses of which the next line of the log will be the mean."""
    with resuming(checkpoint, STATE):
        state = read_declared(checkpoint / STATE, TrainerState, MOST_STATE_BYTES)
        if checkpoint.name != f"checkpoint-{state.global_step}":
            raise UserError(f"global_step is {state.global_step:,}")
        if state.epoch is not None and not 0 <= state.epoch <= 10**9:
            raise UserError(f"epoch is {state.epoch}")
        trainer_callback.TrainerState.load_from_json(str(checkpoint / STATE))  # transformers' reader is stricter about encodings and fields
    with resuming(checkpoint, PENDING):
        pending = read_declared(checkpoint / PENDING, Pending)
        if pending.since > state.global_step:
            raise UserError(f"since is {pending.since:,}, a step that has not been")
    return state.global_step, pending


def check_files(checkpoint: Path) -> None:
    """`UserError` for a checkpoint with files that the checkpoint of a whole model does not have, such as a model's shards under FSDP."""
    with resuming(checkpoint):
        for path in sorted(checkpoint.iterdir()):
            declared = path.is_file() and any(fnmatchcase(path.name, pattern) for pattern in CHECKPOINT_FILES)
            if not declared and not passed_over(path.name):
                raise UserError(f"{plain(path.name)} is nothing that training on one device, or on several with whole copies, saves")


def check_weights(checkpoint: Path, expected: Mapping[str, torch.Tensor]) -> None:
    """`UserError` unless a checkpoint's weights are finite and have the names and shapes of the ``expected`` ones."""
    with resuming(checkpoint, WEIGHTS_FILE):
        held, wanted = shapes_in(checkpoint / WEIGHTS_FILE), {name: tuple(value.shape) for name, value in expected.items()}
        if (other := _differing(held, wanted)) is not None:
            raise UserError(f"{other} is {held.get(other, 'not there')}, and should be {wanted.get(other, 'not there')}")
        if (wrong := first_not_finite(load_file(checkpoint / WEIGHTS_FILE))) is not None:
            raise UserError(f"{wrong} holds what is no finite number")


def _differing(one: Shapes, other: Shapes) -> str | None:
    return next((name for name in sorted({*one, *other}) if one.get(name) != other.get(name)), None)


def settings_of(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries of an optimizer's groups of parameters that do not change in training."""
    return [{name: value for name, value in group.items() if name not in _CHANGING} for group in groups]


def check_optimizer(optimizer: torch.optim.Optimizer, settings: Sequence[Mapping[str, Any]]) -> None:
    """`UserError` unless an optimizer's loaded state is AdamW's, has these settings, fits each parameter and holds possible numbers."""
    if settings_of(optimizer.param_groups) != settings:
        raise UserError("its settings are others than those of this run")
    for group in optimizer.param_groups:
        if not _is_rate(group["lr"]) or group["lr"] > group["initial_lr"]:  # the peak of the schedule
            raise UserError(f"its learning rate is {str(group['lr'])[:20]}")
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if state and not (state.keys() == _OF_ADAMW and all(map(torch.is_tensor, state.values()))):
                raise UserError("its state is not one of AdamW")
            if any(value.shape != (() if name == "step" else parameter.shape) for name, value in state.items()):
                raise UserError("its state is one of parameters of other shapes")
            if not all(value.is_floating_point() and bool(value.isfinite().all()) for value in state.values()):
                raise UserError("its state holds what is no finite number")
            if any(bool((state[name] < 0).any()) for name in ("step", "exp_avg_sq") if name in state):
                raise UserError("its state holds a number below 0 where there is none")
    if not optimizer.state:
        raise UserError("it holds no state")


def check_schedule(state: Any, own: Mapping[str, Any], step: int) -> None:
    """`UserError` unless a saved scheduler's state is that of this run's scheduler, `own`, at a step; torch loads any state unchecked."""
    if not isinstance(state, dict) or state.keys() != own.keys() or any(type(state[name]) is not type(own[name]) for name in own):
        raise UserError("its schedule is another than that of this run")
    if any(state[name] != own[name] for name in ("base_lrs", "lr_lambdas")):
        raise UserError("its schedule is another than that of this run")
    if state["last_epoch"] != step:
        raise UserError(f"last_epoch is {str(state['last_epoch'])[:20]}")
    rates = state["_last_lr"]
    if len(rates) != len(state["base_lrs"]) or not all(map(_is_rate, rates)):
        raise UserError("its learning rates are none")


def _is_rate(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
