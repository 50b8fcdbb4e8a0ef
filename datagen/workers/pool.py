"""The pool that renders jobs with Blender, in separate processes, each pinned to its own cores and given a GPU if there are any.

Domains that need no Blender are painted in this process; a worker process is started for the first job that needs it. A worker that
crashes, hangs or leaks does not end the caller: it is replaced and the job tried once more.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import cycle, islice
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from datagen.domains.base import PaintedDomain
from datagen.errors import Hopeless, UserError
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Scene, Shot
from datagen.workers.cores import CoreClaims, available_cores
from datagen.workers.gpus import Gpu
from datagen.workers.jobs import DrawJob, FrameJob, RenderJob, attempt
from datagen.workers.kernels import COMPILING_SECONDS, Kernels
from datagen.workers.process import FIRST_FRAME_SECONDS, SlowStart, WorkerDied, WorkerProcess

CPU = "CPU"
TRIES = 2
JOBS_AHEAD = 4  # per worker, so that none waits while the caller writes a shard
HOPELESS = 10  # failed jobs before any success, after which the scenes cannot be the cause

AnyJob = TypeVar("AnyJob", RenderJob, DrawJob)


class BlenderWorker:
    """One worker process, which is sent jobs and answers with samples."""

    def __init__(self, cores: Sequence[int], gpu: Gpu | None, kernels: Kernels) -> None:
        """The process stays on these cores, and renders on them or, once the kernels are there, on a GPU."""
        self._arguments = ["--cpus", ",".join(map(str, cores)), *(("--gpu", gpu.kind, gpu.identity) if gpu else ())]
        self._gpu, self._kernels = gpu, kernels
        self._process: WorkerProcess | None = None
        self._stated: DatasetSettings | None = None  # the settings that the process was sent last
        self._lock = threading.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The id of the process, if it runs."""
        process = self._process
        return None if process is None else process.pid

    def render(self, job: RenderJob | DrawJob | FrameJob) -> EncodedSample | UserError:
        """The sample of a job, or the pixels of a frame, or the worker's error for it. Raises `WorkerDied` if the process ends or hangs,
        `Hopeless` if it can render no job of that domain, `UserError` if Blender does not start."""
        process = self._process or self._start_with_retries()
        patience = job.patience
        try:
            with process.watched(patience) as child:
                child.ask(self._request(job))
                answer = child.answer(patience)
                if "hopeless" in answer:
                    raise Hopeless(str(answer["hopeless"]))
                if "error" in answer:
                    self._stated = None  # the worker may have failed to read the settings
                    return UserError(str(answer["error"]))
                files = {suffix: child.read(size) for suffix, size in answer["files"].items()}
        except WorkerDied:
            self.stop()
            raise
        return EncodedSample(job.key, files)

    def _request(self, job: RenderJob | DrawJob | FrameJob) -> dict[str, Any]:
        """The request for a job, without its settings if the process was sent the same ones last."""
        if not isinstance(job, DrawJob):
            return job.request()
        known, self._stated = self._stated is job.settings, job.settings
        return {"index": job.index} if known else job.request()

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.stop()

    def close(self) -> None:
        """End the process for good: it is not started again."""
        self._closed = True
        self.stop()

    def _start_with_retries(self) -> WorkerProcess:
        """Start the process; `UserError` if it dies each time before it is ready for a job."""
        death: WorkerDied | None = None
        for _ in range(TRIES):
            try:
                return self._start()
            except WorkerDied as died:
                death = died
        raise UserError(f"Blender does not start: {death}", "Run `igllm doctor` to see what is missing.")

    def _start(self) -> WorkerProcess:
        if self._gpu is None:
            return self._launch(FIRST_FRAME_SECONDS)
        stamp = self._kernels.ensure(self._gpu)
        try:
            return self._launch(FIRST_FRAME_SECONDS)
        except SlowStart:
            self._kernels.ensure(self._gpu, doubted=stamp)
            return self._launch(COMPILING_SECONDS)

    def _launch(self, first_frame_seconds: float) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise WorkerDied("the pool was closed")
            process = self._process = WorkerProcess(*self._arguments)
            self._stated = None
        try:
            process.wait_until_ready(first_frame_seconds)
        except WorkerDied:
            self.stop()
            raise
        return process


class RenderPool:
    """Workers side by side. Use as a context manager; `render` may be called again and again."""

    def __init__(self, workers: int | None = None, threads: int = 1, gpus: Sequence[Gpu] = ()) -> None:
        """`workers` processes with `threads` cores each: by default one for each GPU, or without GPUs as many as there are cores for."""
        count = workers or len(gpus) or max(1, len(available_cores()) // threads)
        if count < 1:
            raise UserError(f"{count} workers: at least one is needed")
        self.device = gpus[0].kind if gpus else CPU
        """The kind of device that renders, by Cycles' name for it."""
        self.size = count
        """The number of workers."""
        self._gpus, self._kernels, self._claims = gpus, Kernels(), CoreClaims()
        self._workers = [
            BlenderWorker(cores, gpu, self._kernels)
            for cores, gpu in zip(self._claims.claim(count, threads), cycle(gpus or [None]), strict=False)
        ]
        self._idle: queue.SimpleQueue[BlenderWorker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker")

    def __enter__(self) -> RenderPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._kernels.close()
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._claims.release()

    @property
    def pids(self) -> Sequence[int]:
        """The ids of the worker processes that run."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    def prepare(self) -> None:
        """Return when the kernels for the GPUs are there (see `Kernels.ensure`), which workers would else wait for."""
        for gpu in self._gpus:
            self._kernels.ensure(gpu)

    def render(self, jobs: Iterable[AnyJob], seconds: float | None = None) -> Iterator[tuple[AnyJob, EncodedSample | UserError]]:
        """Each job with its sample or its error, in order of completion; jobs are read from the iterable as workers become free. What is
        not done within so many `seconds` is left out.

        A job whose worker dies is tried once more; a second death is that job's failure. Raises `UserError` if Blender does not
        start, cannot stage a job's domain, or fails at every one of the first `HOPELESS` jobs.
        """
        return while_there_is_hope(self._rendered(iter(jobs), None if seconds is None else time.monotonic() + seconds))

    def _rendered(self, source: Iterator[AnyJob], until: float | None) -> Iterator[tuple[AnyJob, EncodedSample | UserError]]:
        waiting: set[Future[tuple[AnyJob, EncodedSample | UserError]]] = set()
        try:
            while True:
                for job in islice(source, JOBS_AHEAD * len(self._workers) - len(waiting)):
                    waiting.add(self._threads.submit(self._render_one, job))
                if not waiting:
                    return
                left = None if until is None else max(0.0, until - time.monotonic())
                done, waiting = wait(waiting, timeout=left, return_when=FIRST_COMPLETED)
                if not done:
                    return
                for future in done:
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()

    def _render_one(self, job: AnyJob) -> tuple[AnyJob, EncodedSample | UserError]:
        if isinstance(domain := job.domain, PaintedDomain):
            return job, paint(job, domain)
        worker = self._idle.get()
        try:
            death: WorkerDied | None = None
            for _ in range(TRIES):
                try:
                    return job, worker.render(job)
                except WorkerDied as died:
                    death = died
            return job, UserError(f"{TRIES} times {death}")
        finally:
            self._idle.put(worker)


def while_there_is_hope(outcomes: Iterator[tuple[AnyJob, EncodedSample | UserError]]) -> Iterator[tuple[AnyJob, EncodedSample | UserError]]:
    """The outcomes of jobs, until the first `HOPELESS` of them have all failed, which is raised as a `UserError`."""
    for number, (job, outcome) in enumerate(outcomes, 1):
        if isinstance(outcome, EncodedSample):
            yield job, outcome
            break
        if number >= HOPELESS:
            raise UserError(f"the first {number} scenes failed, {job.key} like this: {outcome}")
        yield job, outcome
    yield from outcomes


def paint(job: RenderJob | DrawJob, domain: PaintedDomain) -> EncodedSample | UserError:
    """The painted sample of a job, or its error."""

    def render(scene: Scene, shot: Shot) -> np.ndarray:
        domain.check(scene)
        return domain.paint(scene, shot)

    return attempt(lambda: EncodedSample(job.key, job.sample(render).files()))
