"""Reads from a checkpoint's files how its tower's images are normalised; unsupported preprocessing is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from datagen.errors import UserError
from datagen.io.declared import as_declared
from model.declared import StatedPreprocessor
from model.staging import read_object

PREPROCESSOR_FILE, PROCESSOR_FILE = "preprocessor_config.json", "processor_config.json"
PREPROCESSOR_FILES = (PREPROCESSOR_FILE, PROCESSOR_FILE)

Statistics = tuple[list[float], list[float]]


def read_statistics(folder: Path) -> Statistics | None:
    """Mean and standard deviation per channel that a tower's images are normalised with; None if no file states them.

    `UserError`, naming file and field, for a file that is damaged, or prepares images in another way than `model.data.frames`.
    """
    found = _stated(folder)
    if found is None:
        return None
    where, content = found
    return statistics_in(content, where)


def statistics_in(content: Any, where: str) -> Statistics:
    """Mean and standard deviation in the content of a preprocessor's file, called `where`; `UserError` as from `read_statistics`."""
    stated = as_declared(content, StatedPreprocessor, f"{where}: damaged")
    if stated.do_rescale is False or (stated.rescale_factor is not None and not math.isclose(stated.rescale_factor, 1 / 255, rel_tol=1e-3)):
        raise UserError(f"{where}: its tower takes values that are not in [0, 1] before they are normalised, and no such one can be used")
    if stated.do_normalize is False:
        return [0.0] * 3, [1.0] * 3
    if stated.image_mean is None or stated.image_std is None:
        missing = "image_mean" if stated.image_mean is None else "image_std"
        raise UserError(f"{where}: {missing} is missing; the file must state image_mean and image_std, or that do_normalize is false")
    return list(stated.image_mean), list(stated.image_std)


def _stated(folder: Path) -> tuple[str, Any] | None:
    """The file, or part of it, that describes image processing, and its content; newer checkpoints have one file for images and texts."""
    if (folder / PROCESSOR_FILE).exists():
        content = read_object(folder / PROCESSOR_FILE)
        if "image_processor" in content:
            return f"{folder / PROCESSOR_FILE}: image_processor", content["image_processor"]
    if (folder / PREPROCESSOR_FILE).exists():
        return str(folder / PREPROCESSOR_FILE), read_object(folder / PREPROCESSOR_FILE)
    return None
