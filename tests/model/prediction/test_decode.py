"""Decoding, greedy, drawn and searched, with models that were not trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import CLEVR, TOKENIZERS, Setting, setting
from torch.utils._python_dispatch import TorchDispatchMode

from datagen.code.grammar import parse_code
from datagen.domains.clevr import Clevr
from datagen.errors import UserError
from model.parts.cell_head import LaplaceMixture
from model.prediction.decode import decode
from model.prediction.decoding import Decoding
from model.tokens.automaton import START
from model.tokens.codec import CodeCodec

QUICK = [("words", "head"), ("words", "cells"), ("byte level", "char"), ("sentence piece", "head"), ("unigram", "char")]
SETTINGS = [*((kind, numbers) for kind in TOKENIZERS for numbers in ("head", "char")), ("words", "cells")]


@pytest.fixture(
    scope="module",
    params=[pytest.param(each, id=" ".join(each), marks=() if each in QUICK else pytest.mark.slow) for each in SETTINGS],
)
def any_setting(request: pytest.FixtureRequest) -> Iterator[Setting]:
    yield setting(*request.param)


def whole_pass(
    setting: Setting, image: torch.Tensor, ids: list[int], values: list[float]
) -> tuple[list[dict[int, float]], list[TextNumber]]:
    """From one pass over a whole text: each place's log-probabilities of the tokens that the grammar allows, and the text's numbers."""
    codec, state, states, lines = setting.codec, START, [], 0
    for token in ids:
        states.append(codec.ended if state == START and lines == codec.domain.max_objects else state)
        lines += state == START
        state = codec.automaton.arcs[states[-1]][token].target
    text = torch.tensor([setting.prompt + ids])
    before = [0] * len(setting.prompt)
    slots = [int(codec.slot_at[state]) for state in states]
    with torch.inference_mode():
        seen = setting.model.see(image[None])
        visual = seen.visual
        fed = torch.tensor([before + values]).float(), torch.tensor([[-1] * len(before) + slots])
        hidden = setting.model.run_decoder(torch.cat([visual, setting.model.embed(text, *fed)], 1)).last_hidden_state
        hidden = hidden[0, visual.shape[1] + len(before) - 1 : -1]
        cells = setting.model.read_cells(seen)
        logits = setting.model.token_logits(hidden[None], cells)[0]
        numbers = []
        if cells is not None:
            at, of_one = torch.tensor(slots).clamp(min=0), torch.zeros(len(ids), dtype=torch.long)
            numbers = numbers_of_cells(setting.model.mixture(hidden, at, of_one, cells), cells.values[0, :, :2], slots, values)
        elif setting.model.numeric_head is not None:
            own = setting.model.numeric_head(hidden).tolist()
            numbers = [TextNumber(place, own[place], 0.0) for place, slot in enumerate(slots) if slot >= 0]
    allowed = [list(codec.automaton.arcs[state]) for state in states]
    scores = [dict(zip(a, row[a].log_softmax(-1).tolist(), strict=True)) for a, row in zip(allowed, logits, strict=True)]
    return scores, numbers


class TextNumber(NamedTuple):
    """A number of a text: its index among the tokens, its value, and its term of the log-likelihood."""

    place: int
    value: float
    logp: float


def numbers_of_cells(mixture: LaplaceMixture, shows: torch.Tensor, slots: list[int], values: list[float]) -> list[TextNumber]:
    """The numbers that `Coverage` allows a mixture (length, 1 + cells) to give in a text of these values, computed one at a time.

    ``shows`` (cells, 2) are the x and y that the image's cells show, in normalised units: 1 is three metres in CLEVR.
    """
    least = CLEVR.spacing.least / 3
    found, named, x, seen = [], [], 0.0, None
    for place, slot in enumerate(slots):
        if slot < 0:
            continue
        weights, centres = mixture.log_weights[place].tolist(), mixture.centres[place].tolist()
        closed = set()
        for option, centre in enumerate(centres if slot < 2 else ()):
            shown = shows[option - 1].tolist() if option else None
            spot = shown if slot == 0 else (x, centre)
            if spot is not None and any(math.dist(spot, other) < least for other in named):
                closed.add(option)
            if slot == 1 and seen is not None and math.dist(shown or spot, seen) >= least:
                closed.add(option)
        left = [option for option in range(len(centres)) if option not in closed]
        best = max(left, key=lambda option: weights[option])
        found.append(TextNumber(place, centres[best], math.log(sum(math.exp(weights[option]) for option in left))))
        if slot == 0:
            x, seen = values[place], shows[best - 1].tolist() if best else None
        if slot == 1:
            named.append((x, values[place]))
    return found


WAYS = {
    "greedy": {},
    "drawn": {"samples": 4, "temperature": 1.3, "top_p": 0.9, "seed": 5},
    "searched": {"samples": 3, "beams": 4},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_candidate_is_what_one_pass_over_it_says(any_setting: Setting, way: str) -> None:
    """Cached, batched, reordered decoding gives each text the log-likelihood and the numbers that an uncached pass over it does."""
    decoded_ids = any_setting.codec.decoded_ids
    decoded_ids.clear()
    for image, result in zip(any_setting.images, any_setting.decode(**WAYS[way]), strict=True):
        assert result.code == result.candidates[0].code
        assert len(result.confidence) == len(parse_code(result.code, CLEVR)) <= 3
        assert all(0 <= c <= 1 for c in result.confidence)
        assert [c.logp for c in result.candidates] == sorted((c.logp for c in result.candidates), reverse=True)
        for candidate in result.candidates:
            parse_code(candidate.code, CLEVR)
            ids, values = next((i, v) for i, v in decoded_ids[candidate.code] if likely(any_setting, image, i, v, candidate.logp))
            if way == "greedy":
                scores, numbers = whole_pass(any_setting, image, ids, values)
                logps = [row[token] for token, row in zip(ids, scores, strict=True)]
                if any_setting.codec.numbers == "head":
                    expected = sum(logps[:-1]) + sum(number.logp for number in numbers)
                    assert sum(map(math.log, result.confidence)) == pytest.approx(expected, abs=1e-2)
                free = logps if any_setting.model.config.number_cells is False else logps[:-1]  # else a text may end as no place is left
                assert all(score > max(row.values()) - 1e-3 for score, row in zip(free, scores, strict=False))


def likely(setting: Setting, image: torch.Tensor, ids: list[int], values: list[float], logp: float) -> bool:
    scores, numbers = whole_pass(setting, image, ids, values)
    same = all(abs(number.value - values[number.place]) < 1e-3 for number in numbers)
    words = sum(row[token] for token, row in zip(ids, scores, strict=True))
    return same and abs(words + sum(number.logp for number in numbers) - logp) < 1e-2


def test_a_search_finds_distinct_texts_at_least_as_likely_as_the_greedy_one(any_setting: Setting) -> None:
    greedy, narrow = any_setting.decode(), any_setting.decode(beams=1)
    wide = any_setting.decode(beams=8, samples=4)  # wide enough to keep the greedy text
    assert greedy == narrow
    for one, four in zip(greedy, wide, strict=True):
        assert four.candidates[0].logp >= one.candidates[0].logp - 1e-4
        assert len({c.code for c in four.candidates}) == len(four.candidates) > 1


def test_a_wide_enough_search_is_exhaustive() -> None:
    """With at most one object there are 97 texts, as words alone have probabilities; these sum to one."""
    one = setting("words", "head", sharpness=5.0)
    codec = CodeCodec(one_object(), one.codec.tokenizer)
    (result, *_) = decode(one.model, codec, one.images, one.prompt, decoding=Decoding(samples=128, beams=128))
    assert len(result.candidates) == 97
    assert sum(torch.tensor([c.logp for c in result.candidates]).exp()) == pytest.approx(1.0, abs=1e-4)


def one_object() -> Clevr:
    return replace(CLEVR, max_objects=1)


def test_what_is_drawn_follows_the_probabilities() -> None:
    """Each text's share of draws is about its probability in an exhaustive search."""
    one = setting("words", "head", sharpness=5.0)
    codec = CodeCodec(one_object(), one.codec.tokenizer)

    def candidates(**how) -> list:
        return list(decode(one.model, codec, one.images[:1], one.prompt, decoding=Decoding(**how))[0].candidates)

    share = {c.code: torch.tensor(c.logp).exp().item() for c in candidates(samples=128, beams=128)}
    drawn = [c.code for c in candidates(samples=2000, temperature=1.0)]
    assert sum(abs(drawn.count(code) / len(drawn) - p) for code, p in share.items()) / 2 < 0.12  # chance alone makes about 0.09
    cold = candidates(samples=50, temperature=0.01)
    assert {c.code for c in cold} == {max(share, key=share.get)}
    assert {c.code for c in candidates(samples=50, temperature=1.0, top_p=1e-6)} == {candidates()[0].code}


@pytest.mark.parametrize(("kind", "numbers"), [("words", "head"), ("sentence piece", "char")])
def test_draws_depend_on_seed_and_key_alone(kind: str, numbers: str) -> None:
    any_setting = setting(kind, numbers)
    how = {"samples": 3, "temperature": 1.0}
    together = any_setting.decode(**how, keys=["a", "b", "c"])
    assert together == any_setting.decode(**how, keys=["a", "b", "c"])
    for place in (2, 0, 1):
        (alone,) = any_setting.decode(any_setting.images[place : place + 1], **how, keys=["abc"[place]])
        assert [c.code for c in alone.candidates] == [c.code for c in together[place].candidates]
    assert together != any_setting.decode(**how, seed=1, keys=["a", "b", "c"])
    assert together != any_setting.decode(**how, keys=["b", "a", "c"])


@settings(max_examples=15)
@given(seed=st.integers(0, 2**16), sharpness=st.sampled_from([0.0, 1.0, 100.0, 1e4]), way=st.sampled_from(list(WAYS)))
def test_whatever_the_weights_it_parses(seed: int, sharpness: float, way: str) -> None:
    any_weights = setting("words", "head" if seed % 2 else "char", seed, sharpness)
    for result in any_weights.decode(**WAYS[way]):
        for candidate in result.candidates:
            assert len(parse_code(candidate.code, CLEVR)) <= 3


@pytest.mark.parametrize(("kind", "numbers"), [("words", "head"), ("byte level", "head"), ("words", "char"), ("words", "cells")])
def test_ended_images_leave_the_batch(kind: str, numbers: str) -> None:
    """Sixteen images with texts of different lengths get the same texts together as each alone."""
    torch.manual_seed(0)
    any_setting = setting(kind, numbers)
    images = torch.randn(16, 3, 32, 32) * torch.linspace(0.1, 3, 16)[:, None, None, None]
    together = any_setting.decode(images)
    alone = [any_setting.decode(image[None])[0] for image in images]
    assert [one.candidates[0].logp for one in together] == pytest.approx([one.candidates[0].logp for one in alone], abs=1e-2)
    assert [one.code for one in together] == [one.code for one in alone]


def test_some_numbers_are_the_head_s_own_and_some_a_cell_s() -> None:
    cells = setting("words", "cells")
    with torch.inference_mode():
        read = cells.model.read_cells(cells.model.see(cells.images))
    assert read is not None
    seen = {round(value, 4) for value in read.values.flatten().tolist()}
    written = [
        round(v, 4)
        for one in cells.decode()
        for ids, values in cells.codec.decoded_ids[one.code]
        for i, v in zip(ids, values, strict=True)
        if i == cells.codec.num
    ]
    assert 0 < sum(value in seen for value in written) < len(written)


class _StridedProducts(TorchDispatchMode):
    """Counts linear layers, and those that torch multiplies row by row, as their batch (rows, length, width) is strided."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = self.strided = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operation is torch.ops.aten.linear.default:
            self.linear += 1
            self.strided += not args[0].is_contiguous()
        return operation(*args, **(kwargs or {}))


def test_weights_are_multiplied_by_whole_batches(any_setting: Setting) -> None:
    with _StridedProducts() as products:
        any_setting.decode(**WAYS["searched"])
    assert products.linear > 0 and products.strided == 0


def test_half_precision_models_decode() -> None:
    half = setting("words", "head")
    half.model.to(torch.bfloat16)
    half.model.numeric_head.float()  # as loading leaves them
    half.model.number_feedback.float()
    for result in half.decode(half.images.to(torch.bfloat16), samples=2, beams=2):
        parse_code(result.code, CLEVR)


@pytest.mark.parametrize("window", [1, 8])
def test_a_text_is_read_as_in_training_whatever_window_a_configuration_states(window: int) -> None:
    """A LLaMA has no window: it attends to all earlier tokens."""
    plain, other = setting("words", "head"), setting("words", "head")
    other.model.config.text_config.sliding_window = window
    assert [(one.code, one.confidence) for one in other.decode()] == [(one.code, one.confidence) for one in plain.decode()]


def test_a_model_that_says_nan_is_refused() -> None:
    broken = setting("words", "head")
    with torch.no_grad():
        broken.model.projector.weight.fill_(torch.nan)
    with pytest.raises(UserError, match="not a number"):
        broken.decode()


def test_senseless_settings_are_refused() -> None:
    bad = [
        {"samples": 0},
        {"beams": 0},
        {"samples": 2},
        {"samples": 4, "beams": 3},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": 1.0, "beams": 2},
        {"temperature": 1.0, "top_p": 0.0},
        {"top_p": 0.5},
        {"seed": -1},
    ]
    for settings_ in bad:
        with pytest.raises(UserError):
            Decoding(**settings_)
    assert replace(Decoding(), samples=4, temperature=0.7).texts_per_image == 4
