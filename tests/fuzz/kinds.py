"""A kind of file that the toolkit reads, as the fuzzer takes it: what may be in it, and the doors that it comes in by.

A door is what a user calls: a verb of the command line where that is quick, else the reader behind it. The first door is the quick one;
the others are taken by so many inputs of a thousand.
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
"""Reads what is in a folder, may write to another, gives an exit status or raises."""


@dataclass(frozen=True)
class Kind:
    """``inputs`` makes a strategy of files by name; ``share`` is its part of all inputs, ``doors`` the slower ones, each with its part of a
    thousand. ``prepare`` is called before the first input, so that the time of Python's imports is not counted as an input's."""

    inputs: Callable[[], st.SearchStrategy[Files]]
    door: Door
    doors: tuple[tuple[int, Door], ...] = ()
    share: float = 1.0
    block: int = 2_000
    some: int = 60
    prepare: Callable[[], object] = lambda: None

    def door_for(self, draw: int) -> Door:
        """The door for a number below a thousand."""
        for part, door in self.doors:
            if draw >= 1000 - part:
                return door
            draw += part
        return self.door


_parser = functools.cache(igllm._parser)


def verb(*arguments: object) -> int:
    """The exit status of a call of the command line, whose parser is made once."""
    with mock.patch.object(igllm, "_parser", _parser):
        return igllm.main([str(argument) for argument in arguments])


def a_verb(*arguments: str) -> Door:
    """A door that is a call; IN and OUT in its arguments are the folders."""
    return lambda folder, out: verb(*(word.replace("IN", str(folder)).replace("OUT", str(out)) for word in arguments))
