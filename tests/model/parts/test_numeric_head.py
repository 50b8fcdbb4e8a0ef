"""The numbers that are fed back: those of the statement that the latest number belongs to, in whatever order keywords come."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.parts.numeric_head import NumberFeedback

STATEMENTS = ["add", "add", "add", "glow", "mark", "mark"]
SLOTS = {name: [slot for slot, other in enumerate(STATEMENTS) if other == name] for name in STATEMENTS}


@st.composite
def texts(draw: st.DrawFn, shuffled: bool) -> list[tuple[int, int]]:
    """The slot of each token, -1 for no number, and the statement that the token is in, counted from 0."""
    tokens = []
    for number, name in enumerate(draw(st.lists(st.sampled_from(sorted(SLOTS)), max_size=5))):
        for slot in draw(st.permutations(SLOTS[name])) if shuffled else SLOTS[name]:
            tokens += [(-1, number)] * draw(st.integers(0, 2)) + [(slot, number)]
    return [(-1, -1), *tokens]


def fed_back(tokens: list[tuple[int, int]]) -> list[list[float]]:
    """For each token, the value of each slot that is fed back: one more than the index of the number's token, 0 for none."""
    rows = []
    for length in range(1, len(tokens) + 1):
        numbers = [(at, slot, statement) for at, (slot, statement) in enumerate(tokens[:length]) if slot >= 0]
        row = [0.0] * len(STATEMENTS)
        for at, slot, statement in numbers:
            if statement == numbers[-1][2]:
                row[slot] = at + 1.0
        rows.append(row)
    return rows


def embedded(tokens: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    slots = torch.tensor([[slot for slot, _ in tokens]])
    numbers, current = NumberFeedback(4, STATEMENTS)._latest(torch.arange(1.0, len(tokens) + 1)[None], slots)
    return numbers[0], current[0]


@given(texts(shuffled=True))
def test_shuffled_keywords_feed_back_the_numbers_of_their_own_statement(tokens: list[tuple[int, int]]) -> None:
    numbers, current = embedded(tokens)
    assert (numbers * current).tolist() == fed_back(tokens)


@given(texts(shuffled=False))
def test_training_feeds_back_what_decoding_does(tokens: list[tuple[int, int]]) -> None:
    """Decoding writes keywords in the declared order, so it can derive from the latest slot alone which numbers there are."""
    last = -1
    in_decoding = NumberFeedback(4, STATEMENTS).together(torch.device("cpu"))
    for (slot, _), row in zip(tokens, embedded(tokens)[1], strict=True):
        last = slot if slot >= 0 else last
        assert torch.equal(row, in_decoding[last])
