"""A pool that renders jobs on a Ray cluster, one Blender process a worker. Pictures come back to the caller, which alone writes files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from datagen.errors import UserError
from datagen.samples.sample import EncodedSample
from datagen.workers.jobs import RenderJob, read_job
from datagen.workers.pool import RenderPool, while_there_is_hope
from datagen.workers.ray_cluster import Crew, OnRay, ray_cluster

Rendered = Mapping[str, bytes] | str
"""A worker's answer to a job: the sample's files by suffix, and the files made out of its scene by `_MADE` and their kind, or the reason
why there is no picture."""
_MADE = "made:"


class RayPool:
    """As `RenderPool`, for scenes to render on a Ray cluster. Use as a context manager. `UserError` if there is no Ray or no cluster."""

    def __init__(self, on: OnRay) -> None:
        self._on, self._stack = on, ExitStack()

    def __enter__(self) -> RayPool:
        self._ray = self._stack.enter_context(ray_cluster(self._on))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def render(self, jobs: Sequence[RenderJob]) -> Iterator[tuple[RenderJob, EncodedSample | UserError]]:
        """As `RenderPool.render`."""
        return while_there_is_hope(self._rendered(jobs))

    def _rendered(self, jobs: Sequence[RenderJob]) -> Iterator[tuple[RenderJob, EncodedSample | UserError]]:
        actor = self._ray.remote(num_cpus=1)(_Renderer)
        workers = min(len(jobs), self._on.workers or int(self._ray.cluster_resources().get("CPU", 1)))
        with Crew(self._ray, actor.remote, workers) as crew:
            by_key = {job.key: job for job in jobs}
            for request, answer in crew.results(job.request() for job in jobs):
                job = by_key[request["key"]]
                yield job, _outcome(job, answer)


def _outcome(job: RenderJob, answer: Rendered) -> EncodedSample | UserError:
    if isinstance(answer, str):
        return UserError(answer)
    files = dict(answer)
    for kind, path in job.also.items():
        path.write_bytes(files.pop(_MADE + kind))
    return EncodedSample(job.key, files)


class _Renderer:
    """A worker: it starts a Blender process for the first job that needs one."""

    def start(self) -> tuple[None, None]:
        """Make the pool, which claims a core of this machine."""
        self._pool = RenderPool(1)
        return None, None

    def work(self, request: dict[str, Any]) -> tuple[Rendered | None, str | None]:
        """The answer to a `request` of a `RenderJob`, or the text of an error that every other job would meet."""
        job = read_job(request)
        assert isinstance(job, RenderJob)
        with tempfile.TemporaryDirectory() as folder:
            built = {kind: Path(folder, path.name) for kind, path in job.also.items()}  # the caller's folder may not be seen from here
            try:
                [(_, outcome)] = self._pool.render([replace(job, also=built)])
            except UserError as error:
                return None, f"{error} (on {os.uname().nodename})"
            if isinstance(outcome, UserError):
                return str(outcome), None
            return {**outcome.files(), **{_MADE + kind: path.read_bytes() for kind, path in built.items()}}, None
