"""A grammar over token ids: an automaton whose arcs are the tokens that may come next, each with the text that it writes.

A state has few arcs (the words of a vocabulary, ten digits), however many tokens the tokenizer has; so tables have one column per arc.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from datagen.errors import UserError

START = 0


@dataclass(frozen=True)
class Arc:
    """A token's effect in a state: the next state, the text that it completes ("" if it completes none), and if it is a number's."""

    target: int
    text: str
    in_number: bool


@dataclass(frozen=True)
class TransitionTable:
    """The arcs as arrays, a row a state, padded with copies of a state's first arc: ``tokens`` and ``targets`` (states, width) int64;
    ``allowed`` (states, width) bool, false for padding.

    In a state with a single arc, perhaps to another such state, the grammar forces a run of tokens: ``run_length`` (states,) counts them,
    ``run_tokens`` (states, longest) are their ids, and ``run_states`` (states, longest + 1) the states after none, one, two ... of them.
    The run of a state that leads only to itself is as long as the longest.
    """

    tokens: np.ndarray
    targets: np.ndarray
    allowed: np.ndarray
    run_length: np.ndarray
    run_tokens: np.ndarray
    run_states: np.ndarray


class Automaton:
    """States, numbered from `START`, with their ``arcs`` by token. Texts whose tokens begin in the same way share states, as in a trie."""

    def __init__(self) -> None:
        self.arcs: list[dict[int, Arc]] = [{}]
        self._within: set[int] = set()  # the states in the middle of a text

    def new_state(self) -> int:
        """Add a state without arcs; returns its number."""
        self.arcs.append({})
        return len(self.arcs) - 1

    def link(self, state: int, tokens: list[int], target: int, text: str, *, in_number: bool = False) -> None:
        """Let `tokens` lead from `state` to `target` and write `text`; `UserError` if they begin another text's tokens, or the reverse."""
        for token in tokens[:-1]:
            if token not in self.arcs[state]:
                within = self.new_state()
                self._within.add(within)
                self.arcs[state][token] = Arc(within, "", in_number)
            state = self.arcs[state][token].target
            if state not in self._within:
                raise self._ambiguous(text)
        if tokens[-1] in self.arcs[state]:
            raise self._ambiguous(text)
        self.arcs[state][tokens[-1]] = Arc(target, text, in_number)

    def _ambiguous(self, text: str) -> UserError:
        return UserError(f"the tokenizer cannot tell {text!r} from another text of graphics code; choose another language model")

    def table(self, stops: Collection[int]) -> TransitionTable:
        """The arrays of all states, each of which must have an arc by now. A forced run ends at any of the states `stops`."""
        width = max(map(len, self.arcs))
        tokens = np.array([_padded(list(arcs), width) for arcs in self.arcs], np.int64)
        targets = np.array([_padded([arc.target for arc in arcs.values()], width) for arcs in self.arcs], np.int64)
        count = np.array([len(arcs) for arcs in self.arcs])
        forced = (count == 1) & ~np.isin(np.arange(len(count)), list(stops))
        loops = targets[:, 0] == np.arange(len(count))
        columns = [np.arange(len(count))]
        while (forced & ~loops)[columns[-1]].any():
            columns.append(np.where(forced[columns[-1]], targets[columns[-1], 0], columns[-1]))
        states = np.stack(columns, 1)
        length = np.where(loops, states.shape[1] - 1, (states[:, 1:] != states[:, :-1]).sum(1))
        return TransitionTable(tokens, targets, np.arange(width) < count[:, None], length, tokens[states[:, :-1], 0], states)

    def longest(self, begin: int) -> int:
        """The length in tokens of the longest path from a state to `START`, 0 if ``begin`` is `START` and there is no line."""
        longest, length, states = 0, 0, {begin}
        while states:
            length += 1
            states = {arc.target for state in states for arc in self.arcs[state].values() if arc.target != state}
            if START in states:
                longest = length
            states.discard(START)
        return longest


def _padded(values: list[int], width: int) -> list[int]:
    return values + values[:1] * (width - len(values))
