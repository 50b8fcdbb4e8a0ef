"""The choice of the device that a model runs on."""

from __future__ import annotations

import time
from statistics import median

import torch

from datagen.errors import UserError


def pick_device(device: str) -> torch.device:
    """The device of that name; ``auto`` picks a GPU if there is one, else the CPU. `UserError` for a device that is not available."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device}: not to be had here ({str(error).splitlines()[0]})") from None


def faster_in_bfloat16(device: torch.device) -> bool:
    """Whether a convolution on the device is at least a tenth faster in bfloat16 than in float32, by a trial of a fraction of a second.

    A processor's feature flags do not suffice: some have the instructions and are slower with them.
    """
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        images = torch.zeros(8, 96, 32, 40, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        kernels = torch.zeros(96, 96, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            torch.nn.functional.conv2d(images, kernels).sum().item()  # item() waits for the device
            times.append(time.perf_counter() - begin)
        seconds[dtype] = median(times)
    return seconds[torch.bfloat16] < 0.9 * seconds[torch.float32]
