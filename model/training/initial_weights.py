"""Initial weights of a training from another run, such as a pretraining or an alignment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from datagen.errors import UserError
from datagen.io.files import file_sha256
from model.config import dialect_of
from model.extent import shapes_in
from model.igllm import IGLLM
from model.load import check_config, file_digests
from model.run_folder import check_saved
from model.staging import WEIGHTS_FILE
from model.state_dict import first_not_finite
from model.tables import reason


def load_initial_weights(model: IGLLM, folder: Path) -> None:
    """Load the weights in another run's folder into a model; `UserError` if they do not fit or have no projector among them.

    If that run wrote another dialect of the domain, only tower and projector are loaded: the other parts have learnt other
    words and numbers.
    """
    config = check_config(folder)
    check_saved(folder, file_digests(folder))
    try:
        shapes_in(folder / WEIGHTS_FILE)  # refuses a damaged header before memory is allocated
        weights = load_file(folder / WEIGHTS_FILE)
        if (wrong := first_not_finite(weights)) is not None:
            raise UserError(f"its weights hold {wrong}, which is not finite")
        if _has_other_dialect(model, config):
            weights = {name: value for name, value in weights.items() if name.startswith(("tower.", "projector."))}
        model.load_weights(weights)
    except Exception as error:  # a damaged file may raise anything
        raise UserError(f"--init {folder}: {reason(error)}; give the same preset, parts and settings as that run had") from None
    if "projector.weight" not in weights:
        raise UserError(f"--init {folder}: has no projector; the model is damaged")


def _has_other_dialect(model: IGLLM, config: Mapping[str, Any]) -> bool:
    """Whether a configuration is of the model's domain but writes another dialect of its code."""
    now, then = dialect_of(model.config), dialect_of(config)
    return now.name == then.name and (now.statements, now.header) != (then.statements, then.header)


def weights_digest(folder: Path) -> str:
    """The SHA-256 of the weights in a run's folder, by which a later call recognises them. `UserError` if they cannot be read."""
    try:
        return file_sha256(folder / WEIGHTS_FILE)
    except OSError as error:
        raise UserError(f"--init {folder}: {WEIGHTS_FILE} cannot be read ({error.strerror or error})") from None
