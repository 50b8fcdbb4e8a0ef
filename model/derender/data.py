"""Samples as examples of de-rendering: an image, and for every object its box, its mask, its words and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from datagen.domains.base import Domain
from datagen.domains.dialects import Dialect
from datagen.errors import UserError
from datagen.samples.labels import decode_rle
from datagen.samples.sample import Sample
from model.data.augment import augmented
from model.data.examples import check_domain
from model.data.frames import Frame
from model.derender.regions import boxes_of, jittered
from model.tokens.pieces import Slot, choice_targets


@dataclass(frozen=True)
class RegionMaker:
    """Makes a training example from a sample, varied by `model.data.augment.augmented` if ``augment``."""

    domain: Domain
    slots: Sequence[Slot]
    frame: Frame
    augment: bool

    def __call__(self, sample: Sample, rng: np.random.Generator | None) -> dict[str, torch.Tensor]:
        """The arguments of `Derenderer.forward`, without the leading dimension; with ``rng``, regions are jittered boxes.

        `UserError` for a sample of another domain or without labels of every object.
        """
        check_domain(sample, self.domain)
        owners = self.frame.fit_labels(owners_of(sample))
        objects, pixels = sample.scene.objects, self.frame.fit(sample.pixels())[0]
        if self.augment and rng is not None:
            scene, pixels, mirrored = augmented(sample.scene, pixels, Dialect(self.domain), rng)
            objects = scene.objects
            owners = owners[:, ::-1].copy() if mirrored else owners
        boxes = boxes_of(owners, len(objects))
        numbers = [[x for slot in self.slots for x in slot.coordinates(slot.normalise(slot.value(obj)))] for obj in objects]
        words = np.array([choice_targets(obj, self.domain) for obj in objects], np.int64)
        return {
            "pixel_values": self.frame.tensor(pixels),
            "boxes": torch.from_numpy(boxes),
            "regions": torch.from_numpy(boxes if rng is None else jittered(boxes, rng)),
            "owners": torch.from_numpy(owners),
            "words": torch.from_numpy(words.reshape(len(objects), -1)),
            "numbers": torch.tensor(numbers, dtype=torch.float32).reshape(len(objects), -1),
        }


def owners_of(sample: Sample) -> np.ndarray:
    """(height, width) int16: the number of the object that each pixel shows, from 1 in the scene's order; 0 for none.

    `UserError` for a sample without a mask for every object.
    """
    shot, labels = sample.shot, sample.record["labels"]
    owners = np.zeros((shot.height, shot.width), np.int16)
    try:
        if len(labels) != len(sample.scene):
            raise ValueError(f"{len(labels)} labels of {len(sample.scene)} objects")
        for number, label in enumerate(labels, 1):
            owners[decode_rle(label["mask"])] = number
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"sample {sample.key} has not the masks that de-rendering learns from ({error})") from None
    return owners


def collate_regions(examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The arguments of `Derenderer.forward` for a batch; images with fewer objects than others are padded with zeros."""
    stacked = {name: torch.stack([e[name] for e in examples]) for name in ("pixel_values", "owners")}
    padded = {name: pad_sequence([e[name] for e in examples], batch_first=True) for name in ("boxes", "regions", "words", "numbers")}
    return {**stacked, **padded}
