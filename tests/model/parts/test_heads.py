"""Heads by themselves: what they read of states and cells, what is fed back of it, and what a wrong answer costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datagen.code.grammar import parse_code
from datagen.domains.dialects import Dialect
from datagen.domains.registry import get_domain
from datagen.scene import Object, Scene
from datagen.shards.reader import Samples
from model.parts import cell_head as cells
from model.parts.dense_head import ContextReader, DenseLayout, Grid, LinearReader, ReadOut, cell_of
from model.parts.guide import attention_loss, guide_loss, guided_attention
from model.parts.numeric_head import NumberFeedback, NumericHead, squared_errors
from model.tokens.codec import CodeCodec
from model.tokens.pieces import numeric_slots

CLEVR = get_domain("clevr")


def test_fed_back_are_the_numbers_of_the_statement_that_spoke_last() -> None:
    feedback = NumberFeedback(4, ["add", "add", "glow"])
    slots = torch.tensor([[-1, 0, -1, 1, -1, 0, 2, -1]])
    values = torch.tensor([[9.0, 0.1, 9.0, 0.2, 9.0, 0.3, 0.4, 9.0]])
    numbers, stated = feedback._latest(values, slots)
    expected = [[0, 0, 0], [0.1, 0, 0], [0.1, 0, 0], [0.1, 0.2, 0], [0.1, 0.2, 0], [0.3, 0, 0], [0, 0, 0.4], [0, 0, 0.4]]
    assert torch.equal(stated[0], torch.tensor(expected) > 0)
    assert torch.allclose(numbers[0] * stated[0], torch.tensor(expected))
    assert (feedback(values, slots)[0, 0] == 0).all()


def test_the_head_is_the_papers() -> None:
    head = NumericHead(8)
    states = torch.randn(3, 8)
    expected = (
        torch.nn.functional.gelu(torch.tanh(states) @ head.hidden.weight.T + head.hidden.bias) @ head.value.weight.T + head.value.bias
    )
    assert torch.allclose(head(states), expected[:, 0], atol=1e-6)


def test_the_number_loss_goes_the_shorter_way_around() -> None:
    predicted, true = torch.tensor([0.9, 0.9, 3.1]), torch.tensor([-0.9, -0.9, -0.9])
    errors = squared_errors(predicted, true, torch.tensor([2.0, 0.0, 2.0]))
    assert errors.tolist() == pytest.approx([0.04, 3.24, 0.0], abs=1e-6)


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.01, 1))
def test_beyond_what_is_close_an_error_counts_linearly(predicted: float, true: float, close: float) -> None:
    guess, truth, none = (torch.tensor([value], dtype=torch.float64) for value in (predicted, true, 0.0))
    guess.requires_grad_()
    error = squared_errors(guess, truth, none, close)
    error.sum().backward()
    off = abs(predicted - true)
    assert error.item() == pytest.approx(off**2 if off <= close else 2 * close * off - close**2)
    assert guess.grad.abs().item() == pytest.approx(2 * min(off, close))


@given(st.lists(st.tuples(st.floats(0.1, 1), st.floats(-1, 1), st.floats(0.05, 0.2)), min_size=1, max_size=4))
def test_the_density_of_what_may_be_said_is_one(parts: list[tuple[float, float, float]]) -> None:
    weight, centre, spread = torch.tensor(parts, dtype=torch.float64).unbind(-1)
    some = cells.LaplaceMixture(weight.div(weight.sum()).log(), centre, spread.log())
    values = torch.linspace(-4, 4, 8001, dtype=torch.float64)
    density = (-cells.LaplaceMixture(*(part.expand(len(values), -1) for part in some)).nll(values, torch.zeros(len(values)))).exp()
    assert torch.trapezoid(density, values).item() == pytest.approx(1, abs=1e-4)
    one, period = cells.LaplaceMixture(*(part[None] for part in some)), torch.tensor([2.0])
    assert one.nll(torch.tensor([0.3 + 2.0]), period).item() == pytest.approx(one.nll(torch.tensor([0.3]), period).item(), abs=1e-5)


@pytest.mark.parametrize(("choice", "expected"), [(False, 0.2), (True, 0.5)])
def test_in_a_toss_up_a_number_lies_between_and_a_choice_of_cells_does_not(choice: bool, expected: float) -> None:
    """Seven of ten times the number is what one visual token shows, 0.5, else what another does, -0.5; nothing shows when."""
    torch.manual_seed(0)
    head = cells.CellHead(16, slots=2, split=1) if choice else NumericHead(16)
    states, visual = torch.randn(1, 16).expand(100, -1), torch.randn(1, 3, 16)
    shown = torch.tensor([[[9.0, -0.5], [9.0, 0.1], [9.0, 0.5]]])  # in the other slot they show something else
    true, periods, slots, images = torch.tensor([0.5] * 70 + [-0.5] * 30), torch.zeros(100), torch.ones(100).long(), torch.zeros(100).long()
    optimizer = torch.optim.Adam(head.parameters(), 0.01)

    def mixture() -> cells.LaplaceMixture:
        return head.mixture(states, slots, images, head.read_cells(visual, ReadOut(shown, torch.empty(1, 3, 0), None)))

    for _ in range(600):
        optimizer.zero_grad()
        errors = mixture().nll(true, periods) if choice else squared_errors(head(states), true, periods)
        errors.mean().backward()
        optimizer.step()
    value = mixture().likeliest()[1][0] if choice else head(states[0])
    assert value.item() == pytest.approx(expected, abs=0.05)
    if choice:
        weights = mixture().log_weights[0].exp().tolist()
        assert weights[1] + weights[3] > 0.9
        assert weights[3] == pytest.approx(0.7, abs=0.1)


def test_a_choice_misses_by_the_weight_that_is_not_on_a_token_s_cells() -> None:
    weights = torch.tensor([[0.1, 0.2, 0.3, 0.05, 0.05, 0.1, 0.1, 0.05, 0.05]]).log()  # the head's own, then two tokens of 2 x 2 cells
    assert attention_loss(weights[:, 1:], torch.tensor([0]), 2).exp().item() == pytest.approx(1 / 0.6)
    assert attention_loss(weights[:, 1:], torch.tensor([1]), 2).exp().item() == pytest.approx(1 / 0.3)


def test_words_are_helped_by_the_cells_that_a_state_looks_at() -> None:
    attention = torch.tensor([[[0.75, 0.25], [1.0, 0.0]]]).log()
    seen = cells.Cells(torch.empty(1, 2, 0), torch.empty(1, 2, 0), torch.tensor([[[0.9, 0.1, 1.0], [0.1, 0.9, 0.0]]]))
    assert cells.word_log_probabilities(attention, seen).exp()[0].tolist() == [
        pytest.approx([0.7, 0.3, 0.75]),
        pytest.approx([0.9, 0.1, 1.0]),
    ]
    assert cells.word_log_probabilities(attention.flip(-1), seen)[0, 1, 2].exp().item() == pytest.approx(cells.LEAST_PROBABILITY)


def test_what_a_cell_shows_is_what_its_targets_say(codec: CodeCodec, renders: Samples) -> None:
    """Read with identity weights, tokens that hold the targets give the values back, also periodic angles."""
    layout = DenseLayout.of(CLEVR, codec.slots)
    assert layout is not None
    objects = renders[renders.keys[0]].scene.objects
    targets = layout.targets(Scene("clevr", tuple(objects)), list(range(len(objects))), len(objects), Dialect(CLEVR))
    head = LinearReader(layout.width, layout)
    with torch.no_grad():
        head.read.weight.copy_(torch.eye(layout.width))
        head.read.bias.zero_()
    tokens = torch.zeros(1, len(objects), layout.width)
    tokens[0, :, 1 : 1 + layout.numbers] = (
        torch.from_numpy(targets["dense_numbers"]).nan_to_num() * 0.7
    )  # an angle's need not lie on the circle
    for slot, column in zip(layout.slots, head.read_out(tokens).values[0].T.tolist(), strict=True):
        for obj, value in zip(objects, column, strict=True):
            if slot.argument.name == "rotation" and obj["shape"] != "cube":
                continue  # how a sphere is turned cannot be seen
            scale = 1.0 if slot.period else 0.7
            off = value - scale * slot.normalise(slot.value(obj))
            assert abs(off - slot.period * round(off / (slot.period or 1))) < 1e-5


def test_the_sign_of_an_angle_is_learnt_beside_objects_that_have_none() -> None:
    """Of two in three objects the rotation is written as 0. What shows the sign of a cube's angle is seen at them as well."""
    torch.manual_seed(0)
    layout = DenseLayout.of(CLEVR, numeric_slots(Dialect(CLEVR)), masked=True)
    assert layout is not None
    reader = ContextReader(16, layout, Grid(1, 1, 1, 16, 16))
    cube = Object("add", {"loc": (0.0, 0.0, 0.7), "color": "red", "material": "metal", "size": "large", "shape": "cube", "rotation": 0.0})
    optimizer = torch.optim.Adam(reader.parameters(), 0.01)

    def batch(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        seen, targets = [], []
        for _ in range(64):
            degrees, shape = rng.uniform(0, 90), rng.choice(["cube", "sphere", "cylinder"])
            obj = CLEVR.canonical_object(cube.replaced(rotation=degrees, shape=str(shape)))
            phase = 2 * math.pi * degrees / 90
            seen.append([math.sin(phase), math.cos(phase), 1.0, *rng.normal(0, 0.1, 13)])
            targets.append(layout.targets(Scene("clevr", (obj,)), [0], 1, Dialect(CLEVR)))
        stacked = {name: torch.from_numpy(np.stack([one[name] for one in targets])) for name in ("dense_numbers", "dense_words")}
        return torch.tensor(seen)[:, None].float(), stacked

    rng = np.random.default_rng(0)
    for _ in range(300):
        seen, target = batch(rng)
        optimizer.zero_grad()
        reader.loss(seen, target["dense_numbers"], target["dense_words"]).backward()
        optimizer.step()
    seen, target = batch(rng)
    true = target["dense_numbers"][:, 0, -2:]
    cubes = ~true[:, 0].isnan()
    read = reader(seen)[:, 0, layout.numbers - 1 : layout.numbers + 1]
    assert 0 < cubes.sum() < 64
    assert (read - true)[cubes].abs().mean() < 0.15


def test_a_head_that_looks_where_it_should_has_no_guide_loss() -> None:
    """Two layers of two heads over a prefix, 3 visual tokens and 4 of text; the guided head is the first of the second layer."""
    start, centres = 4, torch.tensor([[-1, 2, 0, -1]])
    attentions = [torch.rand(1, 2, 8, 8) for _ in range(2)]
    attentions[1][0, 0] = 0.0
    for token, centre in ((1, 2), (2, 0)):  # a token is predicted by the one before it
        attentions[1][0, 0, start + token - 1, 1 + centre] = 1.0
    assert guide_loss(guided_attention(attentions, start, 3), centres) == 0
    attentions[1][0, 0, start, 1 + 2] = 0.25
    assert guide_loss(guided_attention(attentions, start, 3), centres).item() == pytest.approx(np.log(4), rel=1e-5)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_a_dense_cell_lies_in_its_token(rows: int, columns: int, split: int, x: float, y: float) -> None:
    fine, coarse = (cell_of(x, y, rows, columns, s) for s in (split, 1))
    assert (fine is None) == (not (0 <= x < 1 and 0 <= y < 1))
    assert coarse == (None if fine is None else fine // split**2)


def test_the_read_out_of_an_angle_does_not_jump_where_the_angle_does(codec: CodeCodec) -> None:
    layout = DenseLayout.of(CLEVR, codec.slots)
    assert layout is not None
    cube = parse_code('add(loc=(0, 0, 0.7), color="red", material="metal", size="large", shape="cube", rotation=0)', CLEVR).objects[0]
    before, after, across = (
        layout.targets(Scene("clevr", (cube.replaced(rotation=degrees),)), [0], 1, Dialect(CLEVR))["dense_numbers"][0, -2:]
        for degrees in (89.9, 0.0, 45.0)
    )
    assert np.abs(before - after).max() < 0.01
    assert np.abs(across + after).max() < 1e-6  # half a period away: opposite coordinates
