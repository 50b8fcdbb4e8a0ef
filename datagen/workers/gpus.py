"""The GPUs of this machine that Blender can render on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from datagen.errors import UserError

DEVICES = "blender_scenes.devices"
_PROBE_SECONDS = 180.0  # a graphics driver's first look at its devices may take a minute
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dri")


@dataclass(frozen=True)
class Gpu:
    """A device as Cycles knows it: ``kind`` (OPTIX, CUDA, HIP, METAL, ONEAPI), ``identity`` and ``name``."""

    kind: str
    identity: str
    name: str


def choose_gpus(device: str) -> list[Gpu]:
    """The GPUs to render on for ``cpu`` (none), ``gpu`` (`UserError` if there is none) or ``auto`` (those there are)."""
    found = [] if device == "cpu" else find_gpus()
    if device == "gpu" and not found:
        raise UserError("Blender finds no GPU that it can render on here; `igllm doctor` lists its devices")
    return found


def find_gpus() -> list[Gpu]:
    """The GPUs that Cycles finds, listed by Blender in a separate process; none, without starting it, if no driver is loaded."""
    if sys.platform != "darwin" and not any(Path(driver).exists() for driver in _DRIVERS):
        return []
    try:
        answer = subprocess.run([sys.executable, "-P", "-m", DEVICES], capture_output=True, check=True, timeout=_PROBE_SECONDS)
        return [Gpu(*device) for device in json.loads(answer.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return []  # a GPU whose driver crashes Blender cannot be used
