"""People's own textures: every image in a folder, kept as a square PNG of its middle, which objects then wear.

What is kept lies in this machine's cache under the file's digest: Blender opens what was decoded and written here, never the file.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from datagen.assets.folder import Refused, RefusedError, check_inside, file_id, files_in, first_folder, kept_file, read_each, remarks
from datagen.assets.limits import MOST_BYTES
from datagen.assets.paint import Paint, image_paint
from datagen.errors import ImageError, UserError
from datagen.images.encoding import decode_image, encode_image
from datagen.io.cache import cache_folder
from datagen.io.files import read_regular, unreadable, write_bytes
from datagen.screen import printable

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
OTHERS = (
    ".avif",
    ".dds",
    ".exr",
    ".gif",
    ".hdr",
    ".heic",
    ".heif",
    ".jp2",
    ".jxl",
    ".ktx",
    ".ktx2",
    ".pgm",
    ".ppm",
    ".psd",
    ".svg",
    ".tga",
)
"""Images in other formats, so that none of them is passed over without a word."""
SIDE = 512  # pixels that are kept at most: more than any object has on a frame
NO_FOLDER = "image"
"""The pattern of an image that lies in no folder beneath the one that was named."""
VERSION = 3  # of what is kept, and of how images are read


@dataclass(frozen=True)
class OwnTextures:
    """What a folder gave: by the texture's id its pattern, and its path within the folder, in the order of paths; what is left out; how
    many files of other formats there are, by suffix."""

    patterns: dict[str, str]
    paths: dict[str, str]
    refused: tuple[Refused, ...]
    passed: Mapping[str, int]

    def remarks(self) -> list[str]:
        """What there is to say of the files, as lines for people."""
        return remarks((), self.refused, self.passed)


def own_textures(folder: Path) -> OwnTextures:
    """The images in a folder and those beneath it. An image's pattern is the first folder beneath `folder` that it is in.

    `UserError` if there is no such folder, or it holds no image.
    """
    listing = files_in(folder, SUFFIXES, OTHERS, "image")
    read = read_each(listing.files, "textures", lambda name: (_kept(folder, name), first_folder(name) or NO_FOLDER))
    return OwnTextures(*read, listing.passed)


@lru_cache(maxsize=4096)
def own_paint(texture_id: str) -> Paint:
    """The paint of an id that `own_textures` gave on this machine: once across the whole of an asset. `UserError` if there is none."""
    return image_paint(kept_image(texture_id))


def kept_image(texture_id: str) -> Path:
    """The square image of an id that `own_textures` gave on this machine. `UserError` if there is none."""
    path = kept_file(_cache(), ".png", texture_id)
    if path is None:
        raise UserError(f"there is no texture {texture_id!r} on this machine; read its folder again, as with igllm inspect --textures DIR")
    return path


def _cache() -> Path:
    return cache_folder("textures")


def _kept(folder: Path, name: str) -> str:
    """The id of an image, which is kept from now on."""
    check_inside(folder, name)
    path = folder / name
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise RefusedError(unreadable(error)) from None
    key = hashlib.sha256(f"igllm texture {VERSION}\0".encode() + data).hexdigest()
    kept = _cache() / f"{key}.png"
    if not _is_image(kept):  # there is none, or one that is damaged
        write_bytes(kept, encode_image(_square(data, printable(path.name))))
    return file_id(path, key)


def _is_image(path: Path) -> bool:
    with contextlib.suppress(OSError, ImageError):
        return len(decode_image(path.read_bytes(), str(path))) <= SIDE
    return False


def _square(data: bytes, name: str) -> np.ndarray:
    """The middle of an image, (side, side, 3) uint8."""
    try:
        image = Image.fromarray(decode_image(data, name))
    except ImageError as error:
        raise RefusedError(str(error).removeprefix(f"{name}: ")) from None  # remarks begin with the path
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    middle = image.crop((left, top, left + side, top + side))  # first: resizing would let what is beyond shine in
    return np.array(middle.resize((min(SIDE, side),) * 2))
