"""A sample: one image with its code and its record, as one value and as the files it is stored in."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from datagen.code import write_code
from datagen.domain import Domain
from datagen.domains import get_domain
from datagen.errors import UserError
from datagen.labels import View, cast, label_objects
from datagen.scene import Scene, Shot

FORMAT_VERSION = 1
IMAGE_SUFFIX = ".png"
SUFFIXES = (IMAGE_SUFFIX, ".py", ".json")
"""A sample's files in the order in which a shard holds them."""


@dataclass(frozen=True)
class Sample:
    """``image`` is the encoded file, ``code`` the canonical graphics code, ``record`` the content of the ``.json``.

    The record has ``domain``, ``index``, ``seed``, ``attempt`` and ``split`` (null where code was rendered that no seed made), ``scene``,
    ``shot`` and ``labels`` (a list parallel to the scene's objects, see `datagen.labels.label_objects`).
    """

    key: str
    image: bytes
    code: str
    record: Mapping[str, Any]

    @cached_property
    def scene(self) -> Scene:
        """The scene, objects in canonical order."""
        return Scene.from_json(self.record["scene"])

    @cached_property
    def shot(self) -> Shot:
        """Frame, quality, camera, lamps and noise seed that the image was made with."""
        return Shot.from_json(self.record["shot"])

    @property
    def domain(self) -> Domain:
        return get_domain(self.record["domain"])

    def pixels(self) -> np.ndarray:
        """The image as (height, width, 3) uint8."""
        return decode_image(self.image, self.key)

    def files(self) -> dict[str, bytes]:
        """The sample's files by suffix, in the order in which a shard holds them."""
        return {IMAGE_SUFFIX: self.image, ".py": self.code.encode(), ".json": (json.dumps(self.record, allow_nan=False) + "\n").encode()}

    @staticmethod
    def from_files(key: str, files: Mapping[str, bytes], where: str) -> Sample:
        """The inverse of `files`; `UserError` naming `where` and `key` if one is missing or damaged."""
        missing = [suffix for suffix in SUFFIXES if suffix not in files]
        if missing:
            raise UserError(f"{where}: sample {key} lacks its {', '.join(missing)}")
        try:
            sample = Sample(key, files[IMAGE_SUFFIX], files[".py"].decode(), json.loads(files[".json"]))
            _ = sample.scene, sample.shot, sample.record["domain"], sample.record["labels"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{where}: sample {key} is damaged ({type(error).__name__}: {error})") from None
        return sample


def make_sample(key: str, scene: Scene, shot: Shot, pixels: np.ndarray, view: View | None = None, **origin: Any) -> Sample:
    """A sample from a rendered image (height, width, 3) uint8. ``origin`` holds what is known of index, seed, attempt and split."""
    domain = get_domain(scene.domain)
    scene = domain.canonical(scene)
    view = view or cast(scene, domain, shot.camera, shot.width, shot.height)
    record = {
        "domain": domain.name,
        "index": origin.get("index"),
        "seed": origin.get("seed"),
        "attempt": origin.get("attempt"),
        "split": origin.get("split"),
        "scene": scene.to_json(),
        "shot": shot.to_json(),
        "labels": label_objects(scene, domain, shot.camera, view),
    }
    return Sample(key, encode_png(pixels), write_code(scene, domain), record)


def encode_png(pixels: np.ndarray) -> bytes:
    """(height, width, 3) uint8 as a PNG without any metadata, so that equal pixels give equal bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def decode_image(data: bytes, where: str) -> np.ndarray:
    """An encoded image as (height, width, 3) uint8, upright as its EXIF data says; `UserError` naming `where` if it cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{where}: not a readable image ({error})") from None
