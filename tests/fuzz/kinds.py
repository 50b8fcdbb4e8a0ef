"""Kinds of fuzzer inputs: the files that may be read, and the doors by which the toolkit reads them.

A door reads the files as a user's call does: through a verb of the command line where that is quick, else through the reader behind it.
The first door of a kind is the quick one; each of the others reads a stated number of a thousand inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

import igllm

Files = Mapping[str, bytes]
Door = Callable[[Path, Path], int]
"""Reads the files in the first folder, may write to the second, and returns an exit status or raises."""


@dataclass(frozen=True)
class Kind:
    """``inputs`` makes a strategy of files by name. ``doors`` are the slower ones, each with the number of a thousand inputs that it reads.
    ``share`` weighs the kind in a campaign, ``block`` is the size of its blocks, ``some`` the number of inputs in the tests. ``prepare`` is
    called before the first input, so that the time of Python's imports is not counted as an input's."""

    inputs: Callable[[], st.SearchStrategy[Files]]
    door: Door
    doors: tuple[tuple[int, Door], ...] = ()
    share: float = 1.0
    block: int = 2_000
    some: int = 40
    prepare: Callable[[], object] = lambda: None

    def door_for(self, draw: int) -> Door:
        """The door for a number from 0 to 999."""
        for part, door in self.doors:
            if draw >= 1000 - part:
                return door
            draw += part
        return self.door


_parser = functools.cache(igllm._parser)


def verb(*arguments: object) -> int:
    """The exit status of a call of the command line, whose parser is made once for all calls."""
    with mock.patch.object(igllm, "_parser", _parser):
        return igllm.main([str(argument) for argument in arguments])


def a_verb(*arguments: str) -> Door:
    """A door that calls the command line; IN and OUT in the arguments stand for the two folders."""
    return lambda folder, out: verb(*(word.replace("IN", str(folder)).replace("OUT", str(out)) for word in arguments))
