"""Set-up of a process with Blender: it ends with its parent, leaves Ctrl-C to it, and writes only answers to standard output."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def leave_interrupts() -> None:
    """Ignore Ctrl-C, which the parent handles. Call this again after importing bpy, which installs a handler of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends: a Blender that hangs never notices the end of its input."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def claim_stdout() -> BinaryIO:
    """A private stream to standard output. File descriptor 1 now leads to standard error, because Blender prints to it."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")
