"""A step's batches gathered anew by the length of their texts: the same samples, less padding."""

from __future__ import annotations

from itertools import chain

import torch

from datagen.shards.reader import Samples
from model.batch import IGNORED
from model.data.examples import CodeSource, Collator
from model.data.lengths import of_like_length
from model.igllm import IGLLM
from model.preset import get_preset
from model.tokens.codec import CodeCodec
from model.training.train import example_maker


def rows_of(batches: list[dict[str, torch.Tensor]]) -> list[dict[str, list]]:
    """What there is of each sample, without padding, in an order of its own."""
    rows = []
    for batch in batches:
        for row in range(len(batch["labels"])):
            end = int((batch["labels"][row] != IGNORED).nonzero()[-1]) + 1
            fields = {name: values[row] for name, values in batch.items()}
            rows.append({name: (v[:end] if v.shape[:1] == batch["labels"].shape[1:] else v).tolist() for name, v in fields.items()})
    return sorted(rows, key=lambda row: row["pixel_values"])


def test_the_same_samples_come_together_by_length(tiny: IGLLM, codec: CodeCodec, renders: Samples) -> None:
    source = CodeSource(renders, example_maker(tiny, codec, get_preset("tiny").replaced(augment=False).examples))
    collate = Collator(codec.tokenizer.pad_token_id)
    batches = [collate([source.example(number, None) for number in numbers]) for numbers in (range(5), range(5, 10), range(10, 13))]
    gathered = of_like_length(batches)
    assert [len(batch["labels"]) for batch in gathered] == [5, 5, 3]
    assert rows_of(gathered) == rows_of(batches)
    ends = [[int((row != IGNORED).nonzero()[-1]) + 1 for row in batch["labels"]] for batch in gathered]
    assert list(chain(*ends)) == sorted(chain(*ends), reverse=True)
    assert [batch["input_ids"].shape[1] for batch in gathered] == [each[0] for each in ends]
    padded, before = (sum(batch["labels"].numel() for batch in each) for each in (gathered, batches))
    assert padded < before
    assert tiny.loss_counts(gathered[0]).shape == (4,)


def test_one_batch_stays_as_it_is() -> None:
    batch = {"labels": torch.tensor([[IGNORED, 3], [4, IGNORED]])}
    assert torch.equal(of_like_length([batch])[0]["labels"], batch["labels"])
