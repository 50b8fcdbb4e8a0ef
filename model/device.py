"""Where a model runs."""

from __future__ import annotations

import torch

from datagen.errors import UserError


def pick_device(device: str) -> torch.device:
    """``auto`` takes a GPU where there is one; `UserError` for a device that is not here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device}: not to be had here ({str(error).splitlines()[0]})") from None


def fast_bfloat16(device: torch.device) -> bool:
    """Whether arithmetic in bfloat16 is done by the hardware there, and not slowly imitated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return False
