"""A run's folder: its settings, checkpoints, the best and the finished model. Each of these is complete or absent."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any

from safetensors import SafetensorError

from datagen.errors import UserError
from datagen.io.declared import as_declared, read_declared, to_plain
from datagen.io.files import file_sha256, passed_over, read_json, removed, sync_folder, write_bytes, write_json
from datagen.io.written import Written
from model.config import FORMAT_VERSION
from model.declared import Best, RunStatement, WholeCheckpoint
from model.preset import Preset
from model.staging import CONFIG_FILE, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, TOKENIZER_FILES, WEIGHTS_FILE, WHOLE, plain

RUN = "run.json"
BEST = "best"
LOG = "log.jsonl"
CURVES = "tensorboard"
SAVING = ".saving"  # folder where checkpoint and model are written before they are renamed
FINAL = "final"  # in SAVING, the finished model
_ASIDE = "old"  # in SAVING, the folder that a new one replaces
_TRIAL = "trial"
STATE, PENDING = "trainer_state.json", "pending.json"
OPTIMIZER, SCHEDULER = "optimizer.pt", "scheduler.pt"
RANDOM_STATES, SCALER = "rng_state*.pth", "scaler.pt"
CHECKPOINT_FILES = (STATE, PENDING, OPTIMIZER, SCHEDULER, RANDOM_STATES, SCALER, WHOLE, CONFIG_FILE, WEIGHTS_FILE, *TOKENIZER_FILES)
"""The files of a checkpoint that holds the whole model. From files of other names, transformers would load other formats and adapters."""
_FACTS = "best.json"
KEPT_CHECKPOINTS = 2
TRIAL_BYTES = 1 << 20  # written to find out whether a disk is full
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
"""Settings that may change from one call of a run to the next, as long as a step has as many samples as before."""

_DIFFERENT = {
    "format_version": "of another version of igllm",
    "data": "on other data: what --data names, or the --weight of each, is not what it was",
    "val": "with another data set for --val, or with changed scenes in it",
    "init": "that began with other weights than --init names now",
    "tower": "with other weights of the pretrained vision tower",
    "vision": "with another table [vision]",
    "language": "with other weights of the pretrained language model",
}
"""By field of `_compared`, mostly digests: the words of a message about a run that differs in it from the current call."""


def check_run(out: Path, preset: Preset, **statement: Any) -> None:
    """`UserError` if a folder holds anything but the run of these settings and this ``statement`` (fields of `RunStatement`), or a file
    that no run has written where training would replace or remove it.

    Only given fields are compared. A run that has trained nothing yet may get other settings.
    """
    check_statement(out, preset, **statement)
    _refuse_foreign(out)


def check_statement(out: Path, preset: Preset, **statement: Any) -> None:
    """As `check_run`, but without the files of models, which take time to read: `UserError` if a folder holds another run, something that
    is not a run, or links."""
    if (out / RUN).exists():
        before, now = _compared(_read_run(out)), _compared(_record(preset, statement))
        differing = [key for key in now if before.get(key) != now[key]]
        if differing and _has_trained(out):
            key = differing[0]
            raise _other_run(out, _DIFFERENT.get(key, f"with {key}={before.get(key)}, not {now[key]}"))
    elif out.exists() and not all(passed_over(path.name) for path in out.iterdir()):
        raise UserError(f"{out}: holds something that is not a run; choose another folder")
    # Through a link, files would be written elsewhere.
    for path in (*sorted(out.glob("*")), out / SAVING, *sorted((out / SAVING).glob("*"))):
        if path.is_symlink():
            raise UserError(f"{path}: is a link, which a run does not have; remove it")


def _refuse_foreign(run: Path) -> None:
    """`UserError` for a file that no run has written, if training would replace it or remove its folder."""
    _written(run).refuse_strangers((CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, WHOLE, LOG))
    for folder in (*_checkpoints(run), run / BEST):
        foreign = _foreign(folder)
        if foreign is not None:
            raise UserError(f"{foreign}: no run has written that, and training would remove it with its folder; move it elsewhere")


def _written(run: Path) -> Written:
    """The record of the finished model's files and the log that runs have written; an earlier version's is read from ``whole.json``."""
    written = Written(run, "train")
    if WHOLE not in written.made_from:
        stated = _saved_digests(run) or {}
        as_saved = [name for name, digest in stated.items() if (run / name).is_file() and file_sha256(run / name) == digest]
        written.adopt((*as_saved, WHOLE, LOG), WHOLE, {CONFIG_FILE})
    return written


def _foreign(folder: Path) -> Path | None:
    """A file in the folder of a checkpoint or best model that, by its name, no training has saved there; None if there is none."""
    if folder.is_file():
        return folder
    stated = _saved_digests(folder) or {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        own = name in stated or any(fnmatchcase(name, pattern) for pattern in (*CHECKPOINT_FILES, _FACTS))
        if not own and not passed_over(path.name) and (path.is_symlink() or not path.is_dir()):
            return path
    return None


def check_finished(out: Path, preset: Preset, **statement: Any) -> None:
    """As `check_run`, for a run with a finished model, which must also have had the preset's number of steps."""
    check_run(out, preset, **statement)
    steps = run_settings(out)["steps"]
    if steps != preset.optimisation.steps:
        raise _other_run(out, f"with steps={steps}, not {preset.optimisation.steps}")


def _other_run(out: Path, how: str) -> UserError:
    return UserError(f"{out}: holds a run {how}; choose another folder, or call it as before")


@contextmanager
def stated(out: Path, preset: Preset, **statement: Any) -> Iterator[Event]:
    """State in ``run.json`` a run that `check_run` has passed, and train it within the block. Files that an earlier call left unfinished
    when it was killed are removed.

    `UserError` if there is another run by now. The model's files, which may be large, are not read again. If the block refuses the run
    before it has made a step, and so set the event, nothing of a new run is left.
    """
    check_statement(out, preset, **statement)
    _clear(out)
    is_new, stepped = not (out / RUN).exists(), Event()
    write_json(out / RUN, _record(preset, statement))
    try:
        yield stepped
    except UserError:
        if is_new and out.is_dir() and not stepped.is_set():
            shutil.rmtree(out / CURVES, ignore_errors=True)
            if {path.name for path in out.iterdir()} == {RUN}:
                (out / RUN).unlink()
                out.rmdir()
        raise


def _clear(run: Path) -> None:
    """Remove unfinished files of a run, and nothing else. A best model that was moved aside gets its name back if its successor is not in
    place yet."""
    folder = run / SAVING
    aside = folder / _ASIDE
    if not (run / BEST).exists() and (aside / _FACTS).exists() and _damage(aside) is None:
        aside.rename(run / BEST)
        sync_folder(run)
    for left in (*_checkpoints(folder), folder / BEST, folder / FINAL, aside):
        shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):  # it is missing, or holds files that are not a run's
        (folder / _TRIAL).unlink(missing_ok=True)
        folder.rmdir()


def _record(preset: Preset, statement: dict[str, Any]) -> dict[str, Any]:
    """The content of ``run.json``."""
    record: dict[str, Any] = to_plain(RunStatement(format_version=FORMAT_VERSION, **statement, settings=preset.to_json()))
    return record


def _has_trained(out: Path) -> bool:
    return bool(_checkpoints(out)) or (out / BEST).exists() or (out / "config.json").exists()


def _read_run(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = read_json(out / RUN)
    try:
        as_declared(record, RunStatement, f"{out / RUN}: damaged")
    except UserError as error:
        raise UserError(f"{error}; choose another folder") from None
    return record


def run_settings(out: Path) -> dict[str, Any]:
    """The settings that a run was begun with; `UserError` if its ``run.json`` is damaged."""
    settings: dict[str, Any] = _read_run(out)["settings"]
    return settings


def _compared(record: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``run.json`` that must not change from one call of a run to the next; settings that are not stated are the defaults."""
    tower = {"tower": record["vision"]} if "vision" in record else {}  # the digest of its weights; the setting of this name is a table
    flat = {**record, **Preset().to_json(), **record["settings"], **tower}
    return {key: value for key, value in flat.items() if key not in (*FREE_TO_CHANGE, "settings")}


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def newest_checkpoint(run: Path, warn: Callable[[str], None] = _print) -> Path | None:
    """The newest whole checkpoint of a run; None if none was saved.

    ``warn`` is called with a line for each that is newer but damaged. `UserError` if there are checkpoints, and none is whole.
    """
    damaged: list[str] = []
    for checkpoint in reversed(_checkpoints(run)):
        wrong = _damage(checkpoint)
        if wrong is None:
            for other in damaged:
                warn(f"{other}, so it is passed over for {checkpoint.name}, the newest that is whole")
            return checkpoint
        damaged.append(f"{checkpoint}: {wrong}")
    if damaged:
        raise UserError(
            f"{'; '.join(damaged)}. No checkpoint of this run is whole; what is named here must be removed before it can be trained anew"
        )
    return None


def _damage(checkpoint: Path) -> str | None:
    """Why a checkpoint is damaged; None if it holds exactly the files that were saved, unchanged."""
    stated = _saved_digests(checkpoint)
    if stated is None:
        return f"{WHOLE}, which says what belongs to it, cannot be read"
    saved = {path.relative_to(checkpoint).as_posix(): path for path in checkpoint.rglob("*")}
    for name, digest in stated.items():
        if name not in saved or not saved[name].is_file():
            return f"{plain(name)} is missing"
        if file_sha256(saved[name]) != digest:
            return f"{plain(name)} is damaged"
    folders = {str(folder) for name in stated for folder in PurePosixPath(name).parents}
    other = sorted(name for name, path in saved.items() if name not in {*stated, *folders, WHOLE} and not passed_over(path.name))
    return f"{plain(other[0])} does not belong to it" if other else None


def _saved_digests(saved: Path) -> dict[str, str] | None:
    """The SHA-256 that each file had when it was saved, by name; None if ``whole.json`` cannot be read."""
    try:
        return read_declared(saved / WHOLE, WholeCheckpoint)
    except (UserError, OSError):
        return None


def _checkpoints(run: Path) -> list[Path]:
    """A run's checkpoints, oldest first. A folder gets such a name once it is complete, but may have been damaged since."""
    found = [path for path in run.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def check_present(run: Path) -> None:
    """`UserError` if somebody has removed the folder of a run that is being trained: what is written now could not be resumed."""
    if not (run / RUN).exists():
        raise removed(run)


@contextmanager
def saving(run: Path) -> Iterator[Path]:
    """A context with the folder in which files of a run are saved before they get their final names.

    `UserError` if it cannot be written, whichever error a library raises then, or if somebody has removed the run. Half-saved files are
    removed.
    """
    check_present(run)
    try:
        yield run / SAVING
    except Exception as error:
        reason = _write_failure(run / SAVING, error)
        if reason is None:
            raise
        _clear(run)
        raise UserError(f"{run}: {reason}; what was saved before is kept: call it again to go on") from error


def _write_failure(folder: Path, error: Exception) -> str | None:
    """Why a folder could not be written to, None for an unrelated error; safetensors and torch raise errors of their own for it."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, SafetensorError) and (number := re.search(r"os error (\d+)", str(error))):
        return os.strerror(int(number[1]))
    if isinstance(error, RuntimeError) and "inline_container" in str(error):  # torch's error, without a reason
        try:
            write_bytes(folder / _TRIAL, bytes(TRIAL_BYTES))
        except OSError as reason:
            return reason.strerror
        return "a checkpoint could not be written whole"
    return None


def keep_checkpoint(run: Path, saved: Path) -> None:
    """Put a checkpoint that was saved in `saving`'s folder under its name, and remove all but the newest `KEPT_CHECKPOINTS`."""
    _write_digests(saved)
    _rename(saved, run / saved.name)
    _clear(run)
    for old in _checkpoints(run)[:-KEPT_CHECKPOINTS]:
        if _foreign(old) is None:  # the next call of the run reports foreign files
            shutil.rmtree(old)


def _write_digests(saved: Path) -> None:
    """Write the SHA-256 of each file that was saved to ``whole.json``."""
    _sync(saved)
    files = sorted(path for path in saved.rglob("*") if path.is_file())
    write_json(saved / WHOLE, {path.relative_to(saved).as_posix(): file_sha256(path) for path in files})


def check_saved(folder: Path, digests: Mapping[str, str]) -> None:
    """`UserError` if a run's model has changed since it was saved. ``digests`` are the present SHA-256 of its files, by name.

    A model without ``whole.json``, such as a shipped one, is not checked.
    """
    if not (folder / WHOLE).exists():
        return
    stated = _saved_digests(folder)
    if stated is None:
        raise UserError(f"{folder / WHOLE}: cannot be read; without this file, the model is taken as it is")
    gone = [name for name in stated if not (folder / name).is_file()]
    changed = [name for name, digest in digests.items() if stated.get(name) != digest]
    if gone or changed:
        what = f"{plain(gone[0])} is missing" if gone else f"{changed[0]} is not as it was saved"
        raise UserError(
            f"{folder}: {what}, by {WHOLE}: the model is damaged. Put it back from a copy; if you changed it yourself, remove {WHOLE}"
        )


def keep_best(run: Path, saved: Path, facts: dict[str, Any]) -> None:
    """Make a saved model the run's best, with its step and validation loss (``facts``) in ``best.json``."""
    write_json(saved / _FACTS, facts)
    _write_digests(saved)
    _rename(saved, run / BEST)


def best_loss(run: Path) -> float:
    """The validation loss of the best model so far, infinite if there is none."""
    path = run / BEST / _FACTS
    try:
        return read_declared(path, Best).eval_loss if path.exists() else float("inf")
    except UserError as error:
        raise UserError(f"{error}; remove {path.parent} to have the best model found anew") from None


def keep_final(run: Path, saved: Path) -> None:
    """Put the finished model into the run folder. ``config.json``, by which it is found, is removed first and written last.

    If the process is killed in between, the last checkpoint remains, to predict with and to finish again from.
    `UserError`, before anything changes, if a file of the same name is not a run's.
    """
    _write_digests(saved)
    names, written = sorted((path.name for path in saved.iterdir()), key=lambda name: name == CONFIG_FILE), _written(run)
    written.refuse_strangers(names)
    written.begin(dict.fromkeys(names, ""))
    (run / CONFIG_FILE).unlink(missing_ok=True)
    sync_folder(run)
    for name in names:
        written.put(saved / name, name)
    sync_folder(run)
    _clear(run)


def keep_log(run: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write all rows of the log into the run folder. `UserError` if a file of that name is not a run's."""
    written = _written(run)
    written.refuse_strangers((LOG,))
    written.write({LOG: "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()})


def _rename(saved: Path, target: Path) -> None:
    """Give a saved folder its final name once all its files are on the disk."""
    _sync(saved)
    old = saved.with_name(_ASIDE)
    if target.exists():  # moved, then removed, so that a kill leaves no part of it under its name
        target.rename(old)
    saved.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Flush all files in a folder to the disk, and remove transformers' training arguments, which are a pickle."""
    (folder / "training_args.bin").unlink(missing_ok=True)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    sync_folder(folder)
