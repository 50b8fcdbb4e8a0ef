"""Samples as training examples (an image in the tower's frame, code as tokens and numbers, dense targets), and their batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.samples.sample import Sample
from datagen.scene import Scene
from datagen.shards.reader import Samples
from model.batch import IGNORED
from model.data.augment import augmented, ordered
from model.data.feature_cache import FeatureCache
from model.data.frames import Frame, Placement
from model.data.lengths import TEXT
from model.parts.dense_head import DenseLayout, cell_of
from model.tokens.codec import CodeCodec, Style


@dataclass(frozen=True)
class ExampleMaker:
    """Makes an example of a sample.

    The first of ``prompts`` (token ids) is the canonical one, which prediction uses. ``grid`` is the tower's (rows, columns). Without
    ``layout`` there are no dense targets, without ``text`` there is no code; ``guide`` adds ``centres`` (see `model.batch.Batch`).

    Random variation: ``augment`` mirrors and jitters images (`model.data.augment.augmented`), ``order_noise`` changes the order of objects
    (`model.data.augment.ordered`), ``shuffle_attributes`` and ``synonyms`` change the code (`model.tokens.codec.Style`).
    """

    codec: CodeCodec
    frame: Frame
    prompts: Sequence[list[int]]
    grid: tuple[int, int]
    layout: DenseLayout | None
    augment: bool
    shuffle_attributes: bool = False
    synonyms: bool = False
    order_noise: float = 0.0
    text: bool = True
    guide: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator | None, features: np.ndarray | None = None) -> dict[str, Any]:
        """The example, varied by ``rng``, or canonical without it. With the tower's ``features`` (tokens, width), no image is decoded."""
        check_domain(sample, self.codec.domain)
        prompt = self.prompts[0]
        if rng is not None and len(self.prompts) > 1:
            prompt = self.prompts[int(rng.integers(len(self.prompts)))]
        scene = self.codec.dialect.written(sample.scene, sample.shot)
        mirrored = False
        if features is None:
            pixels = sample.pixels()
            place = self.frame.placement(*pixels.shape[:2])
            scene, mirrored, values = self._image(scene, pixels, rng if self.augment else None)
            example: dict[str, Any] = {"pixel_values": values}
        else:
            place = self.frame.placement(sample.shot.height, sample.shot.width)
            example = {"visual_features": torch.from_numpy(features)}
        scene, order = ordered(scene, self.codec.dialect, rng, self.order_noise)
        centres = self._centres(sample, place, mirrored) if self.guide or self.layout is not None else []
        centres = [centres[i] for i in order] if centres else []
        if self.text:
            example |= self._tokens(scene, prompt, rng, centres)
        if self.layout is not None:
            cells = [cell_of(x, y, *self.grid, self.layout.split) for x, y in centres]
            example |= self.layout.targets(scene, cells, math.prod(self.grid), self.codec.dialect)
        return example

    def _image(self, scene: Scene, pixels: np.ndarray, rng: np.random.Generator | None) -> tuple[Scene, bool, torch.Tensor]:
        """Scene, whether both are mirrored, and image (3, height, width), augmented with ``rng``."""
        pixels, _ = self.frame.fit(pixels)
        mirrored = False
        if rng is not None:
            scene, pixels, mirrored = augmented(scene, pixels, self.codec.dialect, rng)
        return scene, mirrored, self.frame.tensor(pixels)

    def _tokens(
        self, scene: Scene, prompt: list[int], rng: np.random.Generator | None, centres: list[tuple[float, float]]
    ) -> dict[str, list[Any]]:
        """The fields of a `Batch` for a text: prompt and code, of which only the code is learnt."""
        style = None if rng is None else Style(rng, self.shuffle_attributes, self.synonyms)
        code = self.codec.encode_written(scene, style)
        before = len(prompt)
        tokens: dict[str, list[Any]] = {
            "input_ids": prompt + code.ids,
            "labels": [IGNORED] * before + code.ids,
            "number_values": [0.0] * before + code.values,
            "number_slots": [-1] * before + code.slots,
        }
        if self.guide:
            cells = [-1 if (cell := cell_of(x, y, *self.grid)) is None else cell for x, y in centres]
            tokens["centres"] = [-1] * before + [cells[i] if i >= 0 else -1 for i in code.objects]
        return tokens

    def _centres(self, sample: Sample, place: Placement, mirrored: bool) -> list[tuple[float, float]]:
        """Each object's centre in the frame, mirrored if the image is: x and y, in [0, 1) if it is within."""
        placed = [place(float(x), float(y)) for x, y, _ in self.codec.domain.centres(sample.scene.objects, sample.shot)]
        found = [(x / self.frame.width, y / self.frame.height) for x, y in placed]
        return [(1 - x, y) for x, y in found] if mirrored else found


def check_domain(sample: Sample, domain: Domain) -> None:
    """`UserError` unless the sample is of that domain."""
    if sample.scene.domain != domain.name:
        raise UserError(f"sample {sample.key} is of the domain {sample.scene.domain}, the model of {domain.name}")


class SampleSource:
    """The examples that ``make`` makes of a data set's samples, by number. `UserError` if two samples have the same key."""

    def __init__(self, samples: Samples, make: Callable[..., dict[str, Any]]) -> None:
        samples.refuse_repeats()
        self.samples, self.make, self.far_shards = samples, make, samples.far_shards

    def __len__(self) -> int:
        return len(self.samples)

    def example(self, number: int, rng: np.random.Generator | None) -> dict[str, Any]:
        """The example of a sample; `UserError` if it is damaged or of another domain."""
        return self.make(self.samples.at(number), rng)


class CodeSource(SampleSource):
    """A `SampleSource` of examples with code, for a language model. With ``features``, images are not decoded."""

    make: ExampleMaker

    def __init__(self, samples: Samples, make: ExampleMaker, features: FeatureCache | None = None) -> None:
        super().__init__(samples, make)
        self.features = features

    def example(self, number: int, rng: np.random.Generator | None) -> dict[str, Any]:
        """The example of a sample; `UserError` if it is damaged or of another domain."""
        features = None if self.features is None else self.features.rows([number])[0]
        return self.make(self.samples.at(number), rng, features)

    def pixel_values(self, number: int) -> torch.Tensor:
        """A sample's image, not augmented, as input of the tower, (3, height, width)."""
        return self.make.frame.tensor(self.make.frame.fit(self.samples.at(number).pixels())[0])


@dataclass(frozen=True)
class Collator:
    """Stacks examples into a batch, text padded on the right."""

    pad: int

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The fields of a `Batch`."""
        image = "pixel_values" if "pixel_values" in examples[0] else "visual_features"
        batch = {image: torch.stack([e[image] for e in examples])}
        for name, filler in {**TEXT, "input_ids": self.pad}.items():
            if name not in examples[0]:
                continue
            rows = [torch.tensor(e[name]) for e in examples]
            batch[name] = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler)
        for name in ("dense_numbers", "dense_words", "image_numbers"):
            if name in examples[0]:
                batch[name] = torch.from_numpy(np.stack([e[name] for e in examples]))
        return batch
