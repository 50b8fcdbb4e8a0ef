"""The examples that a model learns from: where its guide and its cells are to look, how they are varied, and how images fit."""

from __future__ import annotations

import numpy as np
import torch

from datagen.domains.registry import get_domain
from datagen.shards.reader import Samples
from model.build import build
from model.data.examples import CodeSource, Collator
from model.data.frames import Frame, jitter
from model.data.order import Mixture
from model.igllm import IGLLM
from model.preset import get_preset
from model.tokens.codec import CodeCodec
from model.training.train import example_maker

CLEVR = get_domain("clevr")
TINY = get_preset("tiny").replaced(augment=False)


def test_a_guide_tells_for_every_token_of_an_object_where_its_centre_is(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    sample = renders[renders.keys[0]]
    example = example_maker(tiny, codec, TINY.examples)(sample, None)
    stated = [[c for c in group if c >= 0] for group in _by_statement(example, codec)]
    assert len(stated) == len(sample.scene)
    for group, label in zip(stated, sample.record["labels"], strict=True):
        x, y, _ = label["pixel_coords"]
        assert set(group) == {int((y + 4) // 16) * 10 + int(x // 16)}


def _by_statement(example: dict, codec: CodeCodec) -> list[list[int]]:
    """The centres that an example states, statement by statement; the prompt and the end have none."""
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
        example = make(sample, np.random.default_rng(2))  # whose first draw is to mirror
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
