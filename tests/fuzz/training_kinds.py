"""Fuzzer inputs that training reads besides a model: captions and cached features."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import declared
import headers
import honest
import numpy as np
from faults import PAYLOADS
from hypothesis import strategies as st
from kinds import Files, Kind
from trained import load, model


def captions() -> st.SearchStrategy[Files]:
    """Tars of images and captions, which `igllm align` reads, from any source."""
    _caption_maker()  # slow: before the first input is timed
    image = honest.images()["rgb.jpg"]
    text = st.one_of(
        declared.among([payload.encode() for payload in PAYLOADS]), declared.among([b"", b"\xff", b"\0", b"x" * 100_000, b"a red cube"])
    )
    picture = st.one_of(st.just(image), headers.overwritten([image, *honest.images().values()]))

    def made(texts: list[bytes], picture: bytes, more: bytes) -> Files:
        pairs = b"".join(
            headers.member(f"{number}.jpg", picture if number % 2 else image) + headers.member(f"{number}.txt", text)
            for number, text in enumerate(texts)
        )
        return {"pairs-000000.tar": pairs + more + bytes(1024)}

    more = st.one_of(st.just(b""), headers.crafted_members({"x.jpg": image, "x.txt": b"x"}))
    return st.builds(made, st.lists(text, min_size=1, max_size=3), picture, more)


@cache
def _caption_maker() -> Any:
    from transformers import AutoTokenizer

    from model.data.caption_pairs import CaptionMaker
    from model.data.frames import Frame

    folder = _model_folder()
    return CaptionMaker(AutoTokenizer.from_pretrained(folder), Frame(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), [[1]], 128)


def _pairs(folder: Path, out: Path) -> int:
    """Read every example, as `igllm align` does."""
    from datagen.shards.reader import Samples
    from model.data.caption_pairs import CaptionSource

    source = CaptionSource(Samples.for_training(folder), _caption_maker())
    for number in range(len(source)):
        source.example(number, None)
    return 0


def features() -> st.SearchStrategy[Files]:
    """Damaged cached features of a frozen tower: a finished file, or a partial one and the record of its synced rows."""
    from model.declared import FeaturesDone

    kept = _features_kept()
    header = kept[: len(kept) - 4 * _tower().rows * _tower().columns * _tower().width * 2]
    shape = (2, _tower().rows * _tower().columns, _tower().width)
    crafted = headers.npy_files("'<f4'", shape, kept[len(header) :])
    whole = st.one_of(crafted, headers.overwritten([kept])).map(lambda data: {"features.npy": data})
    part = st.builds(
        lambda done, data: {"done.json": done, "partial.npy": data},
        declared.damaged([{"rows": [1], "crc32": [1]}], FeaturesDone, most=2),
        st.one_of(crafted, headers.overwritten([kept[: len(header) + 600]])),
    )
    return st.one_of(whole, part)


@cache
def _model_folder() -> Path:
    folder = honest.home() / f"model-{os.getpid()}"
    folder.mkdir()
    for name, data in model().items():
        (folder / name).write_bytes(data)
    return folder


@cache
def _tower() -> Any:
    from model.load import load_model

    return load_model(_model_folder(), "cpu").model.tower


class _Images:
    """Two images as input of the tower."""

    def __len__(self) -> int:
        return 2

    def pixel_values(self, number: int) -> Any:
        import torch

        return torch.full((3, 32, 32), float(number))


def _filled(folder: Path) -> Any:
    from model.data.feature_cache import FeatureCache
    from model.data.frames import Frame

    return FeatureCache.fill(_tower(), Frame(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), _Images(), "x", 1, folder=folder)


@cache
def _features_kept() -> bytes:
    folder = honest.home() / f"features-{os.getpid()}"
    return bytes(_filled(folder).path.read_bytes())


def _take_features(folder: Path, out: Path) -> int:
    """Compute features where the damaged files have replaced those that an earlier call cached."""
    honest_file = _filled(out).path
    honest_file.unlink()
    for path in folder.iterdir():
        (honest_file.parent / path.name).write_bytes(path.read_bytes())
    rows = _filled(out).rows([0, 1])
    assert rows.shape == (2, _tower().rows * _tower().columns, _tower().width) and rows.dtype == np.float32, "a damaged file is a miss"
    return 0


KINDS = {
    "caption": Kind(captions, _pairs, share=0.2, prepare=load),
    "features": Kind(features, _take_features, share=0.1, prepare=load),
}
