"""Lanes of work: one job at a time in each, the others wait in order, up to a limit. A job whose page is gone leaves the lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

from datagen.errors import UserError
from render.studio.limits import MOST_WAITING

T = TypeVar("T")


class Busy(UserError):
    """Too much is waiting already."""


class Lane:
    """Does one job at a time, in threads. ``what`` is the plural of its jobs, for messages."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.waiting = 0
        """How many jobs wait."""
        self.working = False
        """Whether a job is being done."""
        self._turn = anyio.Lock()

    async def do(self, work: Callable[[], T], on_cancel: Callable[[], None] | None = None) -> T:
        """The result of `work`, when its turn has come. `Busy` if too many jobs wait.

        A cancelled job that waits leaves at once. One that is being done is told by `on_cancel` and let finish, because a thread cannot be
        stopped, and only then does the next one begin.
        """
        if self.waiting >= MOST_WAITING:
            raise Busy(f"the studio is busy: {self.waiting} {self.what} are waiting already; try again in a moment")
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        try:
            self.working = True
            return await _in_thread(work, on_cancel)
        finally:
            self.working = False
            self._turn.release()


async def _in_thread(work: Callable[[], T], on_cancel: Callable[[], None] | None) -> T:
    """The result of `work` in a thread, which is not left alone when this is cancelled."""
    if on_cancel is None:
        return await to_thread.run_sync(work)
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_when_cancelled, on_cancel)
        try:
            result = await to_thread.run_sync(work)
        except Exception as error:  # raised outside of the group, which would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return result


async def _when_cancelled(on_cancel: Callable[[], None]) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        on_cancel()  # also after the work, when it means nothing any more
