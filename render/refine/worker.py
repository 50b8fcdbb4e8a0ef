"""A process that refines predictions, one after the other, with a Blender process of its own. See `render.refine.run`.

``python -P -m render.refine.worker`` answers each request, a line ``{"size": N}`` and a task of so many bytes (MessagePack), with a line
``{"size": N}`` and the outcome, or with ``{"hopeless": MESSAGE}`` if no task can be carried out. It ends with its input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable

import msgspec

from datagen.errors import Hopeless
from datagen.io.child import send_answer
from render.refine.frames import OwnFrames
from render.refine.task import Task, carry_out


def main() -> None:
    """Answer requests until there are no more, or until the process that asks is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the parent heeds
    orphaned = _orphaned()
    with OwnFrames() as frames:
        for line in sys.stdin.buffer:
            task = msgspec.msgpack.decode(sys.stdin.buffer.read(json.loads(line)["size"]), type=Task)
            try:
                outcome = msgspec.msgpack.encode(carry_out(task, frames, orphaned))
            except Hopeless as error:
                send_answer(sys.stdout.buffer, {"hopeless": str(error)})
                continue
            send_answer(sys.stdout.buffer, {"size": len(outcome)}, outcome)


def _orphaned() -> Callable[[], bool]:
    """A function that says whether the process that started this one is gone."""
    parent = os.getppid()
    return lambda: os.getppid() != parent


if __name__ == "__main__":
    main()
