"""A Ray cluster: reached, or started on this machine for one call, and the processes on it that work side by side."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from datagen.errors import UserError
from datagen.images.limits import allowed_pixels
from datagen.io.cache import system_temporary
from datagen.io.leaving import heed_again
from datagen.workers.cores import available_cores

RETRIES = 5  # of a task whose process or node died
SECONDS_TO_ANSWER = 10.0
_START = -1  # in the place of a task's number, for a worker that is starting
_LOST = object()  # in the place of an answer

Task = TypeVar("Task")


@dataclass(frozen=True)
class OnRay:
    """A request to work on the Ray cluster at ``address``, by default one of this machine that ends with the call, with so many ``workers``
    at once, by default one for each CPU of the cluster."""

    address: str | None = None
    workers: int | None = None


@contextmanager
def ray_cluster(on: OnRay) -> Iterator[Any]:
    """The module ``ray``, connected to the cluster. Within such a block, another one is on the same cluster.

    `UserError` if Ray is not installed or no cluster can be reached.
    """
    try:
        import ray
    except ImportError:
        raise UserError("the executor ray needs Ray, which is not installed: pip install 'igllm[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    _reach(on.address)
    own = {} if on.address else {"num_cpus": on.workers or len(available_cores()), "include_dashboard": False}
    environment = {"env_vars": {"PYTHONSAFEPATH": "1", **allowed_pixels()}}
    os.environ.setdefault("RAY_TMPDIR", str(system_temporary()))  # in a call's own folder, the paths of Ray's sockets would be too long
    # Our packages have common names, which no module of the current folder may shadow. Ray puts the driver's current folder on its
    # workers' path, so it is started in an empty folder; the workers stay there, and MKL does not load where the current folder is gone.
    with tempfile.TemporaryDirectory() as empty:
        try:
            with contextlib.chdir(empty):
                ray.init(on.address or "local", runtime_env=environment, log_to_driver=False, logging_level="error", **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"{on.address or 'a local Ray cluster'}: {error}") from None
        try:
            heed_again()
            yield ray
        finally:
            ray.shutdown()


def _reach(address: str | None) -> None:
    """`UserError` if nothing listens at an address of the form host:port: Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()
        except (OSError, OverflowError) as error:
            raise UserError(f"{address}: no Ray cluster answers there ({error}); `ray start --head` tells its address") from None


class Crew:
    """Workers on a cluster, each an actor in a process of its own. One that is lost, with its process or its node, is replaced, and its
    task is given to another. Use as a context manager: in the end they are dismissed.

    An actor has two methods, ``start()`` and ``work(task)``. Both return their answer and None, or None and the text of a `UserError`.
    """

    def __init__(self, ray: Any, hire: Callable[[], Any], count: int) -> None:
        """``hire`` makes an actor; there are ``count`` of them, as far as the cluster has room."""
        self._ray, self._hire = ray, hire
        self._busy: dict[Any, tuple[Any, int, Any]] = {}  # by reference of the answer to come: actor, number of its task, the task
        self._idle: list[Any] = []
        self._losses: Counter[int] = Counter()
        for _ in range(count):
            self._start_one()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for actor in (*self._idle, *(actor for actor, *_ in self._busy.values())):
            self._ray.kill(actor)

    def first_answer(self) -> Any:
        """What ``start()`` of the first worker that is ready answers."""
        while (answer := self._next()[2]) is _LOST:
            pass
        return answer

    def results(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        """Each task with the answer to it, in order of completion. `UserError` of a worker, or if a task's workers die again and again."""
        source, given = iter(enumerate(tasks)), deque[tuple[int, Any]]()
        working = 0
        while True:
            if not given and (following := next(source, None)) is not None:
                given.append(following)
            if given and self._idle:
                actor, (number, task) = self._idle.pop(), given.popleft()
                self._busy[actor.work.remote(task)] = actor, number, task
                working += 1
                continue
            if not given and not working:
                return
            number, task, answer = self._next()
            if number == _START:
                continue
            working -= 1
            if answer is _LOST:
                given.append((number, task))
            else:
                yield task, answer

    def _start_one(self) -> None:
        actor = self._hire()
        self._busy[actor.start.remote()] = actor, _START, None

    def _next(self) -> tuple[int, Any, Any]:
        """The number of the next task to be done, or `_START`, the task, and the answer, `_LOST` if its worker was lost and is replaced."""
        [done], _ = self._ray.wait(list(self._busy), num_returns=1)
        actor, number, task = self._busy.pop(done)
        try:
            answer, error = self._ray.get(done)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as lost:
            self._ray.kill(actor)
            self._losses[number] += 1
            if self._losses[number] > RETRIES:
                what = "the start of a worker" if number == _START else "a task"
                why = str(lost).partition("\n")[0]
                raise UserError(f"{what} was lost {RETRIES + 1} times ({why}); call it again to go on") from None
            self._start_one()
            return number, task, _LOST
        if error is not None:
            raise UserError(*error.split("\n"))
        self._losses[number] = 0
        self._idle.append(actor)
        return number, task, answer
