"""The grammar of a number that is written as text, character by character, as part of an automaton."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from model.tokens.automaton import Automaton

DIGITS = "0123456789"
CHARACTERS = f"{DIGITS}.-"
"""All characters of numbers."""


def link_decimals(
    automaton: Automaton,
    state: int,
    target: int,
    *,
    tokens: Callable[[str], list[int]],
    follow: Callable[[int], None],
    signed: bool,
    whole_digits: int,
    decimals: int,
) -> None:
    """Let every number of at most `whole_digits` digits before the point and exactly `decimals` after it lead from `state` to `target`.

    There are no superfluous leading zeros, no negative zero, and a minus only where numbers are ``signed``. `tokens` gives a character's
    token ids. A number without decimals can end after any digit: there, `follow` links what comes after the number to the state.
    """

    def link(state: int, character: str, target: int) -> None:
        automaton.link(state, tokens(character), target, character, in_number=True)

    @cache
    def decimal(left: int, zero: bool) -> int:
        """The state before the last `left` decimals; ``zero``: the number has a minus, and only zeros so far."""
        if left == 0:
            return target
        state = automaton.new_state()
        for digit in DIGITS:
            if not (zero and left == 1 and digit == "0"):
                link(state, digit, decimal(left - 1, zero and digit == "0"))
        return state

    @cache
    def whole(left: int, zero: bool) -> int:
        """The state behind a digit of the whole part, which at most `left` more may follow."""
        state = automaton.new_state()
        if decimals:
            link(state, ".", decimal(decimals, zero))
        else:
            follow(state)
        for digit in DIGITS if left else "":
            link(state, digit, whole(left - 1, False))
        return state

    def first(state: int, negative: bool) -> None:
        for digit in DIGITS[1:]:
            link(state, digit, whole(whole_digits - 1, False))
        if decimals or not negative:
            link(state, "0", whole(0, negative))

    first(state, False)
    if signed:
        behind_minus = automaton.new_state()
        link(state, "-", behind_minus)
        first(behind_minus, True)
