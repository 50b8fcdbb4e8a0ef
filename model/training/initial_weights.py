"""Training that begins with the weights of another run, such as a pretraining's or an alignment's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from datagen.domains.dialects import dialect
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.files import file_sha256
from model.extent import shapes_in
from model.igllm import IGLLM
from model.load import check_config, file_digests
from model.run_folder import check_saved
from model.staging import WEIGHTS_FILE
from model.state_dict import first_not_finite
from model.tables import reason


def load_initial_weights(model: IGLLM, folder: Path) -> None:
    """Give a model the weights in another run's folder; `UserError` if they do not fit or there is no projector among them.

    Of a run that wrote the domain's rotations in another way, only tower and projector are loaded: all else knows other words and numbers.
    """
    config = check_config(folder)
    check_saved(folder, file_digests(folder))
    try:
        shapes_in(folder / WEIGHTS_FILE)  # refuses a damaged header before memory is taken
        weights = load_file(folder / WEIGHTS_FILE)
        if (wrong := first_not_finite(weights)) is not None:
            raise UserError(f"its weights hold {wrong}, which is not finite")
        if _has_other_rotations(model, config):
            weights = {name: value for name, value in weights.items() if name.startswith(("tower.", "projector."))}
        model.load_weights(weights)
    except Exception as error:  # of a file that is not what its name says
        raise UserError(f"--init {folder}: {reason(error)}; give the same preset, parts and settings as that run had") from None
    if "projector.weight" not in weights:
        raise UserError(f"--init {folder}: has no projector; the model is damaged")


def _has_other_rotations(model: IGLLM, config: Mapping[str, Any]) -> bool:
    """Whether a configuration is of the model's domain, and writes its rotations in another way."""
    domain = get_domain(model.config.domain)
    now, then = (dialect(domain, name).statements for name in (model.config.rotations, config.get("rotations", "own")))
    return config["domain"] == domain.name and now != then


def weights_digest(folder: Path) -> str:
    """The SHA-256 of the weights in a run's folder, by which a later call knows them again."""
    try:
        return file_sha256(folder / WEIGHTS_FILE)
    except OSError as error:
        raise UserError(f"--init {folder}: {WEIGHTS_FILE} cannot be read ({error.strerror or error})") from None
