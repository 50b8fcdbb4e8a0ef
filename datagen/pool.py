"""The pool that drives Blender workers: separate processes, each pinned to its own cores.

A worker that crashes, hangs or leaks is a worker's death, never the caller's: it is replaced and the job tried once more.
The protocol is documented in `blender_scenes/worker.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from datagen.errors import UserError
from datagen.scene import Scene, Shot

WORKER = "blender_scenes.worker"
START_SECONDS = 120.0
FRAME_SECONDS = 3600.0  # a reference frame on one slow core takes many minutes; what hangs longer is dead
FRAMES_PER_WORKER = 2000  # Blender's memory creeps up over thousands of scenes; a fresh process costs two seconds
TRIES = 2


@dataclass(frozen=True)
class RenderJob:
    """What to render. ``blend`` also saves the stage there, as a .blend file."""

    key: str
    scene: Scene
    shot: Shot
    blend: Path | None = None

    def request(self) -> bytes:
        """The request line for a worker."""
        blend = None if self.blend is None else str(self.blend.absolute())
        return json.dumps({"scene": self.scene.to_json(), "shot": self.shot.to_json(), "blend": blend}, allow_nan=False).encode() + b"\n"


class WorkerDied(Exception):
    """A worker process ended or hung while it had something to do."""


def available_cores() -> list[int]:
    """The cores this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def share_cores(workers: int) -> list[list[int]]:
    """The available cores dealt to workers: disjoint while there are enough, so that no two spin on the same core."""
    cores = available_cores()
    if workers >= len(cores):
        return [[cores[i % len(cores)]] for i in range(workers)]
    return [cores[i::workers] for i in range(workers)]


class BlenderWorker:
    """One worker process and the conversation with it."""

    def __init__(self, cores: list[int]) -> None:
        self._cores = cores
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._frames = 0
        self._lock = threading.Lock()
        self._closed = False

    def render(self, job: RenderJob) -> np.ndarray:
        """The image of a job, (height, width, 3) uint8.

        Raises `WorkerDied` if the process ends or hangs, and `UserError` if Blender refuses the scene.
        """
        if self._frames >= FRAMES_PER_WORKER:
            self.stop()
        if self._process is None:
            self._start()
        self._frames += 1
        stream = self._pipes()
        try:
            stream[0].write(job.request())
            stream[0].flush()
        except OSError:
            raise self._death() from None
        answer = self._read_header(FRAME_SECONDS)
        if "error" in answer:
            raise UserError(f"{job.key}: Blender could not render this scene: {answer['error']}")
        height, width = int(answer["height"]), int(answer["width"])
        data = self._guarded(lambda: stream[1].read(height * width * 3), FRAME_SECONDS)
        if len(data) != height * width * 3:
            raise self._death()
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process, self._frames = self._process, None, 0
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close_quietly(pipe)
        if self._log is not None:
            self._log.close()
            self._log = None

    def close(self) -> None:
        """End the process for good: it is not started again."""
        self._closed = True
        self.stop()

    def _start(self) -> None:
        if self._closed:
            raise WorkerDied("the pool was closed")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process that writes to it
        cores = ",".join(map(str, self._cores))
        # -P keeps the current folder, where a stray bpy.py may lie, off the worker's path.
        command = [sys.executable, "-P", "-m", WORKER, "--cpus", cores]
        with self._lock:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True
            )
        self._read_header(START_SECONDS)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerDied("the worker was stopped")
        return process.stdin, process.stdout

    def _read_header(self, seconds: float) -> dict[str, Any]:
        stream = self._pipes()[1]
        line = self._guarded(stream.readline, seconds)
        if not line.endswith(b"\n"):
            raise self._death()
        return json.loads(line)

    def _guarded(self, read: Any, seconds: float) -> bytes:
        """A blocking read that a timer ends by killing the process."""
        process = self._process
        timer = threading.Timer(seconds, process.kill if process else lambda: None)
        timer.daemon = True
        timer.start()
        try:
            return read()
        finally:
            timer.cancel()

    def _death(self) -> WorkerDied:
        tail = ""
        if self._log is not None:
            self._log.seek(0)
            tail = self._log.read().decode(errors="replace").strip()[-600:]
        process = self._process
        status = None if process is None else process.wait()
        self.stop()
        return WorkerDied(f"the Blender worker ended with status {status}" + (f":\n{tail}" if tail else ""))


def _close_quietly(pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # what was still buffered for a dead process is of no use
        pipe.close()


class RenderPool:
    """Workers side by side. Use as a context manager; `render` may be called again and again."""

    def __init__(self, workers: int | None = None) -> None:
        count = workers or len(available_cores())
        if count < 1:
            raise UserError(f"{count} workers: at least one is needed")
        self._workers = [BlenderWorker(cores) for cores in share_cores(count)]
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

    def render(self, jobs: Iterable[RenderJob]) -> Iterator[tuple[RenderJob, np.ndarray]]:
        """The images of jobs, each (height, width, 3) uint8, in order of completion; jobs are taken as workers come free.

        A job whose worker dies is tried once more; a second death raises `UserError`.
        """
        source = iter(jobs)
        waiting: set[Future[tuple[RenderJob, np.ndarray]]] = set()
        try:
            while True:
                # one job more than there are workers, so that none waits for the caller
                for job in islice(source, len(self._workers) + 1 - len(waiting)):
                    waiting.add(self._threads.submit(self._render_one, job))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()

    def _render_one(self, job: RenderJob) -> tuple[RenderJob, np.ndarray]:
        worker = self._idle.get()
        try:
            for attempt in range(1, TRIES + 1):
                try:
                    return job, worker.render(job)
                except WorkerDied as death:
                    if attempt == TRIES:
                        raise UserError(f"{job.key}: {death}\nRun `igllm doctor` to see whether Blender works here.") from None
            raise AssertionError("unreachable")
        finally:
            self._idle.put(worker)
