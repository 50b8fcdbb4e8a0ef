"""The model's parts, its losses, and its decoding, without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoConfig

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.shards.reader import Samples
from model.build import build
from model.config import IGLLMConfig
from model.data.examples import CodeSource, Collator, SampleSource
from model.data.frames import Frame, jitter
from model.data.order import Mixture
from model.igllm import IGLLM
from model.parts import cell_head as cells
from model.parts.dense_head import DenseHead, DenseLayout, cell_of
from model.parts.guide import attention_loss, guide_loss, guided_attention
from model.parts.numeric_head import NumberFeedback, NumericHead, squared_errors
from model.parts.tower import VisionTower
from model.preset import get_preset
from model.tokens.codec import NUM, CodeCodec
from model.training.train import example_maker
from model.training.trainer import parameter_groups

CLEVR = get_domain("clevr")
TINY = get_preset("tiny").replaced(augment=False)


@pytest.fixture(scope="module")
def codec() -> CodeCodec:
    return build(TINY, CLEVR)[1]


@pytest.fixture(scope="module")
def tiny() -> IGLLM:
    torch.manual_seed(0)
    return build(TINY, CLEVR)[0]


@pytest.fixture(scope="module")
def clip(codec: CodeCodec) -> IGLLM:
    """The paper's arrangement, shrunk: a frozen CLIP tower, read at its penultimate layer, padded squares."""
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = IGLLMConfig(
        vision_config=AutoConfig.for_model("clip_vision_model", image_size=64, patch_size=16, **layers),
        text_config=AutoConfig.for_model("llama", vocab_size=len(codec.tokenizer), num_key_value_heads=2, **layers),
        image_height=64,
        image_width=64,
        num_token_id=codec.tokenizer.convert_tokens_to_ids(NUM),
    )
    torch.manual_seed(0)
    return IGLLM(config)


def batch_of(model: IGLLM, codec: CodeCodec, samples: Samples, count: int = 4) -> dict[str, torch.Tensor]:
    source = CodeSource(samples, example_maker(model, codec, TINY.examples))
    return Collator(codec.tokenizer.pad_token_id)([source.example(i, None) for i in range(count)])


@pytest.mark.parametrize("kind", ["tiny", "clip"])
def test_one_forward_gives_the_losses_and_their_gradients(kind: str, request, codec: CodeCodec, renders: Samples) -> None:
    model: IGLLM = request.getfixturevalue(kind)
    model.train()
    model.zero_grad()
    output = model(**batch_of(model, codec, renders))
    parts = output.token_loss + model.config.number_weight * output.number_loss
    if kind == "tiny":
        parts = parts + model.config.dense_weight * output.dense_loss + model.config.guide_weight * output.guide_loss
    assert torch.isclose(output.loss, parts)
    output.loss.backward()
    trained = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    expected = {"language_model", "projector", "numeric_head"} | ({"tower", "number_feedback", "dense_head"} if kind == "tiny" else set())
    assert trained == expected


def test_a_frozen_tower_stays_as_it_is(clip: IGLLM) -> None:
    clip.train()
    assert not clip.tower.training
    assert clip.projector.training
    assert not any(name.startswith("tower") for name, p in clip.named_parameters() if p.requires_grad)
    grouped = sum(len(group["params"]) for group in parameter_groups(clip, get_preset("tiny").optimisation))
    assert grouped == sum(p.requires_grad for p in clip.parameters())


def test_a_clip_tower_gives_its_penultimate_patch_tokens(clip: IGLLM) -> None:
    images = torch.randn(2, 3, 64, 64)
    states = clip.tower.encoder(images, output_hidden_states=True).hidden_states
    assert clip.tower(images).shape == (2, 16, 32)
    assert torch.equal(clip.tower(images), states[-2][:, 1:])


def test_neighbouring_cells_of_the_tower_make_one_token(clip: IGLLM) -> None:
    torch.manual_seed(0)
    finer = {**TINY.vision, "hidden_sizes": [16, 32], "depths": [1, 1]}
    merged = build(TINY.replaced(vision_merge=2, vision=finer), CLEVR)[0].eval().tower
    images = torch.randn(2, 3, 128, 160)
    cells = merged.encoder(images).last_hidden_state  # of 8 x 8 pixels
    channels = cells.shape[1]
    assert cells.shape[2:] == (16, 20)
    assert (merged.rows, merged.columns) == (8, 10)
    tokens = merged(images).unflatten(1, (8, 10))
    for quarter, (below, beside) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        inside = tokens[..., quarter * channels : (quarter + 1) * channels]
        assert torch.allclose(inside, cells[:, :, below::2, beside::2].permute(0, 2, 3, 1), atol=1e-3)

    clip.config.vision_merge = 4
    try:
        assert VisionTower(clip.config)(torch.randn(1, 3, 64, 64)).shape == (1, 1, 16 * 32)
        clip.config.vision_merge = 3
        with pytest.raises(UserError, match="vision_merge=3 does not divide the tower's map of 4 x 4 cells"):
            VisionTower(clip.config)
    finally:
        clip.config.vision_merge = 1


def test_padding_changes_nothing(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    tiny.eval()
    whole = batch_of(tiny, codec, renders, 4)
    shortest = int((whole["labels"] != -100).sum(1).argmin())
    alone = {name: value[shortest : shortest + 1] for name, value in whole.items()}
    length = int((alone["labels"][0] != -100).nonzero().max()) + 1
    for name in ("input_ids", "labels", "number_values", "number_slots"):
        alone[name] = alone[name][:, :length]
    for batch in (whole, alone):
        del batch["labels"]
    together = tiny(**whole).logits[shortest, :length]
    assert torch.allclose(tiny(**alone).logits[0], together, atol=1e-4)


def test_numbers_are_read_where_num_is_predicted(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    """Changing the value of one number must leave its own prediction alone, and change a later one (it is fed back)."""
    tiny.eval()
    batch = batch_of(tiny, codec, renders, 1)
    first, second = (int(i) for i in (batch["number_slots"][0] >= 0).nonzero()[:2, 0])
    visual = tiny.prepend_prefix(tiny.encode_image(batch["pixel_values"]))

    def read(at: int) -> torch.Tensor:
        hidden = tiny.run_decoder(
            torch.cat([visual, tiny.embed(batch["input_ids"], batch["number_values"], batch["number_slots"])], 1)
        ).last_hidden_state
        return tiny.numeric_head(hidden[0, visual.shape[1] + at - 1])

    before = read(first), read(second)
    batch["number_values"][0, first] += 0.5
    assert torch.equal(read(first), before[0])
    assert not torch.equal(read(second), before[1])


def test_fed_back_are_the_numbers_of_the_statement_that_spoke_last() -> None:
    feedback = NumberFeedback(4, ["add", "add", "glow"])
    slots = torch.tensor([[-1, 0, -1, 1, -1, 0, 2, -1]])
    values = torch.tensor([[9.0, 0.1, 9.0, 0.2, 9.0, 0.3, 0.4, 9.0]])
    numbers, current = feedback._latest(values, slots)
    expected = [[0, 0, 0], [0.1, 0, 0], [0.1, 0, 0], [0.1, 0.2, 0], [0.1, 0.2, 0], [0.3, 0, 0], [0, 0, 0.4], [0, 0, 0.4]]
    assert torch.equal(current[0], torch.tensor(expected) > 0)
    assert torch.allclose(numbers[0] * current[0], torch.tensor(expected))
    assert (feedback(values, slots)[0, 0] == 0).all()


def test_saving_and_loading_gives_the_same_model(tiny: IGLLM, tmp_path: Path) -> None:
    tiny.eval()
    tiny.save_pretrained(tmp_path)
    again = IGLLM.from_pretrained(tmp_path).eval()
    images, ids = torch.randn(1, 3, 128, 160), torch.tensor([[1, 5, 6, 4]])
    assert torch.equal(again(images, ids).logits, tiny(images, ids).logits)
    ours = set(IGLLMConfig.__annotations__) - {"vision_config", "text_config"}
    assert {name: getattr(again.config, name) for name in ours} == {name: getattr(tiny.config, name) for name in ours}
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        assert set(weights.keys()) == set(tiny.state_dict())


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
    """In seven of ten cases the number is the 0.5 that one visual token shows, else the -0.5 of another, and nothing predicts which."""
    torch.manual_seed(0)
    head = cells.CellHead(16, slots=2, split=1) if choice else NumericHead(16)
    states, visual = torch.randn(1, 16).expand(100, -1), torch.randn(1, 3, 16)
    shown = torch.tensor([[[9.0, -0.5], [9.0, 0.1], [9.0, 0.5]]])  # the other slot has other numbers
    true, periods, slots, images = torch.tensor([0.5] * 70 + [-0.5] * 30), torch.zeros(100), torch.ones(100).long(), torch.zeros(100).long()
    optimizer = torch.optim.Adam(head.parameters(), 0.01)

    def mixture() -> cells.LaplaceMixture:
        return head.mixture(states, slots, images, head.read_cells(visual, shown, torch.empty(1, 3, 0)))

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
    targets = layout.targets(objects, list(range(len(objects))), len(objects), CLEVR)
    head = DenseHead(layout.width, layout)
    with torch.no_grad():
        head.read.weight.copy_(torch.eye(layout.width))
        head.read.bias.zero_()
    tokens = torch.zeros(1, len(objects), layout.width)
    tokens[0, :, 1 : 1 + layout.numbers] = torch.from_numpy(targets["dense_numbers"]) * 0.7  # an angle's need not lie on the circle
    for slot, column in zip(layout.slots, head.values(tokens)[0].T.tolist(), strict=True):
        for obj, value in zip(objects, column, strict=True):
            scale = 1.0 if slot.period else 0.7
            off = value - scale * slot.normalise(slot.value(obj))
            assert abs(off - slot.period * round(off / (slot.period or 1))) < 1e-5


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


def test_a_guide_tells_for_every_token_of_an_object_where_its_centre_is(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    sample = renders[renders.keys[0]]
    example = example_maker(tiny, codec, TINY.examples)(sample, None)
    centres = [[c for c in group if c >= 0] for group in _by_statement(example, codec)]
    assert len(centres) == len(sample.scene)
    for group, label in zip(centres, sample.record["labels"], strict=True):
        x, y, _ = label["pixel_coords"]
        assert set(group) == {int((y + 4) // 16) * 10 + int(x // 16)}


def _by_statement(example: dict, codec: CodeCodec) -> list[list[int]]:
    """The centres in an example, statement by statement; the prompt and the end token have none."""
    first = example["number_slots"].index(0) - len(codec._tokens("add(loc=("))
    assert set(example["centres"][:first]) == {example["centres"][-1]} == {-1}
    body, slots = example["centres"][first:-1], example["number_slots"][first:-1]
    length = len(body) // slots.count(0)
    return [body[i : i + length] for i in range(0, len(body), length)]


def test_without_a_guide_nothing_is_told(codec: CodeCodec, renders: Samples) -> None:
    free = TINY.replaced(guide_weight=0.0)
    model = build(free, CLEVR)[0]
    source = CodeSource(renders, example_maker(model, codec, free.examples))
    batch = Collator(codec.tokenizer.pad_token_id)([source.example(i, None) for i in range(2)])
    assert "centres" not in batch
    assert model(**batch).guide_loss is None


def test_dense_targets_say_what_lies_where(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    make = example_maker(tiny, codec, TINY.examples)
    sample = renders[renders.keys[0]]
    example = make(sample, None)
    present = np.flatnonzero(example["dense_words"][:, 0] == 1)
    assert 0 < len(present) <= len(sample.scene)
    for label in sample.record["labels"]:
        x, y, _ = label["pixel_coords"]
        row, column = int((y + 4) // 8), int(x // 8)  # 120 rows sit in the middle of 128; a token of 16 pixels has 2 x 2 cells
        token, within = row // 2 * 10 + column // 2, row % 2 * 2 + column % 2
        assert example["dense_words"][4 * token + within, 0] == 1
    words = [c.words.index(sample.scene.objects[0][c.name]) for c in CLEVR.statements[0].choices]
    assert words in example["dense_words"][present][:, 1:].tolist()


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
        layout.targets((cube.replaced(rotation=degrees),), [0], 1, CLEVR)["dense_numbers"][0, -2:] for degrees in (89.9, 0.0, 45.0)
    )
    assert np.abs(before - after).max() < 0.01
    assert np.abs(across + after).max() < 1e-6  # half a period away: opposite coordinates


def test_pretraining_teaches_the_tower_and_nothing_else(codec: CodeCodec, renders: Samples) -> None:
    model, _ = build(TINY, CLEVR, stage="pretrain")
    batch = Collator(0)(
        [SampleSource(renders, replace(example_maker(model, codec, TINY.examples), text=False)).example(i, None) for i in range(2)]
    )
    output = model.train()(**batch)
    assert torch.isclose(output.loss, TINY.auxiliary.dense_weight * output.dense_loss)
    output.loss.backward()
    trained = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"tower", "projector", "dense_head"} == {n.partition(".")[0] for n, p in model.named_parameters() if p.requires_grad}


def test_augmentation_is_a_function_of_seed_epoch_and_index(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    source = CodeSource(renders, example_maker(tiny, codec, TINY.replaced(augment=True).examples))
    dataset, other = Mixture([source], [1.0], 3, 32), Mixture([source], [1.0], 4, 32)
    where = {dataset.at(p)[1:]: dataset[p]["pixel_values"] for p in range(32)}
    assert all(torch.equal(dataset[p]["pixel_values"], where[dataset.at(p)[1:]]) for p in range(32))
    assert not any(torch.equal(where[0, number], where[1, number]) for number in range(16))
    assert not torch.equal(other[other_position(other, 2)]["pixel_values"], where[0, 2])


def other_position(dataset: Mixture, number: int) -> int:
    """The position of this sample in the first epoch."""
    return next(p for p in range(16) if dataset.at(p)[2] == number)


def test_mirrored_examples_mirror_the_code_too(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    make = example_maker(tiny, codec, TINY.replaced(augment=True).examples)
    mirrored = 0
    for key in renders.keys:
        sample = renders[key]
        example = make(sample, np.random.default_rng(2))  # its first draw selects mirroring
        scene = CLEVR.mirrored(sample.scene)
        if not CLEVR.violations(scene):
            mirrored += 1
            assert example["input_ids"] == make.prompts[0] + codec.encode(scene).ids
            assert np.allclose(example["number_values"][len(make.prompts[0]) :], codec.encode(scene).values)
    assert mirrored > 4


def test_images_are_padded_never_cut() -> None:
    frame = Frame(64, 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[:, :8], pixels[:, -8:] = 255, 255
    fitted, place = frame.fit(pixels)
    assert fitted.shape == (64, 64, 3)
    assert (fitted[:8] == 128).all()
    assert fitted[32, 0].min() > 200
    assert fitted[32, -1].min() > 200
    assert place(160, 120) == (32, 32)
    assert frame.tensor(fitted).abs().max() <= 1.0


def test_jitter_stays_in_range() -> None:
    pixels = np.full((8, 8, 3), 250, np.uint8)
    varied = jitter(pixels, np.random.default_rng(0))
    assert varied.min() >= 0
    assert varied.max() <= 255
