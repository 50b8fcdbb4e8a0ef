"""Decimal numbers in an automaton, character by character: the grammar of a number that is written as text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from model.tokens.automaton import Automaton

DIGITS = "0123456789"
CHARACTERS = f"{DIGITS}.-"
"""All that a number is written with."""


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
    """Let every number of at most `whole_digits` digits and exactly `decimals` decimals lead from `state` to `target`.

    There are no superfluous leading zeros, no negative zero, and a minus only where numbers are ``signed``. `tokens` gives a character's
    token ids. Where there are no decimals the number ends with any digit: `follow` links to such a state what comes after the number.
    """

    def say(state: int, character: str, target: int) -> None:
        automaton.link(state, tokens(character), target, character, in_number=True)

    @cache
    def decimal(left: int, zero: bool) -> int:
        """Where `left` decimals are still to come; ``zero``: the number has a minus, and nothing but zeros so far."""
        if left == 0:
            return target
        state = automaton.new_state()
        for digit in DIGITS:
            if not (zero and left == 1 and digit == "0"):
                say(state, digit, decimal(left - 1, zero and digit == "0"))
        return state

    @cache
    def whole(left: int, zero: bool) -> int:
        """Behind a digit of the whole part, where at most `left` more may come."""
        state = automaton.new_state()
        if decimals:
            say(state, ".", decimal(decimals, zero))
        else:
            follow(state)
        for digit in DIGITS if left else "":
            say(state, digit, whole(left - 1, False))
        return state

    def first(state: int, negative: bool) -> None:
        for digit in DIGITS[1:]:
            say(state, digit, whole(whole_digits - 1, False))
        if decimals or not negative:
            say(state, "0", whole(0, negative))

    first(state, False)
    if signed:
        behind_minus = automaton.new_state()
        say(state, "-", behind_minus)
        first(behind_minus, True)
