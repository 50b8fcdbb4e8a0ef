"""The pool that renders jobs: with Blender, in separate processes, each pinned to its own cores or given a GPU.

What a domain paints without Blender is painted right here; a process is started for the first job that needs it. A worker that crashes,
hangs or leaks is a worker's death, never the caller's: it is replaced and the job tried once more. The protocol is documented in
`blender_scenes/worker.py`.
"""

from __future__ import annotations

import contextlib
import json
import queue
import selectors
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import cycle, islice
from types import TracebackType
from typing import IO, Any, TypeVar

import numpy as np

from datagen.cores import CoreClaims, available_cores
from datagen.errors import UserError
from datagen.gpus import Gpu
from datagen.jobs import DrawJob, Failed, RenderJob, attempted
from datagen.painted import PaintedDomain
from datagen.sample import Sample
from datagen.scene import Scene, Shot

WORKER = "blender_scenes.worker"
START_SECONDS = 120.0
TRIES = 2
JOBS_AHEAD = 4  # per worker, so that none waits while the caller writes a shard
HOPELESS = 10  # jobs failed in a row, from the first, that say it is not the scenes

AnyJob = TypeVar("AnyJob", RenderJob, DrawJob)


class WorkerDied(Exception):
    """A worker process ended or hung while it had something to do."""


class BlenderWorker:
    """One worker process and the conversation with it."""

    def __init__(self, *arguments: str) -> None:
        """`arguments` are the worker's own, as ``"--cpus", "0"``."""
        # -P keeps the current folder, where a stray bpy.py may lie, off the worker's path.
        self._command = [sys.executable, "-P", "-m", WORKER, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return None if self._process is None else self._process.pid

    def render(self, job: RenderJob | DrawJob) -> Sample | Failed:
        """The sample of a job, or what Blender says against it. Raises `WorkerDied` if the process ends or hangs."""
        if self._process is None:
            self._start_surely()
        send, receive = self._pipes()
        try:
            send.write(json.dumps(job.request(), allow_nan=False).encode() + b"\n")
            send.flush()
        except OSError:
            raise self._death("") from None
        answer = self._header(receive, job.patience)
        if "error" in answer:
            return Failed(str(answer["error"]))
        files = {suffix: receive.read(size) for suffix, size in answer["files"].items()}
        if any(len(files[suffix]) != size for suffix, size in answer["files"].items()):
            raise self._death("")
        return Sample.from_files(job.key, files, "the Blender worker")

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # what was still buffered for a dead process is of no use
                        pipe.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def close(self) -> None:
        """End the process for good: it is not started again."""
        self._closed = True
        self.stop()

    def _start_surely(self) -> None:
        """Start the process; `UserError` if it dies each time before it can take a job."""
        for attempt in range(1, TRIES + 1):
            try:
                self._start()
                return
            except WorkerDied as death:
                if attempt == TRIES:
                    raise UserError(f"Blender does not start: {death}\nRun `igllm doctor` to see what is missing.") from None

    def _start(self) -> None:
        if self._closed:
            raise WorkerDied("the pool was closed")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process that writes to it
        with self._lock:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True
            )
        self._header(self._pipes()[1], START_SECONDS)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerDied("the worker was stopped")
        return process.stdin, process.stdout

    def _header(self, stream: IO[bytes], seconds: float) -> dict[str, Any]:
        """The next line, which must begin to come within so many seconds; what follows it comes at once."""
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            if not selector.select(seconds):
                raise self._death(f"said nothing for {seconds:.0f} s")
        line = stream.readline()
        if not line.endswith(b"\n"):
            raise self._death("")
        return json.loads(line)

    def _death(self, why: str) -> WorkerDied:
        tail = ""
        if self._log is not None:
            self._log.seek(0)
            tail = self._log.read().decode(errors="replace").strip()[-600:]
        if not why and self._process is not None:
            why = f"ended with status {self._process.wait()}"
        self.stop()
        return WorkerDied(f"the Blender worker {why}" + (f":\n{tail}" if tail else ""))


class RenderPool:
    """Workers side by side. Use as a context manager; `render` may be called again and again."""

    def __init__(self, workers: int | None = None, threads: int = 1, gpus: Sequence[Gpu] = ()) -> None:
        """`workers` processes with `threads` cores each: by default one a GPU, or without GPUs as many as there are cores for."""
        count = workers or len(gpus) or max(1, len(available_cores()) // threads)
        if count < 1:
            raise UserError(f"{count} workers: at least one is needed")
        self.device = gpus[0].kind if gpus else "CPU"
        """What kind of device renders, as Cycles calls it."""
        self._claims = CoreClaims()
        self._workers = [
            BlenderWorker("--cpus", ",".join(map(str, cores)), *(("--gpu", gpu.kind, gpu.identity) if gpu else ()))
            for cores, gpu in zip(self._claims.take(count, threads), cycle(gpus or [None]), strict=False)
        ]
        self._idle: queue.SimpleQueue[BlenderWorker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker")

    def __enter__(self) -> RenderPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._claims.release()

    @property
    def pids(self) -> Sequence[int]:
        """The worker processes that run."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    def render(self, jobs: Iterable[AnyJob]) -> Iterator[tuple[AnyJob, Sample | Failed]]:
        """What becomes of jobs, in order of completion; jobs are taken as workers come free.

        A job whose worker dies is tried once more; a second death is that job's failure. Raises `UserError` if Blender does not
        start, or fails at every one of the first `HOPELESS` jobs.
        """
        source = iter(jobs)
        waiting: set[Future[tuple[AnyJob, Sample | Failed]]] = set()
        failed = 0
        hopeful = False
        try:
            while True:
                for job in islice(source, JOBS_AHEAD * len(self._workers) - len(waiting)):
                    waiting.add(self._threads.submit(self._render_one, job))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    job, outcome = future.result()
                    hopeful = hopeful or isinstance(outcome, Sample)
                    failed += isinstance(outcome, Failed)
                    if isinstance(outcome, Failed) and not hopeful and failed >= HOPELESS:
                        raise UserError(f"the first {failed} scenes failed, {job.key} like this: {outcome.reason}")
                    yield job, outcome
        finally:
            for future in waiting:
                future.cancel()

    def _render_one(self, job: AnyJob) -> tuple[AnyJob, Sample | Failed]:
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
            return job, Failed(f"{TRIES} times {death}")
        finally:
            self._idle.put(worker)


def paint(job: RenderJob | DrawJob, domain: PaintedDomain) -> Sample | Failed:
    """The sample of a job, painted, or what is wrong with it."""

    def render(scene: Scene, shot: Shot) -> np.ndarray:
        domain.check(scene)
        return domain.paint(scene, shot)

    return attempted(lambda: job.sample(render))
