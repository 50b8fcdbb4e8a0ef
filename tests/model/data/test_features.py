"""A frozen tower's features on disk: equal to computed ones, resumed after a kill, never those of another tower or data set."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from datagen.domains.dialects import Dialect
from datagen.errors import UserError
from datagen.samples.sample import Sample
from datagen.shards.overlap import data_digest
from datagen.shards.reader import Samples
from model.config import PROMPT, IGLLMConfig
from model.data.examples import CodeSource, Collator, ExampleMaker
from model.data.feature_cache import FeatureCache
from model.data.frames import Frame
from model.parts.dense_head import DenseLayout
from model.parts.tower import VisionTower
from model.tokens.codec import CodeCodec
from model.tokens.prompts import prompt_tokens
from model.tokens.tokenizer import domain_tokenizer

CONFIG = IGLLMConfig(
    vision_config=AutoConfig.for_model(
        "clip_vision_model", image_size=64, patch_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2
    ),
    image_height=64,
    image_width=64,
)
FRAME = Frame.of(CONFIG)


@pytest.fixture(scope="module")
def tower() -> VisionTower:
    torch.manual_seed(0)
    return VisionTower(CONFIG).eval()


@pytest.fixture(scope="module")
def make(renders: Samples, tower: VisionTower) -> ExampleMaker:
    domain = renders.at(0).domain
    tokenizer = domain_tokenizer(Dialect(domain), [PROMPT])
    codec = CodeCodec(domain, tokenizer)
    prompts = [*prompt_tokens(tokenizer, [PROMPT]).asked, [1, 2]]
    return ExampleMaker(codec, FRAME, prompts, (tower.rows, tower.columns), DenseLayout.of(domain, codec.slots), augment=False)


class Images:
    """Images that record which of them are read; `broken` cannot be read, and reading `killed` interrupts."""

    def __init__(self, count: int, broken: int = -1, killed: int = -1) -> None:
        self.count, self.broken, self.killed, self.numbers_read = count, broken, killed, list[int]()

    def __len__(self) -> int:
        return self.count

    def pixel_values(self, number: int) -> torch.Tensor | None:
        if number == self.killed:
            raise KeyboardInterrupt
        self.numbers_read.append(number)
        generator = torch.Generator().manual_seed(number)
        return None if number == self.broken else torch.randn(3, 64, 64, generator=generator)


def truth(tower: VisionTower, count: int) -> np.ndarray:
    with torch.no_grad():
        return np.concatenate([tower(Images(count).pixel_values(i)[None]).numpy() for i in range(count)])  # type: ignore[index]


def test_cached_features_are_those_of_the_tower(renders: Samples, tower: VisionTower, make: ExampleMaker, tmp_path: Path) -> None:
    plain = CodeSource(renders, make)
    cache = FeatureCache.fill(tower, FRAME, plain, data_digest(renders), batch_size=5, folder=tmp_path)
    assert len(cache) == 16
    cached = CodeSource(renders, make, cache)
    numbers = [3, 11, 0]
    uncached = Collator(0)([plain.example(i, None) for i in numbers])
    batch = Collator(0)([cached.example(i, None) for i in numbers])
    with torch.no_grad():
        assert (tower(uncached.pop("pixel_values")) - batch.pop("visual_features")).abs().max() < 1e-5
    assert batch.keys() == uncached.keys()
    assert all(torch.equal(batch[name], uncached[name]) for name in batch)  # dense labels too


def test_cached_images_are_not_decoded(renders: Samples, tower: VisionTower, make: ExampleMaker, tmp_path: Path) -> None:
    cache = FeatureCache.fill(tower, FRAME, CodeSource(renders, make), "", batch_size=16, folder=tmp_path)
    sample = renders.at(2)
    blind = Sample(sample.key, b"no image", sample.code, sample.record)
    assert make(blind, None, cache.rows([2])[0])["input_ids"] == make(sample, None)["input_ids"]


def test_a_second_call_reads_what_is_there(tower: VisionTower, tmp_path: Path) -> None:
    first, second = Images(10), Images(10)
    one = FeatureCache.fill(tower, FRAME, first, "a", batch_size=4, folder=tmp_path)
    two = FeatureCache.fill(tower, FRAME, second, "a", batch_size=3, folder=tmp_path)
    assert first.numbers_read == list(range(10))
    assert not second.numbers_read
    assert np.abs(two.rows(range(10)) - truth(tower, 10)).max() < 1e-5
    assert one.path == two.path
    assert np.load(two.path, allow_pickle=False).shape == (10, 16, 32)


def test_other_weights_layers_frames_and_data_have_files_of_their_own(tower: VisionTower, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = VisionTower(CONFIG).eval()
    shallow = VisionTower(CONFIG).eval()
    shallow.load_state_dict(tower.state_dict())
    same = FeatureCache.fill(shallow, FRAME, Images(2), "a", batch_size=2, folder=tmp_path).path
    shallow.layer = -1
    calls = [(tower, FRAME, "a", 2), (other, FRAME, "a", 2), (shallow, FRAME, "a", 2), (tower, replace(FRAME, mean=(0, 0, 0)), "a", 2)]
    calls += [(tower, FRAME, "b", 2), (tower, FRAME, "a", 3)]
    paths = [FeatureCache.fill(t, frame, Images(n), data, batch_size=2, folder=tmp_path).path for t, frame, data, n in calls]
    assert len(set(paths)) == len(calls)
    assert same == paths[0]


@pytest.mark.parametrize("torn", [0, 7, 16 * 32 * 4 * 3 + 5, -100])
def test_a_killed_call_is_taken_up(tower: VisionTower, tmp_path: Path, torn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.data.feature_cache.BATCHES_BETWEEN_SYNCS", 2)
    with pytest.raises(KeyboardInterrupt):
        FeatureCache.fill(tower, FRAME, Images(20, killed=15), "a", batch_size=2, folder=tmp_path)
    [partial] = tmp_path.rglob("partial.npy")
    data = partial.read_bytes()  # unsynced rows may be whole, partial or absent
    partial.write_bytes(data + b"\xff" * torn if torn >= 0 else data[:torn])
    assert not list(tmp_path.rglob("features.npy"))
    again = Images(20)
    cache = FeatureCache.fill(tower, FRAME, again, "a", batch_size=3, folder=tmp_path)
    assert again.numbers_read == list(range(12 if torn >= 0 else again.numbers_read[0], 20))
    assert again.numbers_read[0] > 8
    assert np.abs(cache.rows(range(20)) - truth(tower, 20)).max() < 1e-5
    assert not list(tmp_path.rglob("partial.npy"))


def at(place: float) -> Callable[[bytes], bytes]:
    """Flip a bit of a file, at this share of its length."""

    def harm(data: bytes) -> bytes:
        index = round(place * (len(data) - 1))
        return data[:index] + bytes([data[index] ^ 4]) + data[index + 1 :]

    return harm


def pickled(data: bytes) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    return stream.getvalue()


def as_halves(data: bytes) -> bytes:
    """Another type and shape in the header, for as many bytes."""
    return data.replace(b"<f4", b"<f2").replace(b"(6, 16, 32)", b"(6, 32, 32)")


HARMS: dict[str, Callable[[bytes], bytes]] = {
    **{f"a bit at {share}": at(share) for share in (0, 0.0003, 0.002, 0.0051, 0.1, 0.5, 0.9, 1)},
    "empty": lambda data: b"",
    "cut in the header": lambda data: data[:40],
    "cut in a row": lambda data: data[:-1000],
    "cut behind a row": lambda data: data[: -4 * 16 * 32],
    "longer": lambda data: data + bytes(4 * 16 * 32),
    "zeros": lambda data: bytes(len(data)),
    "a pickle": pickled,
    "halves": as_halves,
}


@pytest.mark.parametrize("name", HARMS)
def test_a_damaged_file_is_computed_anew(tower: VisionTower, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = FeatureCache.fill(tower, FRAME, Images(6), "a", batch_size=2, folder=tmp_path).path
    path.write_bytes(HARMS[name](path.read_bytes()))
    again = Images(6)
    cache = FeatureCache.fill(tower, FRAME, again, "a", batch_size=2, folder=tmp_path)
    assert np.abs(cache.rows(range(6)) - truth(tower, 6)).max() < 1e-5
    assert again.numbers_read
    assert f"{path}: damaged; its features are computed anew\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"rows": 5}', '{"rows": [6, 6], "crc32": [1, 2]}', '{"rows": [1e99], "crc32": [0]}', "\0"]
)
@pytest.mark.parametrize("killed", [True, False])
def test_what_says_how_far_it_went_may_be_damaged(
    tower: VisionTower, tmp_path: Path, content: str, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.data.feature_cache.BATCHES_BETWEEN_SYNCS", 1)
    images = Images(6, killed=5 if killed else -1)
    with pytest.raises(KeyboardInterrupt) if killed else nullcontext():
        FeatureCache.fill(tower, FRAME, images, "a", batch_size=2, folder=tmp_path)
    [stated] = tmp_path.rglob("done.json")
    stated.write_text(content)
    cache = FeatureCache.fill(tower, FRAME, Images(6), "a", batch_size=2, folder=tmp_path)
    assert np.abs(cache.rows(range(6)) - truth(tower, 6)).max() < 1e-5


@pytest.mark.parametrize("share", [0, 0.002, 0.1, 0.5, 0.8])
def test_what_a_killed_call_left_may_be_damaged(tower: VisionTower, tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.data.feature_cache.BATCHES_BETWEEN_SYNCS", 1)
    with pytest.raises(KeyboardInterrupt):
        FeatureCache.fill(tower, FRAME, Images(10, killed=8), "a", batch_size=2, folder=tmp_path)
    [partial] = tmp_path.rglob("partial.npy")
    partial.write_bytes(at(share)(partial.read_bytes()))
    again = Images(10)
    cache = FeatureCache.fill(tower, FRAME, again, "a", batch_size=2, folder=tmp_path)
    assert np.abs(cache.rows(range(10)) - truth(tower, 10)).max() < 1e-5
    assert again.numbers_read == list(range(again.numbers_read[0], 10))
    assert again.numbers_read[0] == (8 if share < 0.01 else {0.1: 0, 0.5: 2, 0.8: 6}[share])


OTHERS: dict[str, Callable[[Path, Path], None]] = {
    "a link": lambda path, precious: path.symlink_to(precious),
    "a link to nowhere": lambda path, precious: path.symlink_to(precious.with_name("nowhere")),
    "a pipe": lambda path, precious: os.mkfifo(path),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", ["features.npy", "partial.npy", "done.json", "lock"])
def test_nothing_is_written_through_what_is_no_file_nor_waited_for(tower: VisionTower, tmp_path: Path, name: str, other: str) -> None:
    place = FeatureCache.fill(tower, FRAME, Images(6), "a", batch_size=2, folder=tmp_path / "cache").path.parent
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious" * 10_000)
    (place / "features.npy").unlink()
    (place / name).unlink(missing_ok=True)
    OTHERS[other](place / name, precious)
    cache = FeatureCache.fill(tower, FRAME, Images(6), "a", batch_size=2, folder=tmp_path / "cache")
    assert np.abs(cache.rows(range(6)) - truth(tower, 6)).max() < 1e-5
    assert precious.read_bytes() == b"precious" * 10_000
    assert not precious.with_name("nowhere").exists()
    assert (place / "features.npy").is_file()


def test_a_folder_of_features_that_is_a_link_is_refused(tower: VisionTower, tmp_path: Path) -> None:
    place = FeatureCache.fill(tower, FRAME, Images(2), "a", batch_size=2, folder=tmp_path / "cache").path.parent
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"{place}: is a link, .* remove it"):
        FeatureCache.fill(tower, FRAME, Images(2), "a", batch_size=2, folder=tmp_path / "cache")


def test_images_that_cannot_be_read_are_marked(tower: VisionTower, tmp_path: Path) -> None:
    cache = FeatureCache.fill(tower, FRAME, Images(5, broken=3), "a", batch_size=4, folder=tmp_path)
    assert np.isnan(cache.rows(range(5))).all(axis=(1, 2)).tolist() == [False, False, False, True, False]


def test_a_disk_without_room_is_told_before_anything_is_computed(
    tower: VisionTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=(1 << 30) + 2 * 16 * 32 * 4))
    images = Images(3)
    with pytest.raises(UserError, match=r"3 images, 16 x 32 numbers each, still need 6,144 bytes, and 4,096 are free"):
        FeatureCache.fill(tower, FRAME, images, "a", batch_size=1, folder=tmp_path)
    assert not images.numbers_read
    assert len(FeatureCache.fill(tower, FRAME, Images(2), "a", batch_size=1, folder=tmp_path)) == 2
