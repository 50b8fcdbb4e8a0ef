"""A sample: one image with its code and its record, as a value and as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from datagen.code.grammar import write_code
from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import ImageError, UserError
from datagen.geometry.view import View
from datagen.images.encoding import IMAGE_SUFFIXES, decode_image, encode_image
from datagen.samples.labels import label_objects, view_of
from datagen.samples.record import read_sample_record
from datagen.scene import Scene, Shot

FORMAT_VERSION = 2
CAPTION_SUFFIX, DEPTH_SUFFIX, MASKS_SUFFIX, NORMALS_SUFFIX = ".txt", ".depth.npy", ".masks.png", ".normals.npy"
EXTRA_SUFFIXES = (CAPTION_SUFFIX, DEPTH_SUFFIX, MASKS_SUFFIX, NORMALS_SUFFIX)
SUFFIXES = (*IMAGE_SUFFIXES.values(), ".py", ".json", *EXTRA_SUFFIXES)
"""The suffixes of all files that a sample may have, in the order in which a shard stores them."""


@dataclass(frozen=True)
class Sample:
    """One image with its code and its record.

    ``image`` is the encoded image file, whose suffix is ``suffix``; ``code`` the canonical graphics code; ``record`` the content of the
    ``.json``, as `datagen.samples.record.SampleRecord` declares it; ``extras`` the optional files by suffix (caption, depth, masks,
    normals).
    """

    key: str
    image: bytes
    code: str
    record: Mapping[str, Any]
    suffix: str = ".png"
    extras: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def scene(self) -> Scene:
        """The scene, objects in canonical order."""
        return Scene.from_json(self.record["scene"])

    @cached_property
    def shot(self) -> Shot:
        """Frame, quality, camera, lamps and noise seed that the image was made with."""
        return Shot.from_json(self.record["shot"])

    @cached_property
    def domain(self) -> Domain:
        """The domain of the scene."""
        return get_domain(self.record["domain"])

    def pixels(self) -> np.ndarray:
        """The image as (height, width, 3) uint8. `ImageError` if it cannot be read or its size differs from the record."""
        pixels = decode_image(self.image, self.key)
        (height, width, _), shot = pixels.shape, self.record["shot"]
        if (width, height) != (shot["width"], shot["height"]):
            raise ImageError(f"{self.key}: its image has {width}x{height} pixels, and its record is of {shot['width']}x{shot['height']}")
        return pixels

    def files(self) -> dict[str, bytes]:
        """The sample's files by suffix, in the order in which a shard holds them."""
        record = (json.dumps(self.record, allow_nan=False) + "\n").encode()
        return {self.suffix: self.image, ".py": self.code.encode(), ".json": record, **self.extras}

    @staticmethod
    def from_files(key: str, files: Mapping[str, bytes], where: str) -> Sample:
        """The inverse of `files`; `UserError` naming `where` and `key` if one is missing or damaged."""
        suffix = next((suffix for suffix in IMAGE_SUFFIXES.values() if suffix in files), None)
        missing = [name for name in (".py", ".json") if name not in files] + ([] if suffix else ["image"])
        if missing or suffix is None:
            raise UserError(f"{where}: sample {key} lacks its {', '.join(missing)}")
        extras = {suffix: files[suffix] for suffix in EXTRA_SUFFIXES if suffix in files}
        code = decode_code(files[".py"], f"{where}: sample {key}")
        sample = Sample(key, files[suffix], code, read_sample_record(files[".json"], f"{where}: sample {key}"), suffix, extras)
        domain = sample.domain
        try:
            domain.check_form(sample.scene)
            domain.check_shot(sample.shot)
        except UserError as error:
            raise UserError(f"{where}: sample {key} is damaged: {error}") from None
        return sample


@dataclass(frozen=True)
class EncodedSample:
    """A sample as its encoded files by suffix, which can be stored without decoding them."""

    key: str
    content: Mapping[str, bytes]

    def files(self) -> Mapping[str, bytes]:
        """The sample's files by suffix, in the order in which a shard holds them."""
        return self.content

    def decoded(self) -> Sample:
        """The sample; `UserError` if it is damaged."""
        return Sample.from_files(self.key, self.content, "a rendered sample")


def decode_code(data: bytes, where: str) -> str:
    """The graphics code in a sample's ``.py``; raises a `UserError` that begins with ``where`` if it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is damaged: its code is not UTF-8 ({error.reason})") from None


def make_sample(
    key: str,
    scene: Scene,
    shot: Shot,
    pixels: np.ndarray,
    view: View | None = None,
    *,
    image_format: str = "png",
    extras: Mapping[str, bytes] | None = None,
    facts: Mapping[str, Any] | None = None,
    **origin: Any,
) -> Sample:
    """A sample from a rendered image (height, width, 3) uint8. ``origin`` may hold index, seed, attempt and split; ``facts`` are further
    fields of the record."""
    domain = get_domain(scene.domain)
    scene = domain.canonical(scene)
    record = {
        "domain": domain.name,
        "index": origin.get("index"),
        "seed": origin.get("seed"),
        "attempt": origin.get("attempt"),
        "split": origin.get("split"),
        "scene": scene.to_json(),
        "shot": shot.to_json(),
        "labels": label_objects(scene, domain, shot, view or view_of(scene, domain, shot)),
        **(facts or {}),
    }
    image = encode_image(pixels, image_format)
    return Sample(key, image, write_code(scene, domain), record, IMAGE_SUFFIXES[image_format], extras or {})
