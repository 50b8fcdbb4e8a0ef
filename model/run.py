"""A run folder: what was asked, whole checkpoints, the best and the finished model. Everything in it is whole or not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from datagen.errors import UserError
from datagen.files import passed_over, read_json, sync_folder, write_json
from model.config import FORMAT_VERSION
from model.presets import Preset

RUN = "run.json"
BEST = "best"
SAVING = ".saving"  # where checkpoint and model are written before they are renamed
KEPT_CHECKPOINTS = 2
FREE_TO_CHANGE = (
    "steps",
    "save_seconds",
    "save_steps",
    "log_steps",
    "eval_steps",
    "batch_size",
    "align_batch_size",
    "accumulation",
    "gradient_checkpointing",
    "loaders",
    "report_to",
)
"""Settings that may differ between the calls that make up one run, as long as a step has as many samples as before."""


def state_run(out: Path, preset: Preset, **statement: Any) -> None:
    """Write ``run.json``, or see that the one there is of the same run; `UserError` if it is not."""
    stated = {"format_version": FORMAT_VERSION, **statement, "settings": preset.to_json()}
    if (out / RUN).exists():
        before, now = _compared(read_json(out / RUN), out), _compared(stated, out)
        differing = [key for key in now if before.get(key) != now[key]]
        if differing:
            key = differing[0]
            raise UserError(
                f"{out}: is a run with {key} {before.get(key)!r}, not {now[key]!r}; choose another folder, or the same settings"
            )
    elif out.exists() and not all(passed_over(path.name) for path in out.iterdir()):
        raise UserError(f"{out}: holds something that is not a run; choose another folder")
    write_json(out / RUN, stated)


def _compared(stated: Any, out: Path) -> dict[str, Any]:
    if not isinstance(stated, dict) or not isinstance(stated.get("settings"), dict):
        raise UserError(f"{out / RUN}: damaged; choose another folder")
    flat = {**stated, **stated["settings"]}
    return {key: value for key, value in flat.items() if key not in (*FREE_TO_CHANGE, "settings")}


def newest_checkpoint(run: Path) -> Path | None:
    """The last whole checkpoint of a run; None if there is none. What is being saved goes by another name."""
    return next(reversed(_checkpoints(run)), None)


def _checkpoints(run: Path) -> list[Path]:
    """A run's whole checkpoints, oldest first."""
    found = [path for path in run.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def keep_checkpoint(run: Path, saved: Path) -> None:
    """Give a checkpoint that was saved beside its name, and drop the oldest."""
    _settle(saved, run / saved.name)
    shutil.rmtree(run / SAVING)
    for old in _checkpoints(run)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def keep_best(run: Path, saved: Path, facts: dict[str, Any]) -> None:
    """Make what was saved the run's best model; ``best.json`` says at which step and loss it was."""
    write_json(saved / "best.json", facts)
    _settle(saved, run / BEST)


def best_loss(run: Path) -> float:
    """The validation loss of the best model so far, infinite if there is none."""
    path = run / BEST / "best.json"
    return float(read_json(path)["eval_loss"]) if path.exists() else float("inf")


def keep_final(run: Path, saved: Path) -> None:
    """Put the finished model into the run folder; ``config.json`` comes last and says that all is there."""
    _without_pickle(saved)
    for path in sorted(saved.iterdir(), key=lambda path: path.name == "config.json"):
        path.replace(run / path.name)
    sync_folder(run)
    shutil.rmtree(run / SAVING)


def _settle(saved: Path, target: Path) -> None:
    """Give a folder its name once all in it is on the disk."""
    _without_pickle(saved)
    shutil.rmtree(target, ignore_errors=True)
    saved.rename(target)
    sync_folder(target.parent)


def _without_pickle(folder: Path) -> None:
    """Sync what was saved, less the training arguments, a pickle that nobody should have to trust."""
    (folder / "training_args.bin").unlink(missing_ok=True)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    sync_folder(folder)
