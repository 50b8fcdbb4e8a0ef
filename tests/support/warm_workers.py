"""Blender processes that outlive the pool that started them: a start takes as long as thirty small frames."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

from datagen.errors import UserError
from datagen.samples.sample import EncodedSample
from datagen.workers import pool, process
from datagen.workers.gpus import Gpu
from datagen.workers.jobs import DrawJob, RenderJob
from datagen.workers.kernels import Kernels

MOST_KEPT = 3  # pools of one process pin their workers to the first core, to the second, or to both
OF_ONE_TEST = "PYTEST_CURRENT_TEST"  # an environment variable that pytest sets

_Origin = tuple[tuple[str, ...], dict[str, str], str]
_kept: list[tuple[_Origin, process.WorkerProcess]] = []
_starting = ThreadPoolExecutor(1)  # Linux ends a worker with the thread that started it, and a pool's threads end with the pool


class _WarmWorker(pool.BlenderWorker):
    """A worker whose process, once the pool is closed, waits for another worker of the same command, environment and folder. One on a GPU
    is as always: it may wait for kernels."""

    def __init__(self, cores: Sequence[int], gpu: Gpu | None, kernels: Kernels) -> None:
        super().__init__(cores, gpu, kernels)
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
        self._origin = (
            (process.WORKER, *self._arguments),
            {name: value for name, value in os.environ.items() if name != OF_ONE_TEST},
            os.getcwd(),
        )
        for origin, kept in _kept:
            if origin == self._origin:
                _kept.remove((origin, kept))
                self._process = kept
                return kept
        return _starting.submit(super()._start).result()

    def close(self) -> None:
        if self._process is not None and self._origin is not None and not self._at_work:
            _kept.append((self._origin, self._process))
            self._process = None
            while len(_kept) > MOST_KEPT:
                _kept.pop(0)[1].stop()
        super().close()


@contextmanager
def keeping_workers() -> Iterator[None]:
    """Within the context, the process of a closed pool's worker is given to the next pool that would start the same."""
    with patch.object(pool, "BlenderWorker", _WarmWorker):
        yield
    for _, kept in _kept:
        kept.stop()
    _kept.clear()
