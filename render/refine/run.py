"""Predictions refined side by side, by processes of this machine or of a Ray cluster; this process alone writes ``refined.jsonl``."""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from datagen.code.predictions import write_predictions
from datagen.errors import Hopeless, UserError
from datagen.io.child import Child, module_command
from datagen.io.files import check_file
from datagen.io.locks import hold
from datagen.io.progress import progress
from datagen.screen import print_line
from datagen.workers.cores import available_cores
from datagen.workers.ray_cluster import Crew, OnRay, ray_cluster
from render.refine.frames import OwnFrames
from render.refine.partial import Partial
from render.refine.task import Outcome, Task, carry_out
from render.refined import RefinedPrediction

WORKER = "render.refine.worker"
SECONDS_OVER = 600.0
"""A process counts as hanging when it has said nothing for so many seconds more than it may spend."""


def refine_file(
    keys: list[str],
    task_of: Callable[[str], Task],
    out: Path,
    settings: Mapping[str, Any],
    *,
    workers: int | None = None,
    ray: OnRay | None = None,
) -> dict[str, str]:
    """Write ``refined.jsonl``: a line for each key, from the task that ``task_of`` makes of it. The problems are printed, and returned by
    key: their codes stay as they were given. Scenes that an interrupted call with the same ``settings`` finished are kept.
    """
    check_file(out)
    with hold(out):
        partial = Partial(out.with_name(f".{out.name}.partial"), settings)
        made_from = {key: hashlib.sha256(msgspec.msgpack.encode(task_of(key))).hexdigest() for key in keys}
        partial.take_up(made_from)
        todo = [key for key in keys if key not in partial.rows]
        problems: dict[str, str] = {}
        tasks = (task_of(key) for key in todo)
        done = _on_ray(tasks, len(todo), ray) if ray else _here(tasks, min(len(todo), workers or len(available_cores())))
        with partial.appending(), closing(done) as outcomes:
            for outcome in progress(outcomes, len(todo), "refine"):
                if outcome.problem:
                    problems[outcome.row.key] = outcome.problem
                    print_line(f"refine: {outcome.row.key}: left as it is: {outcome.problem}")
                    continue
                partial.add(outcome.row, made_from[outcome.row.key])
        rows = (partial.rows.get(key) or RefinedPrediction.as_given(task_of(key).prediction) for key in keys)
        write_predictions(out, rows)
        partial.path.unlink()
    return problems


def _here(tasks: Iterable[Task], workers: int) -> Generator[Outcome, None, None]:
    """The outcomes of tasks, in order of completion, by so many processes of this machine, each with a Blender process on one core."""
    idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
    processes = [_Process() for _ in range(workers)]
    for process in processes:
        idle.put(process)

    def work(task: Task) -> Outcome:
        process = idle.get()
        try:
            return process.outcome(task)
        finally:
            idle.put(process)

    with ThreadPoolExecutor(max(1, workers)) as threads:
        try:
            for future in as_completed([threads.submit(work, task) for task in tasks]):
                yield future.result()
        finally:
            for process in processes:
                process.close()
            threads.shutdown(cancel_futures=True)


class _Process:
    """A process that refines; it is started for its first task, and again if it has died."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._closed = False

    def outcome(self, task: Task) -> Outcome:
        """The outcome of a task. `Hopeless` if the process says that no task can be carried out."""
        request = msgspec.msgpack.encode(task)
        if self._closed:
            raise UserError("the work was ended")
        child = self._child = self._child or Child(module_command(WORKER))
        try:
            child.ask({"size": len(request)}, request)
            answer = child.answer(task.seconds + SECONDS_OVER)
            if "hopeless" in answer:
                raise Hopeless(answer["hopeless"])
            return msgspec.msgpack.decode(child.read(answer["size"]), type=Outcome)
        except (EOFError, TimeoutError):
            tail = child.tail().splitlines()
            self._child = None
            child.stop()
            said = f"; the last that it said: {tail[-1]}" if tail else ""
            return Outcome(RefinedPrediction.as_given(task.prediction), f"the process that refined it ended or hung{said}")

    def close(self) -> None:
        """End the process, for good."""
        self._closed = True
        if self._child is not None:
            self._child.stop()


def _on_ray(tasks: Iterable[Task], count: int, on: OnRay) -> Generator[Outcome, None, None]:
    """The outcomes of tasks, in order of completion, by the processes of a Ray cluster."""
    if not count:
        return
    with ray_cluster(on) as ray:
        actor = ray.remote(num_cpus=1)(_Refiner)
        workers = min(count, on.workers or int(ray.cluster_resources().get("CPU", 1)))
        with Crew(ray, actor.remote, workers) as crew:
            for _, outcome in crew.results(msgspec.msgpack.encode(task) for task in tasks):
                yield msgspec.msgpack.decode(outcome, type=Outcome)


class _Refiner:
    """A worker on a cluster: a Blender process of its own, started for the first task."""

    def start(self) -> tuple[None, None]:
        """Claim a core of this machine."""
        self._frames = OwnFrames()
        return None, None

    def work(self, task: bytes) -> tuple[bytes | None, str | None]:
        """The outcome of a task, or the text of an error that every other task would meet."""
        try:
            return msgspec.msgpack.encode(carry_out(msgspec.msgpack.decode(task, type=Task), self._frames)), None
        except UserError as error:
            return None, str(error)
