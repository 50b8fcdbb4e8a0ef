"""The processes that ``torchrun`` or ``accelerate launch`` has started for one call: which one this is, who prints, who does what.

The launcher states their number, and the address of its store, in the environment. What passes through the store is plain bytes and JSON,
never a pickle.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TextIO

JOIN_SECONDS = 60.0
POLL_SECONDS = 0.02
MOST_BYTES = 1 << 22  # of a value in the store, which closes the connection beyond 8 MiB
_ENDED = "ended"  # in the store: the rank of the process that tells why the call ends
_LAST = b""  # what a process hands in when there is nothing left to do


@dataclass(frozen=True)
class Launch:
    """The place of this process among those of a call: ``rank`` of ``count``. The first one, of rank 0, leads: it alone prints."""

    rank: int = 0
    count: int = 1

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Within the block, let nothing that Python prints be seen, except in the first process."""
        if self.rank == 0:
            yield
            return
        with redirect_stdout(_nowhere()), redirect_stderr(_nowhere()):
            yield

    def tells(self, received: int | None) -> bool:
        """Whether this process is the one to print why the call ends; ``received`` is the signal that ended it, if one did.

        The first process that fails does so. The launcher then ends the others by a signal, about which there is nothing to say.
        """
        if self.count == 1:
            return True
        if received is not None and self.rank:
            return False
        if received == signal.SIGINT:  # Ctrl-C, which all of them receive
            return True
        try:
            return bool(_store().compare_set(_ENDED, "", str(self.rank)) == str(self.rank).encode())
        except Exception:  # the store has gone with its process, so nobody can be asked
            return True


def launched() -> Launch:
    """The place of this process, by the environment."""
    rank, count = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    if not (rank.isdecimal() and count.isdecimal() and int(rank) < int(count) and "MASTER_ADDR" in os.environ):
        return Launch()
    return Launch(int(rank), int(count))


@cache
def _nowhere() -> TextIO:
    """A stream that leads nowhere. It is never closed, as libraries keep what `sys.stderr` was."""
    return open(os.devnull, "w", encoding="utf-8")


@cache
def _store() -> Any:
    """The store that the processes share."""
    from torch.distributed.rendezvous import rendezvous

    store, *_ = next(iter(rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS))))
    return store


class Team:
    """The processes of a call that share its work; a process by itself is a team of one."""

    def __init__(self, launch: Launch | None = None, store: Any = None) -> None:
        """A process takes its ``launch``'s place. ``store`` is a store of torch.distributed, which all of them reach."""
        self.launch, self._store = launch or Launch(), store

    @staticmethod
    def of_launcher() -> Team:
        """The team that a launcher has started. Each process of a machine takes a GPU of its own, while there are some."""
        import torch

        launch = launched()
        if launch.count == 1:
            return Team()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        return Team(launch, _store())

    @property
    def leads(self) -> bool:
        """Whether this process is the first one."""
        return self.launch.rank == 0

    def put(self, name: str, content: bytes) -> None:
        """Make a content known to the others under a name."""
        pieces = [content[begin : begin + MOST_BYTES] for begin in range(0, max(1, len(content)), MOST_BYTES)]
        for number, piece in enumerate(pieces):
            self._store.set(f"{name}.{number}", piece)
        self._store.set(name, str(len(pieces)))

    def get(self, name: str) -> bytes:
        """The content of a name, which another process may yet have to put."""
        while not self._store.check([name]):
            self._wait()
        return b"".join(map(self._store.get, self._pieces(name)))

    def _pieces(self, name: str) -> list[str]:
        """The names of the pieces of a content."""
        return [f"{name}.{number}" for number in range(int(self._store.get(name)))]

    def shared(self, tasks: int, work: Callable[[int], Iterable[bytes]]) -> Iterator[bytes]:
        """On the first process, what ``work(i)`` gives for every i below ``tasks``, in order of completion; nothing on the others.

        Each process takes the next task when it is done with one, so that each is done once, by whichever is free. To be called once.
        """
        if self.launch.count == 1:
            for task in range(tasks):
                yield from work(task)
        elif self.leads:
            expected = dict.fromkeys(range(1, self.launch.count), 0)
            for task in self._taken(tasks):
                yield from work(task)
                yield from self._arrived(expected)
            while expected:
                yield from self._arrived(expected)
                self._wait()
        else:
            handed_in = 0
            for task in self._taken(tasks):
                for result in work(task):
                    self.put(f"{self.launch.rank}/{handed_in}", result)
                    handed_in += 1
            self.put(f"{self.launch.rank}/{handed_in}", _LAST)

    def _taken(self, tasks: int) -> Iterator[int]:
        """The tasks that this process takes, one after the other."""
        while (task := self._store.add("taken", 1) - 1) < tasks:
            yield task

    def _arrived(self, expected: dict[int, int]) -> Iterator[bytes]:
        """What other processes have handed in. ``expected`` has the number of the next result of each that goes on."""
        for rank in list(expected):
            while self._store.check([name := f"{rank}/{expected[rank]}"]):
                result = self.get(name)
                for read in (*self._pieces(name), name):
                    self._store.delete_key(read)
                if result == _LAST:
                    del expected[rank]
                    break
                expected[rank] += 1
                yield result

    def _wait(self) -> None:
        """Wait a moment for others; leave if one of them has ended the call, and says why."""
        if self._store.check([_ENDED]):
            sys.exit(2)
        time.sleep(POLL_SECONDS)
