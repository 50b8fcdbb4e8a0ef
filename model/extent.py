"""How large a model is, compared with what its weights' files hold before any memory is taken for it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook, register_module_parameter_registration_hook

from datagen.errors import UserError
from model.tables import reason

Shapes = dict[str, tuple[int, ...]]
MOST_TENSORS = 20_000  # of a model whose weights are not there to be counted; the largest that are published have thousands
_SPARE_NUMBERS = 2**22  # beyond what is in the files: what is tied, and what is not saved
_SPARE_TENSORS = 1000


@dataclass(frozen=True)
class Extent:
    """At most so many numbers in so many tensors, and in words what has them."""

    numbers: int
    tensors: int
    said: str

    @staticmethod
    def of(shapes: Mapping[str, tuple[int, ...]], name: str) -> Extent:
        """What a model may have whose weights' files, which messages call ``name``, hold tensors of these shapes."""
        held = sum(map(math.prod, shapes.values()))
        # Files hold tied tensors once, and in other portions than models do.
        return Extent(2 * held + _SPARE_NUMBERS, 4 * len(shapes) + _SPARE_TENSORS, f"{name} holds {held:,} in {len(shapes):,} tensors")

    @staticmethod
    def of_memory() -> Extent:
        """What this machine's memory holds."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Extent(memory // 4, MOST_TENSORS, f"this machine's memory holds {memory // 4:,}, in at most {MOST_TENSORS:,} tensors")

    @staticmethod
    def none() -> Extent:
        """Of nothing."""
        return Extent(0, 0, "")

    def __add__(self, other: Extent) -> Extent:
        """Of a model whose parts are held by both."""
        said = " and ".join(filter(None, (self.said, other.said)))
        return Extent(self.numbers + other.numbers, self.tensors + other.tensors, said)


def shapes_in(files: Iterable[Path]) -> Shapes:
    """The shapes of all tensors in safetensors files, by name; `UserError` for a file that is none, or not whole. Reads headers alone."""
    shapes: Shapes = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - it is no dict
        except Exception as error:  # whatever is in it
            raise UserError(f"{path}: damaged ({reason(error)})") from None
    return shapes


@contextmanager
def within(extent: Extent, source: str) -> Iterator[None]:
    """On the meta device, where models have no weights: `UserError`, which begins with `source`, as soon as what is made exceeds it."""
    numbers = tensors = modules = 0

    def count_parameter(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers, tensors
        if parameter is None:
            return
        numbers, tensors = numbers + parameter.numel(), tensors + 1
        if numbers > extent.numbers or tensors > extent.tensors:
            raise UserError(f"{source}: describes a model of at least {numbers:,} numbers in {tensors:,} tensors; {extent.said}")

    def count_module(*_: Any) -> None:
        nonlocal modules
        modules += 1
        if modules > 20 * extent.tensors:
            raise UserError(f"{source}: describes a model of more than {modules:,} parts; {extent.said}")

    hooks = (register_module_parameter_registration_hook(count_parameter), register_module_module_registration_hook(count_module))
    try:
        with torch.device("meta"):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def check_shapes(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """`UserError` if the files of the model in a folder hold a tensor in another shape than it has there."""
    for name, value in model.state_dict().items():
        if name in shapes and tuple(value.shape) != shapes[name]:
            described, held = (" x ".join(f"{side:,}" for side in sides) or "one number" for sides in (value.shape, shapes[name]))
            raise UserError(f"{folder}: config.json describes {name} as {described}, but the weights' file holds {held}")
