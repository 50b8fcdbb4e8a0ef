"""The GPUs that Cycles can render on. ``python -P -m blender_scenes.devices`` answers ``[[TYPE, ID, NAME], ...]``, as
`datagen.io.child` says."""

from __future__ import annotations

import sys
from typing import Any

import bpy

from blender_scenes.fresh import start_empty
from blender_scenes.parent import claim_stdout
from datagen.io.child import send_answer

TYPES = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")
"""Best first: a card that OptiX drives is known to CUDA too."""


def find_gpus() -> list[tuple[str, str, str]]:
    """Type, id and name of every GPU, each once, by the best type that Cycles was built with and the driver supports."""
    preferences = _preferences()
    for kind in TYPES:
        found = [(kind, str(device.id), str(device.name)) for device in _devices(preferences, kind)]
        if found:
            return found
    return []


def enable_gpu(kind: str, identity: str) -> None:
    """Have Cycles render on this one device. Raises ValueError if it is not there."""
    preferences = _preferences()
    if identity not in [str(device.id) for device in _devices(preferences, kind)]:
        raise ValueError(f"Cycles finds no {kind} device {identity!r}")
    preferences.compute_device_type = kind
    for device in preferences.devices:
        device.use = device.type == kind and str(device.id) == identity


def _preferences() -> Any:
    return bpy.context.preferences.addons["cycles"].preferences


def _devices(preferences: Any, kind: str) -> list[Any]:
    """Cycles' devices of one type; none where this Blender was built without it."""
    if kind not in (item[0] for item in preferences.get_device_types(bpy.context)):
        return []
    return [device for device in preferences.get_devices_for_type(kind) if device.type == kind]


if __name__ == "__main__":
    with claim_stdout() as out:
        start_empty()
        send_answer(out, find_gpus())
    sys.exit(0)
