"""How large a model is, compared with what its weights' files hold before any memory is taken for it."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from datagen.errors import UserError
from model.staging import INDEX_FILE, WEIGHTS_FILE, index_of, plain, weight_files
from model.tables import reason

Shapes = dict[str, tuple[int, ...]]
MOST_TENSORS = 20_000  # of a model whose weights are not there to be counted; the largest that are published have thousands
MOST_AT_ONCE = 2**27  # numbers that a layer makes of a batch of images
_MOST_OF_AN_IMAGE = 2**26  # of which several layers' are held at a time; ResNet-50 makes so many of 2048 x 2048 pixels
_SPARE_NUMBERS = 2**24  # beyond what is in the files: what is tied, and what is not saved, such as masks and the places of tokens
_SPARE_TENSORS = 1000
_FLOATS = ("F64", "F32", "F16", "BF16")
_COUNTERS = re.compile(r"(^|\.)(position_ids|num_batches_tracked|relative_position_index|attention\.bias|attn\.bias)$")
"""Tensors of whole numbers and truth values, which are no weights: what batches were counted, where tokens stand, which see which."""


@dataclass(frozen=True)
class Extent:
    """At most so many numbers in so many tensors, and in words what has them."""

    numbers: int
    tensors: int
    description: str

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
        description = " and ".join(filter(None, (self.description, other.description)))
        return Extent(self.numbers + other.numbers, self.tensors + other.tensors, description)


def shapes_in(path: Path) -> Shapes:
    """The shapes of all tensors in a safetensors file, by name. Reads the header alone.

    `UserError` for a file that is none, or not whole, and for weights that are no floating-point numbers, which would be rounded.
    """
    try:
        with safe_open(path, framework="pt") as file:
            held = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            kinds = {name: str(tensor.get_dtype()) for name, tensor in held.items()}
            shapes = {name: tuple(tensor.get_shape()) for name, tensor in held.items()}
    except Exception as error:  # whatever is in it
        raise UserError(f"{path}: damaged ({reason(error)})") from None
    for name, kind in kinds.items():
        if kind not in _FLOATS and not _COUNTERS.search(name):
            raise UserError(f"{path}: {plain(name)} is of {plain(kind)} numbers; weights are read of {', '.join(_FLOATS)} alone")
    return shapes


def shapes_of(folder: Path) -> Shapes:
    """The shapes of the weights of the model in a folder; empty if it has none.

    `UserError` as `shapes_in` raises it, and for files that do not hold what the index says, no more and no less.
    """
    files = weight_files(folder)
    held = {path.name: shapes_in(path) for path in files}
    if [*held] == [WEIGHTS_FILE]:
        return held[WEIGHTS_FILE]
    named = index_of(folder) if files else {}
    for weight, name in named.items():
        if weight not in held[name]:
            raise UserError(
                f"{folder / INDEX_FILE}: says that {plain(weight)} is in {name}, which does not hold it; they do not belong together"
            )
    for name, shapes in held.items():
        other = next((weight for weight in shapes if named.get(weight) != name), None)
        if other is not None:
            raise UserError(f"{folder / name}: holds {plain(other)}, which {INDEX_FILE} does not say; they do not belong together")
    return {weight: held[name][weight] for weight, name in named.items()}


@contextmanager
def within(extent: Extent, source: str) -> Iterator[None]:
    """On the meta device, where models have no weights: `UserError`, which begins with `source`, as soon as what is made exceeds it."""
    numbers = tensors = 0
    modules: set[nn.Module] = set()

    def count(tensor: torch.Tensor) -> None:
        nonlocal numbers, tensors
        # A mask is no number a cell.
        numbers, tensors = numbers + math.ceil(tensor.numel() * tensor.element_size() / 4), tensors + 1
        if numbers > extent.numbers or tensors > extent.tensors:
            raise UserError(f"{source}: describes a model of at least {numbers:,} numbers in {tensors:,} tensors; {extent.description}")

    def count_registered(_: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        if tensor is not None:
            count(tensor)

    def count_module(module: nn.Module, name: str, part: nn.Module | None) -> None:
        modules.update(filter(None, (module, part)))
        if len(modules) > 20 * extent.tensors:
            raise UserError(f"{source}: describes a model of more than {len(modules):,} parts; {extent.description}")

    hooks = (
        register_module_parameter_registration_hook(count_registered),
        register_module_buffer_registration_hook(count_registered),
        register_module_module_registration_hook(count_module),
    )
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):  # of what has no numbers, say
            yield
            for module in modules:  # which may keep tensors that they do not register
                for held in vars(module).values():
                    if isinstance(held, torch.Tensor):
                        count(held)
    finally:
        for hook in hooks:
            hook.remove()


def numbers_of_an_image(encode: Callable[[torch.Tensor], Any], frame: tuple[int, int], source: str) -> int:
    """How many numbers the widest layer makes of one image: `encode` is the part of a model, on the meta device, that reads images.

    `UserError`, which begins with `source`, for more than may be.
    """
    most = 0

    def count(_: nn.Module, __: Any, made: Any) -> None:
        nonlocal most
        if isinstance(made, torch.Tensor):
            most = max(most, made.numel())
        if most > _MOST_OF_AN_IMAGE:
            raise UserError(f"{source}: makes {most:,} numbers of an image in one layer; at most {_MOST_OF_AN_IMAGE:,} are possible")

    hook = register_module_forward_hook(count)
    try:
        with torch.device("meta"), torch.no_grad():
            encode(torch.zeros(1, 3, *frame))
    finally:
        hook.remove()
    return most


def check_shapes(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """`UserError` if the files of the model in a folder hold a tensor in another shape than it has there."""
    for name, value in model.state_dict().items():
        if name in shapes and tuple(value.shape) != shapes[name]:
            described, held = in_words(value.shape), in_words(shapes[name])
            raise UserError(f"{folder}: config.json describes {name} as {described}, but the weights' file holds {held}")


def in_words(shape: Sequence[int]) -> str:
    """A tensor's shape, as messages have it."""
    return " x ".join(f"{side:,}" for side in shape) or "one number"
