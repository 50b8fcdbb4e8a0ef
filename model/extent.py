"""Compares the size of the model that a configuration describes with its weight files, before memory is allocated for it."""

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
from transformers import pytorch_utils

from datagen.errors import UserError
from model.staging import INDEX_FILE, WEIGHTS_FILE, index_of, plain, weight_files
from model.tables import reason

Shapes = dict[str, tuple[int, ...]]
MOST_TENSORS = 20_000  # of a model without weight files to count; the largest published models have thousands
MOST_AT_ONCE = 2**27  # numbers in a layer's output for a batch of images
_MOST_OF_AN_IMAGE = 2**26  # the same of one image, as several are held at a time; ResNet-50 has as many at 2048 x 2048 pixels
_SPARE_NUMBERS = 2**24  # beyond those in the files: tied tensors, and unsaved ones such as masks and position indices
_SPARE_TENSORS = 1000
_FLOATS = ("F64", "F32", "F16", "BF16")
_COUNTERS = re.compile(r"(^|\.)(position_ids|num_batches_tracked|relative_position_index|attention\.bias|attn\.bias)$")
"""Names of integer and boolean tensors that are not weights: batch counters, position indices, attention masks."""


@dataclass(frozen=True)
class Extent:
    """A bound on a model's size: ``numbers`` in ``tensors`` at most; ``description`` explains the bound in messages."""

    numbers: int
    tensors: int
    description: str

    @staticmethod
    def of(shapes: Mapping[str, tuple[int, ...]], name: str) -> Extent:
        """The bound on a model whose weight files, called ``name`` in messages, hold tensors of these shapes."""
        held = sum(map(math.prod, shapes.values()))
        # Files hold tied tensors once, and may join or split tensors differently.
        return Extent(2 * held + _SPARE_NUMBERS, 4 * len(shapes) + _SPARE_TENSORS, f"{name} holds {held:,} in {len(shapes):,} tensors")

    @staticmethod
    def of_memory() -> Extent:
        """The bound given by this machine's memory, at 4 bytes a number."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Extent(memory // 4, MOST_TENSORS, f"this machine's memory holds {memory // 4:,}, in at most {MOST_TENSORS:,} tensors")

    @staticmethod
    def none() -> Extent:
        """The bound of an absent part."""
        return Extent(0, 0, "")

    def __add__(self, other: Extent) -> Extent:
        """The bound on a model whose parts have these two bounds."""
        description = " and ".join(filter(None, (self.description, other.description)))
        return Extent(self.numbers + other.numbers, self.tensors + other.tensors, description)


def shapes_in(path: Path) -> Shapes:
    """The shapes of all tensors in a safetensors file, by name. Reads the header alone.

    `UserError` for a file that is incomplete or not in this format, and for weights of other number formats than `_FLOATS`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            held = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            kinds = {name: str(tensor.get_dtype()) for name, tensor in held.items()}
            shapes = {name: tuple(tensor.get_shape()) for name, tensor in held.items()}
    except Exception as error:  # of any kind: the file may hold anything
        raise UserError(f"{path}: damaged ({reason(error)})") from None
    for name, kind in kinds.items():
        if kind not in _FLOATS and not _COUNTERS.search(name):
            raise UserError(f"{path}: {plain(name)} is of {plain(kind)} numbers; weights are read of {', '.join(_FLOATS)} alone")
    return shapes


def shapes_of(folder: Path) -> Shapes:
    """The shapes of the weights of the model in a folder; empty if it has none.

    `UserError` as from `shapes_in`, and for files whose tensors are not exactly those that the index lists.
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
    """Build models on the meta device, without memory; `UserError`, beginning with `source`, once tensors or modules exceed the extent."""
    numbers = tensors = 0
    modules: set[nn.Module] = set()

    def count(tensor: torch.Tensor) -> None:
        nonlocal numbers, tensors
        # In units of 4 bytes, so that a boolean mask counts a quarter.
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
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):  # for example about empty tensors
            yield
            for module in modules:  # modules may hold tensors that they do not register
                for held in vars(module).values():
                    if isinstance(held, torch.Tensor):
                        count(held)
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def without_memory() -> Iterator[None]:
    """Pass images through models on the meta device, where nothing is computed.

    Functions of transformers that remember what they made for a size of images (BEiT's positions) remember nothing of it: a later pass, in
    which images are read, would be given tensors without content, and compute with whatever is in memory.
    """
    caching = pytorch_utils.is_torchdynamo_compiling
    pytorch_utils.is_torchdynamo_compiling = lambda: True
    try:
        with torch.device("meta"), torch.no_grad():
            yield
    finally:
        pytorch_utils.is_torchdynamo_compiling = caching


def numbers_of_an_image(encode: Callable[[torch.Tensor], Any], frame: tuple[int, int], source: str) -> int:
    """The size of the largest layer output for one image; `encode` is the part of a model, on the meta device, that reads images.

    `UserError`, beginning with `source`, if it exceeds `_MOST_OF_AN_IMAGE`.
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
        with without_memory():
            encode(torch.zeros(1, 3, *frame))
    finally:
        hook.remove()
    return most


def check_shapes(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """`UserError` if a tensor has another shape in the folder's weight files (``shapes``) than in the model."""
    for name, value in model.state_dict().items():
        if name in shapes and tuple(value.shape) != shapes[name]:
            described, held = in_words(value.shape), in_words(shapes[name])
            raise UserError(f"{folder}: config.json describes {name} as {described}, but the weights' file holds {held}")


def in_words(shape: Sequence[int]) -> str:
    """A tensor's shape as text for messages."""
    return " x ".join(f"{side:,}" for side in shape) or "one number"
