"""What a process that Blender runs in owes to the one that started it: to end with it, and to say nothing but answers."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def leave_interrupts() -> None:
    """Ctrl-C is the parent's to handle. Importing bpy installs a handler of its own: say it again after that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends: a Blender that hangs never comes to see that its input has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def claim_stdout() -> BinaryIO:
    """A private stream to standard output, which itself is pointed at standard error: Blender prints to it at will."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")
