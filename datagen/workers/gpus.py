"""The GPUs of this machine that Blender can render on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from datagen.errors import UserError
from datagen.io.child import last_answer, module_command

DEVICES = "blender_scenes.devices"
PROBE_SECONDS = 180.0  # a graphics driver's first look at its devices may take a minute
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dri")


@dataclass(frozen=True)
class Gpu:
    """A device as Cycles knows it: ``kind`` (OPTIX, CUDA, HIP, METAL, ONEAPI), ``identity`` and ``name``."""

    kind: str
    identity: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"


def named_gpus() -> list[Gpu]:
    """The GPUs to render on where a user asks for them; `UserError` if there is none."""
    found = find_gpus()
    if not found:
        raise UserError("Blender finds no GPU that it can render on here; `igllm doctor` lists its devices")
    return found


def find_gpus() -> list[Gpu]:
    """The GPUs that Cycles finds, listed by Blender in a separate process; none, without starting it, if no driver is loaded."""
    if sys.platform != "darwin" and not any(Path(driver).exists() for driver in _DRIVERS):
        return []
    try:
        probe = subprocess.run(module_command(DEVICES), capture_output=True, check=False, timeout=PROBE_SECONDS)
        return [Gpu(*device) for device in last_answer(probe.stdout) or []]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return []  # a GPU whose driver crashes Blender cannot be used
