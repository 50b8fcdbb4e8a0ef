"""Fuzzer inputs: damaged and crafted images."""

from __future__ import annotations

from pathlib import Path

import headers
import honest
from hypothesis import strategies as st
from kinds import Files, Kind, a_verb

from datagen.shards.pictures import ImageFiles


def images() -> st.SearchStrategy[Files]:
    held = honest.images()

    def of(name: str) -> st.SearchStrategy[Files]:
        other = [headers.pngs([held[name]])] if name.endswith("png") else []
        return st.one_of(headers.overwritten([held[name]]), *other).map(lambda data: {name: data})

    return st.one_of(list(map(of, held)))


def _read(folder: Path, out: Path) -> int:
    pictures = ImageFiles(sorted(folder.iterdir()))
    for key in pictures.keys:
        pictures.pixels(key)
    return 0


KINDS = {
    "image": Kind(images, _read, ((50, a_verb("inspect", "--textures", "IN", "--out", "OUT/sheet")),)),
}
