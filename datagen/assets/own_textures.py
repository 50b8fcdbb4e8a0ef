"""People's own textures: every image in a folder, cached as a square PNG of its middle, with which objects are then painted.

The PNG lies in this machine's cache under the file's digest. Blender opens this newly written PNG, never the original file.
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
"""Suffixes of image formats that cannot be read; files with them are counted and reported."""
SIDE = 512  # most pixels of a cached image's side, more than an object on a usual frame has
NO_FOLDER = "image"
"""The pattern of an image that lies directly in the user's folder."""
VERSION = 3  # of the cached images, and of how images are read


@dataclass(frozen=True)
class OwnTextures:
    """The textures of a folder: patterns and paths by id, in the order of paths; files left out; numbers of files in other formats."""

    patterns: dict[str, str]
    paths: dict[str, str]
    refused: tuple[Refused, ...]
    passed: Mapping[str, int]

    def remarks(self) -> list[str]:
        """Lines to print: files left out, and files passed over."""
        return remarks((), self.refused, self.passed)


def own_textures(folder: Path) -> OwnTextures:
    """The images in a folder and those beneath it. An image's pattern is the first folder beneath `folder` that it is in, or `NO_FOLDER`.

    `UserError` if there is no such folder, or it holds no image or too many.
    """
    listing = files_in(folder, SUFFIXES, OTHERS, "image")
    read = read_each(listing.files, "textures", lambda name: (_kept(folder, name), first_folder(name) or NO_FOLDER))
    return OwnTextures(*read, listing.passed)


@lru_cache(maxsize=4096)
def own_paint(texture_id: str) -> Paint:
    """The paint of an id from `own_textures` on this machine; the image spans an asset once. `UserError` if there is none."""
    return image_paint(kept_image(texture_id))


def kept_image(texture_id: str) -> Path:
    """The cached square image of an id from `own_textures` on this machine. `UserError` if there is none."""
    path = kept_file(_cache(), ".png", texture_id)
    if path is None:
        raise UserError(f"there is no texture {texture_id!r} on this machine; read its folder again, as with igllm inspect --textures DIR")
    return path


def _cache() -> Path:
    return cache_folder("textures")


def _kept(folder: Path, name: str) -> str:
    """The id of an image, which is cached if it is not yet. `RefusedError` if it must be left out."""
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
    """The middle square of an image, (side, side, 3) uint8, the side at most `SIDE`. `RefusedError` if it cannot be decoded."""
    try:
        image = Image.fromarray(decode_image(data, name))
    except ImageError as error:
        raise RefusedError(str(error).removeprefix(f"{name}: ")) from None  # remarks begin with the path
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    middle = image.crop((left, top, left + side, top + side))  # cropped first: resizing would blend in pixels from beyond
    return np.array(middle.resize((min(SIDE, side),) * 2))
