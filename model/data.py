"""Samples as training examples: image in the tower's frame, code as tokens with numbers beside them, dense labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from datagen.camera import project
from datagen.errors import UserError
from datagen.sample import Sample
from datagen.scene import Scene
from datagen.shards import Samples
from model.codec import CodeCodec
from model.dense import DenseLayout
from model.igllm import IGNORED
from model.images import Frame, Placement, jitter


@dataclass(frozen=True)
class ExampleMaker:
    """Makes an example of a sample. ``grid`` is the tower's (rows, columns); ``layout`` None leaves dense labels out."""

    codec: CodeCodec
    frame: Frame
    prompt: list[int]
    grid: tuple[int, int]
    layout: DenseLayout | None

    def __call__(self, sample: Sample, rng: np.random.Generator | None) -> dict[str, Any]:
        """The example; with ``rng``, mirrored by half and jittered."""
        if sample.scene.domain != self.codec.domain.name:
            raise UserError(f"sample {sample.key} is of the domain {sample.scene.domain}, the model of {self.codec.domain.name}")
        scene, (pixels, place) = sample.scene, self.frame.fit(sample.pixels())
        if rng is not None:
            mirrored = self.codec.domain.mirrored(scene) if rng.random() < 0.5 else None
            if mirrored is not None and not self.codec.domain.violations(mirrored):
                scene, pixels = mirrored, pixels[:, ::-1]
            pixels = jitter(pixels, rng)
        example = {"pixel_values": self.frame.tensor(pixels), **self._tokens(scene)}
        if self.layout is not None:
            rows, columns = self.grid
            cells = self._cells(self._centres(scene, sample, place))
            example |= self.layout.targets(scene.objects, cells, rows * columns, self.codec.domain)
        return example

    def _tokens(self, scene: Scene) -> dict[str, list[Any]]:
        code = self.codec.encode(scene)
        before = len(self.prompt)
        return {
            "input_ids": self.prompt + code.ids,
            "labels": [IGNORED] * before + code.ids,
            "number_values": [0.0] * before + code.values,
            "number_slots": [-1] * before + code.slots,
        }

    def _centres(self, scene: Scene, sample: Sample, place: Placement) -> list[tuple[float, float]]:
        """Each object's centre in pixels of the frame."""
        shot = sample.shot
        where = np.array([self.codec.domain.location(o) for o in scene.objects]).reshape(-1, 3)
        return [place(float(x), float(y)) for x, y, _ in project(shot.camera, shot.width, shot.height, where)]

    def _cells(self, centres: list[tuple[float, float]]) -> list[int | None]:
        rows, columns = self.grid
        cells: list[int | None] = []
        for x, y in centres:
            row, column = int(y * rows // self.frame.height), int(x * columns // self.frame.width)
            cells.append(row * columns + column if 0 <= row < rows and 0 <= column < columns else None)
        return cells


class CodeDataset(Dataset):
    """The examples of a data set, read at random. With ``augment``, variation is a function of seed, epoch and index."""

    def __init__(self, samples: Samples, make: ExampleMaker, seed: int = 0, augment: bool = False) -> None:
        self.samples, self.make, self.seed, self.augment = samples, make, seed, augment
        self.keys, self.epoch = samples.keys, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer's loader as an epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, self.epoch, index)) if self.augment else None
        return self.make(self.samples[self.keys[index]], rng)


@dataclass(frozen=True)
class Collator:
    """Stacks examples into a batch, text padded on the right."""

    pad: int

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch of tensors by the names of `IGLLM.forward`'s arguments."""
        fillers = {"input_ids": self.pad, "labels": IGNORED, "number_values": 0.0, "number_slots": -1}
        batch = {"pixel_values": torch.stack([e["pixel_values"] for e in examples])}
        for name, filler in fillers.items():
            rows = [torch.tensor(e[name]) for e in examples]
            batch[name] = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler)
        for name in ("dense_numbers", "dense_words"):
            if name in examples[0]:
                batch[name] = torch.from_numpy(np.stack([e[name] for e in examples]))
        return batch
