"""The warm Blender process that makes files out of scenes, from outside: `blender_scenes.exporter` is its inside."""

from __future__ import annotations

from typing import Any

from datagen.errors import UserError
from datagen.io.child import Child, module_command
from datagen.workers.jobs import EXPORT_SECONDS, RenderJob
from datagen.workers.process import START_SECONDS

MODULE = "blender_scenes.exporter"


class _Failed(Exception):
    """Blender failed, or the process ended; the message is the reason."""


class Exporter:
    """Asks a process to write files; it is started at the first request, and stays for later ones."""

    def __init__(self) -> None:
        self._child: Child | None = None

    def write(self, job: RenderJob) -> None:
        """Write the job's files. `UserError` if one of them cannot be made of its scene, RuntimeError if Blender fails."""
        self.ask(job.request(), EXPORT_SECONDS * len(job.also))

    def ask(self, request: dict[str, Any], seconds: float) -> None:
        """Have a request answered within so many seconds; errors as `write`.

        What fails in a process that has answered before is tried once more in a new one: an outside domain's builder may have kept data of
        Blender's that were gone with the scene before.
        """
        tries = 1 if self._child is None else 2
        for left in reversed(range(tries)):
            try:
                self._ask(request, seconds)
                return
            except _Failed as error:
                self.close()
                if not left:
                    raise RuntimeError(str(error)) from None

    def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    def _ask(self, request: dict[str, Any], seconds: float) -> None:
        try:
            if self._child is None:
                self._child = Child(module_command(MODULE))
                self._child.answer(START_SECONDS)
            self._child.ask(request)
            answer = self._child.answer(seconds)
        except (EOFError, TimeoutError) as error:
            why = "says nothing any more" if isinstance(error, TimeoutError) else "has ended"
            last = self._child.tail().splitlines()[-1:] if self._child else []
            raise _Failed(f"the process that writes files {why}: {' '.join(last)}") from None
        if "error" in answer:
            raise UserError(answer["error"])
        if "failed" in answer:
            raise _Failed(answer["failed"])
