"""No object is written twice: where a domain keeps its objects apart, no text has two that are closer, whatever the weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import CLEVR, FEW, Setting, setting

from datagen.code.grammar import parse_code
from datagen.domains.base import Spacing
from datagen.errors import UserError
from datagen.scene import Scene
from model.prediction.decode import Decoded, decode
from model.prediction.decoding import Decoding
from model.tokens.codec import CodeCodec

GREEDY = {}
WAYS = (GREEDY, {"samples": 3, "temperature": 1.2, "seed": 1}, {"samples": 3, "beams": 4})
PLANE = ("loc.x", "loc.y")


def decode_spaced(model: Setting, spacing: Spacing | None, **ways) -> list[Decoded]:
    """Decode the model's images in CLEVR with at most three objects and this spacing."""
    domain = replace(FEW, spacing=spacing)
    codec = CodeCodec(domain, model.codec.tokenizer)
    return decode(model.model, codec, model.images, model.prompt, decoding=Decoding(**ways))


def scenes(results: list[Decoded]) -> list[Scene]:
    return [parse_code(candidate.code, CLEVR) for one in results for candidate in one.candidates]


def undecided() -> Setting:
    """Return a model that takes every number from a cell, with the same weight for each."""
    model = setting("words", "cells")
    head = model.model.numeric_head
    with torch.no_grad():
        for weight in (head.query.weight, head.query.bias, head.own.weight):
            weight.zero_()
        head.own.bias.fill_(-30.0)
    return model


@pytest.mark.parametrize("ways", WAYS, ids=("greedy", "drawn", "searched"))
def test_an_object_that_was_named_is_not_named_again(ways: dict) -> None:
    model = undecided()
    blind = [scene for scene in scenes(decode_spaced(model, None, **ways)) if len(scene) > 1]
    assert blind  # without spacing, every object has the location of the likeliest cell
    assert all(len({obj["loc"][:2] for obj in scene.objects}) == 1 for scene in blind)
    spaced = scenes(decode_spaced(model, CLEVR.spacing, **ways))
    assert max(len(scene) for scene in spaced) > 1
    assert all(CLEVR.spacing.too_near(scene) == 0 for scene in spaced)


def test_all_numbers_of_a_place_are_those_of_one_object() -> None:
    """Number feedback lets a model take x from one cell and y from another; with spacing, both cells show one object."""
    model = setting("words", "cells", seed=3)
    with torch.no_grad():
        model.model.numeric_head.own.bias.fill_(-30.0)
        shows = model.model.read_cells(model.model.see(model.images)).values[..., :2] * 3

    def apart(spacing: Spacing | None) -> int:
        """Count the objects whose x and y come from cells that show places at least CLEVR's minimum distance apart."""
        count = 0
        for one, cells in zip(decode_spaced(model, spacing), shows, strict=True):
            for obj in parse_code(one.code, CLEVR).objects:
                x_cell, y_cell = ((cells[:, i] - obj["loc"][i]).abs().argmin() for i in (0, 1))
                count += bool((cells[x_cell] - cells[y_cell]).norm() >= CLEVR.spacing.least)
        return count

    assert apart(None) > 0
    assert apart(CLEVR.spacing) == 0


def test_what_is_less_sure_of_its_place_has_less_confidence() -> None:
    """With equally likely cells, y comes from those that show the object of the cell of x: their share is a factor of the confidence."""
    model = undecided()
    with torch.no_grad():
        shows = model.model.read_cells(model.model.see(model.images)).values[..., :2] * 3
    for free, held, cells in zip(decode_spaced(model, None), decode_spaced(model, CLEVR.spacing), shows, strict=True):
        first = parse_code(held.code, CLEVR).objects[0]["loc"][:2]
        same = ((cells - torch.tensor(first)).norm(dim=-1) < CLEVR.spacing.least).float().mean().item()
        assert 0 < same < 1
        assert held.confidence[0] == pytest.approx(free.confidence[0] * same, rel=1e-3)


def test_where_no_place_is_left_the_text_ends() -> None:
    model, search = undecided(), {"samples": 16, "beams": 16}
    with torch.no_grad():
        model.model.dense_head.read.weight.zero_()  # all cells show one place
    for free, held in zip(decode_spaced(model, None, **search), decode_spaced(model, CLEVR.spacing, **search), strict=True):
        logp = {candidate.code: candidate.logp for candidate in free.candidates}
        assert max(code.count("\n") for code in logp) > 1
        assert max(candidate.code.count("\n") for candidate in held.candidates) == 1
        assert {candidate.code for candidate in held.candidates} & logp.keys()
        for candidate in held.candidates:
            assert candidate.logp == pytest.approx(logp.get(candidate.code, candidate.logp), abs=1e-4)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**16),
    sharpness=st.sampled_from([0.0, 1.0, 100.0]),
    wide=st.sampled_from([0.1, 1.0, 4.0]),
    spacing=st.sampled_from([(PLANE, 0.7), (("loc.x",), 0.2), (("loc.y", "loc.x", "loc.z"), 1.5), (PLANE, 100.0)]),
    ways=st.sampled_from(WAYS),
)
def test_whatever_the_weights_no_two_objects_are_nearer_than_any_can_be(
    seed: int, sharpness: float, wide: float, spacing: tuple[tuple[str, ...], float], ways: dict
) -> None:
    model, rule = setting("words", "cells", seed, sharpness), Spacing(*spacing)
    with torch.no_grad():
        model.model.dense_head.read.weight.mul_(wide)
    for one in decode_spaced(model, rule, **ways):
        assert all(0 <= value <= 1 for value in one.confidence)
        for candidate in one.candidates:
            scene = parse_code(candidate.code, CLEVR)
            assert rule.too_near(scene) == 0
            assert len(scene) <= (1 if rule.least == 100.0 else 3)


def test_a_rule_about_numbers_that_code_has_not_is_refused() -> None:
    for component in ("loc.w", "size", "nothing", "rotation.y"):
        with pytest.raises(UserError, match=component):
            decode_spaced(setting("words", "cells"), Spacing((component,), 1.0))
