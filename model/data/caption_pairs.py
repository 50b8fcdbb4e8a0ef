"""Image-caption pairs for feature alignment: WebDataset tars of images and texts, such as Conceptual Captions.

An unusable pair (a broken image; an empty, endless or missing caption) is replaced by the next usable one, which is always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from datagen.errors import UserError
from datagen.images.encoding import decode_image
from datagen.samples.sample import CAPTION_SUFFIX
from datagen.screen import print_line
from datagen.shards.reader import Samples
from model.batch import IGNORED
from model.data.feature_cache import FeatureCache
from model.data.frames import Frame

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
CAPTION_TOKENS = 128  # at most, with the end token
MOST_BYTES = 16_384  # of a caption, which is tokenised whole before it is cut, because a part of a text may have other tokens
MOST_SKIPPED = 1000  # unusable pairs in a row; with more, the data set is refused
MOST_NAMED = 10  # unusable pairs whose names a process prints


@dataclass(frozen=True)
class CaptionMaker:
    """Makes the example of an image and its caption. ``prompts`` are token ids; a caption has at most ``max_tokens`` with its end token."""

    tokenizer: Any
    frame: Frame
    prompts: Sequence[list[int]]
    max_tokens: int

    def text(self, caption: str, rng: np.random.Generator | None) -> dict[str, list[Any]]:
        """The fields of a `Batch` for a text: a random prompt (without ``rng`` the first), caption, end token; the prompt is not learnt."""
        prompt = self.prompts[0 if rng is None else int(rng.integers(len(self.prompts)))]
        ids = [*self.tokenizer.encode(caption, add_special_tokens=False)[: self.max_tokens - 1], self.tokenizer.eos_token_id]
        length = len(prompt) + len(ids)
        return {
            "input_ids": prompt + ids,
            "labels": [IGNORED] * len(prompt) + ids,
            "number_values": [0.0] * length,
            "number_slots": [-1] * length,
        }

    def pixel_values(self, image: bytes, where: str) -> torch.Tensor:
        """An encoded image as input of the tower, (3, height, width). `UserError` if it cannot be read."""
        return self.frame.tensor(self.frame.fit(decode_image(image, where))[0])


class CaptionSource:
    """The examples of a data set's pairs, by number. With ``features``, images are not decoded. `UserError` if there are no captions.

    ``skipped`` counts the pairs that this process and its workers have found unusable.
    """

    def __init__(self, samples: Samples, make: CaptionMaker, features: FeatureCache | None = None) -> None:
        self.samples, self.make, self.features, self.far_shards = samples, make, features, samples.far_shards
        self._unusable = torch.zeros(len(samples), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]
        self._named = 0
        firsts = range(min(MOST_SKIPPED, len(samples)))
        if not any(CAPTION_SUFFIX in self._files(number) for number in firsts):
            none = "no sample has" if len(firsts) == len(samples) else f"none of the first {len(firsts):,} samples has"
            raise UserError(
                f"{samples.name}: {none} a {CAPTION_SUFFIX} ({samples.key(0)} has {', '.join(sorted(self._files(0)))}); pairs of an image "
                "and a caption are needed: `igllm generate --captions` writes them"
            )

    @property
    def skipped(self) -> int:
        return int(self._unusable.sum())

    def __len__(self) -> int:
        return len(self.samples)

    def example(self, number: int, rng: np.random.Generator | None) -> dict[str, Any]:
        """The example of a pair, or of the next usable one. `UserError` if `MOST_SKIPPED` pairs in a row are unusable, or all are."""
        for other in range(number, number + min(MOST_SKIPPED, len(self))):
            try:
                return self._example(other % len(self), rng)
            except _Unusable as reason:
                self._skip(other % len(self), str(reason))
        raise UserError(f"{self.samples.name}: from sample {self.samples.key(number)} on, no pair of an image and a caption can be used")

    def pixel_values(self, number: int) -> torch.Tensor | None:
        """A pair's image as input of the tower; None if it cannot be read."""
        try:
            return self._pixel_values(self._files(number), number)
        except _Unusable:
            return None

    def _example(self, number: int, rng: np.random.Generator | None) -> dict[str, Any]:
        files = self._files(number)
        if CAPTION_SUFFIX not in files:
            raise _Unusable("it has no caption")
        if len(files[CAPTION_SUFFIX]) > MOST_BYTES:
            raise _Unusable(f"its caption has {len(files[CAPTION_SUFFIX]):,} bytes, more than {MOST_BYTES:,}")
        try:
            caption = " ".join(files[CAPTION_SUFFIX].decode("utf-8-sig").split())
        except UnicodeDecodeError:
            raise _Unusable("its caption is not UTF-8 text") from None
        if not caption:
            raise _Unusable("its caption is empty")
        if self.features is None:
            example: dict[str, Any] = {"pixel_values": self._pixel_values(files, number)}
        else:
            features = self.features.rows([number])[0]
            if np.isnan(features[0, 0]):
                raise _Unusable("its image cannot be read")
            example = {"visual_features": torch.from_numpy(features)}
        return example | self.make.text(caption, rng)

    def _files(self, number: int) -> dict[str, bytes]:
        """A pair's files by suffix, in lower case because cameras and Windows write ``.JPG``."""
        return {suffix.lower(): data for suffix, data in self.samples.files(number).items()}

    def _pixel_values(self, files: dict[str, bytes], number: int) -> torch.Tensor:
        image = next((files[suffix] for suffix in IMAGE_SUFFIXES if suffix in files), None)
        if image is None:
            raise _Unusable("it has no image")
        try:
            return self.make.pixel_values(image, self.samples.key(number))
        except Exception as error:  # decoders raise many kinds of errors
            raise _Unusable(f"its image cannot be read ({error})") from None

    def _skip(self, number: int, reason: str) -> None:
        if self._unusable[number]:
            return
        self._unusable[number] = True
        if self._named < MOST_NAMED:
            self._named += 1
            more = "; further ones are counted, not named" if self._named == MOST_NAMED else ""
            print_line(f"{self.samples.name}: sample {self.samples.key(number)} is skipped: {reason}{more}")


class _Unusable(Exception):
    """The reason why a pair makes no example."""
