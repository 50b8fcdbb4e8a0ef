"""A process that renders, from its start to its end. The protocol is documented in `blender_scenes/worker.py`."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from datagen.io.child import Child, module_command

WORKER = "blender_scenes.worker"
START_SECONDS = 120.0
FIRST_FRAME_SECONDS = 60.0  # for a first frame on a GPU; one that takes longer waits for kernels (see `datagen.workers.kernels`)
END_SECONDS = 10.0  # for a process whose input has ended
TELL_SECONDS = 5.0  # of a wait, after which the user is told of it


class WorkerDied(Exception):
    """A worker process ended or hung while it had something to do."""


class SlowStart(WorkerDied):
    """A worker process runs but has not rendered its first frame on a GPU in the time that it was given."""


class WorkerProcess:
    """One process of Blender, started at once. Whatever raises `WorkerDied` has stopped it."""

    def __init__(self, *arguments: str) -> None:
        """`arguments` are the worker's own, as ``"--cpus", "0"``."""
        self._child = Child(module_command(WORKER, *arguments))

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._child.pid

    def wait_until_ready(self, first_frame_seconds: float, on_slow: Callable[[], None] | None = None) -> None:
        """Wait until jobs can be sent. A worker on a GPU renders a first frame before, within `first_frame_seconds`; if that takes over
        `TELL_SECONDS`, `on_slow` is called. Raises `WorkerDied`; its kind `SlowStart` if all that is missing is the first frame."""
        with self.watched(START_SECONDS):
            loading = "loading" in self._child.answer(START_SECONDS)
        if not loading or self._is_ready(TELL_SECONDS):
            return
        if on_slow is not None:
            on_slow()
        if not self._is_ready(first_frame_seconds - TELL_SECONDS):
            self.stop()
            raise SlowStart(f"the Blender worker rendered no first frame in {first_frame_seconds:.0f} s")

    def _is_ready(self, seconds: float) -> bool:
        """Whether the worker says within so many seconds that it is ready."""
        with self._ending():
            try:
                self._child.answer(seconds)
            except TimeoutError:
                return False
            return True

    @contextlib.contextmanager
    def watched(self, seconds: float) -> Iterator[Child]:
        """The child process, to be asked; if it ends or says nothing for `seconds`, it is stopped and `WorkerDied` raised."""
        try:
            with self._ending():
                yield self._child
        except TimeoutError:
            raise self._death(f"said nothing for {seconds:.0f} s") from None

    def end(self) -> None:
        """Let the process end by itself, so that what its driver keeps is whole."""
        self._child.end(END_SECONDS)

    def stop(self) -> None:
        """End the process at once."""
        self._child.stop()

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except EOFError:
            raise self._death(f"ended with status {_status_text(self._child.status())}") from None

    def _death(self, why: str) -> WorkerDied:
        tail = self._child.tail().splitlines()
        self.stop()
        return WorkerDied(f"the Blender worker {why}" + (f"; the last that it said: {tail[-1].strip()}" if tail else ""))


def _status_text(status: int) -> str:
    """An exit status as text, with the signal's name for a negative one."""
    if status == -signal.SIGKILL:
        return f"{status} (killed: often for want of memory)"
    return f"{status} ({signal.Signals(-status).name})" if -status in set(signal.Signals) else str(status)
