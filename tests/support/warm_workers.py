"""Blender processes that outlive the pool that started them: a start takes as long as thirty small frames."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from datagen.errors import UserError
from datagen.io.cache import CALL_PREFIX
from datagen.samples.sample import EncodedSample
from datagen.workers import pool, process
from datagen.workers.gpus import Gpu
from datagen.workers.jobs import DrawJob, RenderJob
from datagen.workers.kernels import Kernels

MOST_KEPT = 3  # a pool has two workers of a core each, or one of two
NONE_OF_ITS_BUSINESS = ("PYTEST_CURRENT_TEST", "TENSORBOARD_LOGGING_DIR", "WANDB_PROJECT")  # variables that pytest and training set

_Origin = tuple[str, int, dict[str, str]]
"""A worker's module, how many cores it is on, and its environment. What folder it is in does not matter: paths in requests are absolute."""
_kept: list[tuple[_Origin, process.WorkerProcess]] = []
_choosing = threading.Lock()
_module_command = process.module_command
_starting = ThreadPoolExecutor(1)  # Linux ends a worker with the thread that started it, and a pool's threads end with the pool


class _WarmWorker(pool.BlenderWorker):
    """A worker whose process, once the pool is closed, waits for another worker of the same origin and then moves to that one's cores. One
    on a GPU is as always: it may wait for kernels."""

    def __init__(self, cores: Sequence[int], gpu: Gpu | None, kernels: Kernels) -> None:
        super().__init__(cores, gpu, kernels)
        self._cores = cores
        self._origin: _Origin | None = None
        self._at_work = False

    def render(self, job: RenderJob | DrawJob) -> EncodedSample | UserError:
        self._at_work = True
        outcome = super().render(job)
        self._at_work = False  # left as it is by an error, after which the process is not used again
        return outcome

    def _start(self) -> process.WorkerProcess:
        if self._gpu is not None:
            return super()._start()
        self._origin = (process.WORKER, len(self._cores), _environment())
        with _choosing:
            kept = next((one for one in _kept if one[0] == self._origin), None)
            if kept is not None:
                _kept.remove(kept)
        if kept is None:
            return _starting.submit(super()._start).result()
        self._process = kept[1]
        _move(self._process, self._cores)
        return self._process

    def close(self) -> None:
        if self._process is not None and self._origin is not None and not self._at_work:
            _kept.append((self._origin, self._process))
            self._process = None
            while len(_kept) > MOST_KEPT:
                _kept.pop(0)[1].stop()
        super().close()


def _environment() -> dict[str, str]:
    """What a kept process and another may differ in. The folder of a call's temporary files is as good as the one that it lies in."""
    own = {name: value for name, value in os.environ.items() if name not in NONE_OF_ITS_BUSINESS}
    return own | {"TMPDIR": _outliving() or tempfile.gettempdir()}


def _outliving() -> str | None:
    """The folder of temporary files that outlives the call of igllm which this process is in, if it is in one."""
    folder = Path(os.environ.get("TMPDIR", ""))
    return str(folder.parent) if folder.name.startswith(CALL_PREFIX) else None


def _outliving_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with temporary files that outlive the call."""
    folder, command = _outliving(), _module_command(module, *arguments)
    return ["env", f"TMPDIR={folder}", *command] if folder else command


def _move(kept: process.WorkerProcess, cores: Sequence[int]) -> None:
    """Put all threads of a process on these cores."""
    if hasattr(os, "sched_setaffinity"):
        for thread in Path(f"/proc/{kept.pid}/task").iterdir():
            with suppress(ProcessLookupError):  # a thread that has just ended
                os.sched_setaffinity(int(thread.name), cores)


@contextmanager
def keeping_workers() -> Iterator[None]:
    """Within the context, the process of a closed pool's worker is given to the next pool that would start the same."""
    with patch.object(pool, "BlenderWorker", _WarmWorker), patch.object(process, "module_command", _outliving_command):
        yield
    for _, kept in _kept:
        kept.stop()
    _kept.clear()
