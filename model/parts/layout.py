"""How a vision model lays out what it gives of an image: one is passed through it on the meta device, where nothing is computed."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from datagen.errors import UserError
from datagen.io.ranges import counted
from model.extent import without_memory
from model.tables import reason

Size = tuple[int, int]
"""Rows and columns of a map, or height and width in pixels."""

USABLE = (
    "towers that can be used are those that give a token for each patch of an image (Swin, CLIP, SigLIP, DINOv2, ViT and their like) "
    "or one map of it (ConvNeXt, MobileNet, EfficientNet, ResNet, RegNet and their like)"
)
_INTERPOLATED = "interpolate_pos_encoding"  # the argument with which transformers fits position embeddings to another frame


@dataclass(frozen=True)
class Layout:
    """What a vision model gives of an image: ``rows`` x ``columns`` places in reading order, ``channels`` numbers for each.

    ``states`` is the number of hidden states if all are alike, as those of a transformer with patches of one size are: any of them can be
    read. It is None for a model whose last output is read, a map or the tokens of the last stage. ``before`` is the number of tokens before
    those of the places (class tokens, registers). ``channels_last`` is of a map. ``grouped`` is whether some convolution computes a few
    channels from a few. ``options`` are the arguments that the model needs for an image of this size. ``whole`` is the height and width,
    nearest to the image's, of which the model sees every pixel.
    """

    rows: int
    columns: int
    channels: int
    states: int | None
    before: int
    channels_last: bool
    grouped: bool
    options: Mapping[str, bool]
    whole: Size

    def run(self, encoder: Any, pixels: torch.Tensor) -> Any:
        """What the model gives of images (batch, 3, height, width)."""
        if self.states is not None:
            return encoder(pixels, output_hidden_states=True, **self.options)
        # Channels last in memory: the same convolutions, faster on a CPU (benchmarks/tower_layout.py). But the gradients of grouped ones
        # (RegNet's) are then written beyond their memory, which ends the process: torch 2.13 with oneDNN.
        if not (self.grouped and torch.is_grad_enabled()):
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return encoder(pixels, **self.options)

    def places(self, made: Any, layer: int) -> torch.Tensor:
        """(batch, rows * columns, channels) of what the model has given; `layer` is the hidden state to read, if they are alike."""
        read = _end(made) if self.states is None else made.hidden_states[layer]
        if read.ndim == 3:
            return read[:, self.before :]
        return read.flatten(1, 2) if self.channels_last else read.flatten(2).transpose(1, 2)


def layout_of(encoder: Any, frame: Size) -> Layout:
    """The layout of a model on the meta device, for images of this height and width.

    `UserError` for a model that takes more than pixels, cannot take such an image, or gives neither one map of it nor a token for each
    patch.
    """
    _check_arguments(encoder)
    made, options, convolutions = _passed(encoder, frame)
    maps = list(dict.fromkeys(each.after for each in convolutions if each.after is not None))
    end: Any = _end(made)
    states: Any = getattr(made, "hidden_states", None)
    if not _is_laid_out(end):
        raise UserError(f"of an image of {_by(frame)} pixels it gives no last_hidden_state that is a map or a row of tokens; {USABLE}")
    if states is None and end.ndim == 3:  # such as the queries of a detector
        raise UserError(f"of an image of {_by(frame)} pixels it gives {_described(end)}; {USABLE}")
    staged = end.ndim == 4 or not _are_alike(states)
    read = states[0] if states and not staged else end
    places = _places(read, maps, staged)
    if places is None:
        raise UserError(f"of an image of {_by(frame)} pixels it gives {_described(end)}; {USABLE}")
    (rows, columns), channels_last = places
    if not rows * columns:
        raise UserError(_too_small(frame))
    tokens = read.ndim == 3
    on_the_way = [each for each in convolutions if each.after is not None and each.after[0] >= rows and each.after[1] >= columns]
    return Layout(
        rows,
        columns,
        read.shape[-1] if tokens or channels_last else read.shape[1],
        states=None if staged else max(1, len(states)),  # a transformer without layers may list none
        before=read.shape[1] - rows * columns if tokens else 0,
        channels_last=channels_last,
        grouped=any(1 < each.module.groups < each.channels for each in convolutions),
        options=options,
        whole=(_whole(frame[0], rows, on_the_way, 0), _whole(frame[1], columns, on_the_way, 1)),
    )


@dataclass
class _Convolution:
    """A convolution that ran, with the sizes of its input and its output."""

    module: nn.Conv2d
    channels: int
    before: Size
    after: Size | None = None

    def fault(self, frame: Size) -> str | None:
        """Why it could not run, in words; None if it could."""
        module, pads = self.module, (0, 0) if isinstance(self.module.padding, str) else self.module.padding
        if self.after is None and self.channels != module.in_channels:
            return f"the tower takes images of {counted(module.in_channels, 'channel')}, and these have {self.channels} channels"
        if any(side + 2 * pad < kernel for side, pad, kernel in zip(self.before, pads, module.kernel_size, strict=True)):
            return _too_small(frame)
        return None

    def seen(self, axis: int) -> Fraction | None:
        """The share of the input, along an axis, that some kernel covers; None if the kernels do not go over all of it in strides."""
        module, side = self.module, self.before[axis]
        kernel, stride = module.kernel_size[axis], module.stride[axis]
        if self.after is None or isinstance(module.padding, str) or not kernel >= stride > 1:
            return None
        covered = (self.after[axis] - 1) * stride + (kernel - 1) * module.dilation[axis] + 1 - module.padding[axis]
        return Fraction(min(covered, side), side)


def _passed(encoder: Any, frame: Size) -> tuple[Any, dict[str, bool], list[_Convolution]]:
    """What the model gives of an image of this size, the arguments that it needs for it, and its convolutions in their order.

    Without further arguments if that works; `UserError` if nothing does.
    """
    resized = [{_INTERPOLATED: True}] if _INTERPOLATED in inspect.signature(encoder.forward).parameters else []
    error: Exception | None = None
    for hidden in ({"output_hidden_states": True}, {}):  # some models have no hidden states to give
        for options in ({}, *resized):
            convolutions: list[_Convolution] = []
            try:
                with _recording(encoder, convolutions), without_memory():
                    return encoder(torch.zeros(1, 3, *frame, dtype=encoder.dtype), **hidden, **options), options, convolutions
            except Exception as raised:  # of any kind: the model may be anything
                if convolutions and (fault := convolutions[-1].fault(frame)) is not None:
                    raise UserError(fault) from None
                error = raised
    assert error is not None
    raise UserError(f"the tower cannot take a frame of {_by(frame)} pixels ({reason(error)})")


@contextmanager
def _recording(encoder: nn.Module, convolutions: list[_Convolution]) -> Iterator[None]:
    """Record the convolutions that a model runs, and have it in evaluation mode meanwhile."""

    def begin(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, nn.Conv2d)
        convolutions.append(_Convolution(module, inputs[0].shape[-3], _sides(inputs[0])))

    def end(_: nn.Module, __: Any, made: torch.Tensor) -> None:
        convolutions[-1].after = _sides(made)

    found = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    hooks = [hook for module in found for hook in (module.register_forward_pre_hook(begin), module.register_forward_hook(end))]
    training = encoder.training
    try:
        encoder.eval()
        yield
    finally:
        encoder.train(training)
        for hook in hooks:
            hook.remove()


def _sides(tensor: torch.Tensor) -> Size:
    return tensor.shape[-2], tensor.shape[-1]


def _check_arguments(encoder: Any) -> None:
    """`UserError` for a model that takes more than the pixels of an image."""
    _, *further = inspect.signature(encoder.forward).parameters.values()
    needed = [each.name for each in further if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if needed:
        flexible = "spatial_shapes" in needed
        instead = "; of SigLIP 2, the checkpoints of one resolution can be used, those of any (NaFlex) cannot" if flexible else ""
        raise UserError(
            f"it takes more than the pixels of an image ({', '.join(needed)}), and a tower is given these alone{instead}; {USABLE}"
        )


def _end(made: Any) -> Any:
    """The last output of a model; of a backbone, which has feature maps alone, the last of these."""
    maps = getattr(made, "feature_maps", None) or [None]
    return getattr(made, "last_hidden_state", maps[-1])


def _is_laid_out(made: Any) -> bool:
    """Whether an output may be a map or tokens: (1, channels, rows, columns), (1, rows, columns, channels) or (1, tokens, channels)."""
    return isinstance(made, torch.Tensor) and made.ndim in (3, 4)


def _are_alike(states: Any) -> bool:
    """Whether a model lists hidden states, and all have one shape."""
    return states is not None and all(_is_laid_out(state) and state.shape == states[0].shape for state in states)


def _places(read: torch.Tensor, maps: list[Size], staged: bool) -> tuple[Size, bool] | None:
    """Rows and columns of an output, and whether it is a map with channels last; None if it is no map and no tokens of one.

    An output has the size of a map that a convolution has made or, if the model merges patches from stage to stage (``staged``), half of
    it, a quarter and so on. Tokens may be more than the places: those of patches are the last.
    """
    halved = list(_halved(maps)) if staged else maps
    if read.ndim == 4:  # a cube is taken for a map with channels first
        first, last = (read.shape[2], read.shape[3]), (read.shape[1], read.shape[2])
        return (first, False) if first in halved else (last, True) if last in halved else None
    tokens = read.shape[1]
    exact = [size for size in halved if size[0] * size[1] == tokens]
    fewer = [size for size in maps if size[0] * size[1] <= tokens]
    return (exact[0], False) if exact else (max(fewer, key=lambda size: size[0] * size[1]), False) if fewer else None


def _halved(maps: Iterable[Size]) -> Iterator[Size]:
    """The sizes, and those that merging 2 x 2 places makes of them, again and again; odd ones are padded."""
    for rows, columns in maps:
        size = (rows, columns)
        yield size
        while max(size) > 1:
            size = (-(-size[0] // 2), -(-size[1] // 2))
            yield size


def _whole(pixels: int, places: int, convolutions: Iterable[_Convolution], axis: int) -> int:
    """The number of pixels nearest to `pixels`, along an axis, of which the model sees each; patches of 14 see 238 of 240 pixels."""
    seen: dict[int, Fraction] = {}  # by the size of the input: what one of several convolutions sees of it is not lost
    for each in convolutions:
        if (share := each.seen(axis)) is not None:
            seen[each.before[axis]] = max(seen.get(each.before[axis], share), share)
    covered = Fraction(pixels)
    for share in seen.values():
        covered *= share
    step = covered / places
    if covered == pixels or step.denominator != 1:
        return pixels
    return int(step) * max(1, round(pixels / step))


def _too_small(frame: Size) -> str:
    return f"the tower's patches are larger than its frame of {_by(frame)} pixels"


def _described(end: torch.Tensor) -> str:
    """What a model gives, in words."""
    if end.ndim == 3:
        return f"{end.shape[1]} tokens of {end.shape[2]} numbers, which are not one for each place of a map"
    return f"{_by(end.shape[1:])} numbers, which are no map"


def _by(sides: Iterable[int]) -> str:
    return " x ".join(map(str, sides))
