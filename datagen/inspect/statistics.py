"""The statistics of a data set, gathered in one pass over its records. They take eight bytes a sample, for indices; no other counter grows.

Every record is read. Images are decoded, and visible shares computed, for at most `MOST_IMAGES` samples, evenly spread over the set.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from datagen.domains.base import Domain
from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.geometry.view import min_visible_pixels
from datagen.inspect.histograms import Histogram, Plane
from datagen.inspect.problems import index_gaps, never_met, ranges_text, statement_problems
from datagen.inspect.tallies import OTHERS, ImageTally, Lamps, StatementTally
from datagen.io.progress import progress
from datagen.samples.labels import view_of
from datagen.samples.sample import Sample
from datagen.scene import FRAME_SIDES, Camera, Object, Scene, Shot
from datagen.shards.reader import Samples

T = TypeVar("T")

MOST_IMAGES = 1000
"""Samples whose images and visible shares are counted."""
MOST_CAMERAS = 100  # counted one by one; the rest are counted together
MOST_CAST = 10**8  # pixels cast for one sample, in which each object is cast alone over a whole frame
FRAME_CELLS = (48, 64)  # rows, columns


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, evenly spaced, the first and the last among them."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)]


class Statistics:
    """All counts of the samples of a data set."""

    def __init__(self, rules: Split | None = None) -> None:
        """``rules`` is the split that limits the scenes; None for the splits that the records name."""
        self.rules = rules
        self.samples = self.objects = 0
        self.domains: Counter[str] = Counter()
        self.frames: Counter[tuple[int, int, str]] = Counter()
        self.objects_per_scene: Counter[int] = Counter()
        self.statements: dict[tuple[str, str], StatementTally] = {}
        self.positions = Plane()
        self.centres = np.zeros(FRAME_CELLS, np.int64)
        """The number of objects' centres in each cell of the frame, `FRAME_CELLS`, rows from the top, for frames of any size."""
        self.centres_outside = 0
        self.visible: dict[int, Histogram] = {}
        """Visible pixels of an object, by the number of objects in its scene."""
        self.too_little_seen = 0
        self.visible_share: dict[int, Histogram] = {}
        """In the sampled images: an object's visible pixels over those that it would show alone, by the number of objects in its scene."""
        self.images = ImageTally()
        self.image_bytes = Histogram(1, 2**30, 240, log=True)
        self.cameras: Counter[tuple[str, Camera] | None] = Counter()
        self.lamps: dict[str, Lamps] = {}
        self.attempts: Counter[int] = Counter()
        self.attempts_by_count: dict[int, Histogram] = {}
        self.indices: dict[tuple[int | None, str | None], array[int]] = {}
        """The indices by seed and split."""
        self.no_index = 0

    @property
    def unit(self) -> str:
        """The unit of positions."""
        return " or ".join(dict.fromkeys(tally.domain.unit for tally in self.statements.values()))

    def add(self, sample: Sample) -> None:
        """Count a sample's record. ValueError, LookupError, TypeError, AttributeError or OverflowError if it is damaged."""
        self.samples += 1
        scene, shot, record = sample.scene, sample.shot, sample.record
        self.objects += len(scene)
        self.domains[sample.domain.name] += 1
        self.frames[shot.width, shot.height, shot.quality] += 1
        self.objects_per_scene[len(scene)] += 1
        self.image_bytes.add(len(sample.image))
        for obj, label in zip(scene, record["labels"], strict=True):
            tally = self._tally(sample.domain, obj)
            if not record.get("view"):  # counted once for a scene of several views: else what is rare would look like a rule
                tally.add(obj)
            x, y, _ = sample.domain.location(obj)
            self.positions.add(x, y)
            self._add_label(label, shot, len(scene))
        self._add_shot(shot)
        self._add_origin(record, len(scene))

    def _tally(self, domain: Domain, obj: Object) -> StatementTally:
        key = (domain.name, obj.statement)
        if key not in self.statements:
            self.statements[key] = StatementTally(domain, domain.statement(obj.statement), partial(self._excluded, domain))
        return self.statements[key]

    def _excluded(self, domain: Domain, words: Mapping[str, str]) -> bool:
        """Whether no split of the samples allows an object with these words. Unknown splits allow everything."""
        names = [] if self.rules else {split for _, split in self.indices}
        splits = [self.rules] if self.rules else [domain.splits.get(str(name)) for name in names]
        return bool(splits) and not any(split is None or split.allows(words) for split in splits)

    def _add_label(self, label: dict[str, Any], shot: Shot, count: int) -> None:
        seen = label["visible_pixels"]
        self.visible.setdefault(count, Histogram(1, 2**26, 156, log=True)).add(seen)
        self.too_little_seen += seen < min_visible_pixels(shot.width, shot.height)
        x, y = label["pixel_coords"][0] / shot.width, label["pixel_coords"][1] / shot.height
        rows, columns = FRAME_CELLS
        if 0 <= x < 1 and 0 <= y < 1:
            self.centres[int(y * rows), int(x * columns)] += 1
        else:
            self.centres_outside += 1

    def _add_shot(self, shot: Shot) -> None:
        if shot.camera is not None:
            camera = (str(shot.camera.name), shot.camera)
            self.cameras[camera if camera in self.cameras or len(self.cameras) < MOST_CAMERAS else None] += 1
        for lamp in shot.lamps:
            lamps = self.lamps.setdefault(lamp.name, Lamps())
            lamps.count += 1
            lamps.least, lamps.most = np.minimum(lamps.least, lamp.location), np.maximum(lamps.most, lamp.location)

    def _add_origin(self, record: Any, count: int) -> None:
        index, attempt = record.get("index"), record.get("attempt")
        if index is None:
            self.no_index += 1
        else:
            self.indices.setdefault((record.get("seed"), record.get("split")), array("q")).append(index)
        if attempt is not None:
            self.attempts[int(attempt).bit_length()] += 1
            self.attempts_by_count.setdefault(count, Histogram(0, 1000, 1)).add(attempt)

    def add_image(self, sample: Sample) -> None:
        """Count what is counted only for evenly spread samples: pixels, positions of lamps, the visible share of each object."""
        self.images.add(sample.pixels())
        for lamp in sample.shot.lamps:
            self.lamps[lamp.name].shown.append(lamp.location)
        shares = self.visible_share.setdefault(len(sample.scene), Histogram(0, 1, 100)) if len(sample.scene) else None
        shot, pixels = _coarser(sample.shot, len(sample.scene))
        for obj, label in zip(sample.scene, sample.record["labels"], strict=True):
            alone = pixels * pixels_alone(obj, sample.domain, shot)
            if shares is not None and alone:
                shares.add(label["visible_pixels"] / alone if pixels == 1 else min(1.0, label["visible_pixels"] / alone))

    def problems(self) -> list[str]:
        """The problems found, a sentence each."""
        found = []
        for tally in self.statements.values():
            found += statement_problems(tally)
        if self.too_little_seen:
            found.append(f"{self.too_little_seen:,} of {self.objects:,} objects show fewer pixels than generation demands of every object")
        for (seed, split), held in self.indices.items():
            gaps, repeated = index_gaps(held)
            if gaps:
                found.append(f"seed {seed}, split {split}: indices are missing: {ranges_text(gaps)}")
            if repeated:
                found.append(f"seed {seed}, split {split}: {repeated:,} indices come more than once")
        if len({frame[:2] for frame in self.frames}) > 1:
            found.append(
                f"frames of different sizes; the mean image is of the {self.images.sizes.most_common(1)[0][1]:,} of the most frequent"
            )
        return found

    def as_asked(self) -> list[str]:
        """Words that never occur, and pairs that never occur together, because the splits exclude them, a sentence each."""
        return [line for tally in self.statements.values() for line in never_met(tally, excluded=True)]

    def to_json(self) -> dict[str, Any]:
        """The content of ``statistics.json`` about samples; docs/data.md describes the fields."""
        return {
            "samples": self.samples,
            "objects": self.objects,
            "domains": dict(self.domains),
            "frames": {f"{width}x{height} {quality}": n for (width, height, quality), n in self.frames.most_common()},
            "objects_per_scene": {str(count): self.objects_per_scene[count] for count in sorted(self.objects_per_scene)},
            "statements": [tally.to_json() for tally in self.statements.values()],
            "visible_pixels": {str(count): self.visible[count].to_json() for count in sorted(self.visible)},
            "too_little_seen": self.too_little_seen,
            "visible_share": {str(count): self.visible_share[count].to_json() for count in sorted(self.visible_share)},
            "centres_outside_frame": self.centres_outside,
            "images": self.images.to_json(),
            "image_bytes": self.image_bytes.to_json(),
            "cameras": list(camera_rows(self.cameras)),
            "lamps": {
                name: {"lamps": lamps.count, "min": lamps.least.tolist(), "max": lamps.most.tolist()} for name, lamps in self.lamps.items()
            },
            "attempts": {attempts_text(power): self.attempts[power] for power in sorted(self.attempts)},
            "origins": origin_rows(self.indices),
            "without_index": self.no_index,
            "as_asked": self.as_asked(),
            "problems": self.problems(),
        }


def gather(samples: Samples, rules: Split | None = None) -> Statistics:
    """The statistics of all samples, counted in one pass. `UserError` naming a sample whose record or image is damaged."""
    statistics = Statistics(rules)
    with_images = set(spread(samples.keys, MOST_IMAGES))
    for sample in progress(samples, total=len(samples), desc="inspect"):
        try:
            statistics.add(sample)
            if sample.key in with_images:
                statistics.add_image(sample)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError) as error:
            raise UserError(f"{samples.path}: sample {sample.key} is damaged ({type(error).__name__}: {error})") from None
    return statistics


def _coarser(shot: Shot, count: int) -> tuple[Shot, float]:
    """The shot in which to cast each of `count` objects alone, and how many pixels of the given shot one of its pixels stands for: the
    given shot and 1, unless that would cast more than `MOST_CAST` pixels."""
    step = math.ceil(math.sqrt(count * shot.width * shot.height / MOST_CAST))
    if step <= 1:
        return shot, 1.0
    coarse = replace(shot, width=max(FRAME_SIDES[0], shot.width // step), height=max(FRAME_SIDES[0], shot.height // step))
    return coarse, shot.width * shot.height / (coarse.width * coarse.height)


def pixels_alone(obj: Object, domain: Domain, shot: Shot) -> int:
    """The number of pixels that would show the object if it were alone in the scene."""
    alone = view_of(Scene(domain.name, (obj,)), domain, shot)
    return int(alone.visible_pixels(1)[0])


def attempts_text(power: int) -> str:
    """The numbers of attempts that one count of `Statistics.attempts` stands for: ``0``, ``1``, ``2–3``, ``4–7``, …"""
    first, last = (0, 0) if power == 0 else (2 ** (power - 1), 2**power - 1)
    return f"{first}" if first == last else f"{first}–{last}"


def origin_rows(indices: dict[tuple[int | None, str | None], array[int]]) -> list[dict[str, Any]]:
    """A row for each seed and split: the number of samples, the first and last index, and the indices missing between."""
    rows = []
    for (seed, split), held in indices.items():
        gaps, repeated = index_gaps(held)
        missing = sum(b - a + 1 for a, b in gaps)
        row = {"seed": seed, "split": split, "samples": len(held), "first": min(held), "last": max(held)}
        rows.append(row | {"missing": missing, "gaps": [list(gap) for gap in gaps[:100]], "repeated": repeated})
    return rows


def camera_rows(cameras: Counter[tuple[str, Camera] | None]) -> Iterator[dict[str, Any]]:
    """A row for each camera, the most used first: its fields, and the number of samples that use it."""
    for camera, samples in cameras.most_common():
        if camera is None:
            yield {"name": OTHERS, "samples": samples}
        else:
            fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(camera[1]).items()}
            yield {**fields, "name": camera[0], "samples": samples}
