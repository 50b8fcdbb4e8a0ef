"""Image-caption pairs from foreign tars and igllm's shards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast
from transformers.configuration_utils import PreTrainedConfig

from datagen.errors import UserError
from datagen.samples.draw import draw
from datagen.samples.sample import make_sample
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples, write_shard
from datagen.shards.store import open_store
from model.data.caption_pairs import MOST_NAMED, CaptionMaker, CaptionSource
from model.data.examples import Collator
from model.data.feature_cache import FeatureCache
from model.data.frames import Frame
from model.data.order import WINDOW, InOrder, Mixture

DESCRIBE = ("Describe it.", "What is there?", "Tell.")
WORDS = ["[PAD]", "[EOS]", "[UNK]", *DESCRIBE, *(f"w{i}" for i in range(40))]
FRAME = Frame(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def make() -> CaptionMaker:
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", eos_token="[EOS]", unk_token="[UNK]")
    prompts = [[WORDS.index(text)] * (1 + i % 3) for i, text in enumerate(DESCRIBE)]
    return CaptionMaker(fast, FRAME, prompts, max_tokens=8)


def encoded(value: int, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((24, 32, 3), value, np.uint8)).save(stream, kind)
    return stream.getvalue()


def tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as written:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            written.addfile(entry, io.BytesIO(data))
    return path


def pair(number: int, image: bytes | None = None, caption: str | None = None, suffix: str = ".jpg") -> list[tuple[str, bytes]]:
    """The members of a pair as img2dataset writes them: an image of grey 10 x number, and a caption with the number."""
    kind = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".JPEG": "JPEG"}[suffix]
    key = f"{number:09d}"
    picture = encoded(10 * number, kind) if image is None else image
    text = f"w{number} w1" if caption is None else caption
    return [(key + ".json", b"{}"), (key + suffix, picture), (key + ".txt", text.encode())]


def number_of(example: dict) -> int:
    """The number of an example's pair by its caption; the image must be of the same pair."""
    caption = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label != -100]
    number = int(WORDS[caption[0]][1:])
    shown = float((example["pixel_values"][:, 16, 16] * 0.5 + 0.5).mean()) * 255
    assert abs(shown - 10 * number) < 3
    return number


@pytest.fixture
def conceptual(tmp_path: Path) -> Path:
    """Two tars of nine pairs in many formats, of which 2, 3 and 8 cannot be used."""
    suffixes = [".jpg", ".png", ".webp", ".JPEG"]
    pairs = [pair(i, suffix=suffixes[i % 4]) for i in range(9)]
    pairs[2] = pair(2, image=encoded(20, "JPEG")[:-200])
    pairs[3] = pair(3, caption=" \n\t")
    pairs[8] = pairs[8][:1] + pairs[8][2:]
    tar(tmp_path / "cc" / "00000.tar", chain(*pairs[:5]))
    tar(tmp_path / "cc" / "00001.tar", chain(*pairs[5:]))
    return tmp_path / "cc"


def test_pairs_become_examples(conceptual: Path, make: CaptionMaker) -> None:
    for where in (conceptual, f"{conceptual}/{{00000..00001}}.tar"):
        source = CaptionSource(Samples.for_training(where), make)
        assert len(source) == 9
        assert number_of(source.example(6, None)) == 6
    assert len(CaptionSource(Samples.for_training(conceptual / "00001.tar"), make)) == 4
    example = source.example(4, None)
    prompt = make.prompts[0]
    caption = [WORDS.index("w4"), WORDS.index("w1"), WORDS.index("[EOS]")]
    assert example["input_ids"] == prompt + caption
    assert example["labels"] == [-100] * len(prompt) + caption
    assert example["number_slots"] == [-1] * 4
    assert example["number_values"] == [0.0] * 4
    batch = Collator(0)([source.example(4, None), source.example(6, np.random.default_rng(1))])
    assert batch["pixel_values"].shape == (2, 3, 32, 32)
    assert batch["input_ids"].shape == batch["labels"].shape


@pytest.mark.parametrize("endless", ["w" * 10_000_000, "w1 " * 6_000, " " * 10_000_000 + "w1"])
def test_a_caption_without_end_is_not_tokenised(
    endless: str, make: CaptionMaker, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [pair(1, caption=endless), pair(2, caption="w2 " * 5_000)]
    read, text = [], CaptionMaker.text
    monkeypatch.setattr(CaptionMaker, "text", lambda self, caption, rng: read.append(len(caption)) or text(self, caption, rng))
    source = CaptionSource(Samples.for_training(tar(tmp_path / "a.tar", chain(*pairs))), make)
    assert number_of(source.example(0, None)) == 2
    assert read == [14_999]
    assert source.skipped == 1
    captured = capfd.readouterr()
    assert f"sample 000000001 is skipped: its caption has {len(endless):,} bytes, more than 16,384" in captured.out + captured.err


def test_what_cannot_be_used_is_replaced_by_the_next_named_and_counted(
    conceptual: Path, make: CaptionMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    source = CaptionSource(Samples.for_training(conceptual), make)
    assert [number_of(example) for example in InOrder(source)] == [0, 1, 4, 4, 4, 5, 6, 7, 0]
    assert source.skipped == 3
    warnings = capfd.readouterr().err.splitlines()
    named = [line.partition(": sample ")[2].partition(" is skipped: ") for line in warnings]
    assert [int(key) for key, _, _ in named] == [2, 3, 8]
    assert "image cannot be read" in warnings[0]
    assert "caption is empty" in warnings[1]
    assert "no image" in warnings[2]


def test_workers_count_together_and_order_does_not_matter(conceptual: Path, make: CaptionMaker) -> None:
    source = CaptionSource(Samples.for_training(conceptual), make)
    mixture = Mixture([source], [1.0], 0, 9)
    alone = [number_of(mixture[position]) for position in range(9)]
    source = CaptionSource(source.samples, make)
    mixture = Mixture([source], [1.0], 0, 9)
    loader: DataLoader = DataLoader(mixture, batch_size=None, num_workers=2)
    assert [number_of(example) for example in loader] == alone
    assert source.skipped == 3


def test_naming_ends_and_a_useless_data_set_is_refused(tmp_path: Path, make: CaptionMaker, capfd: pytest.CaptureFixture[str]) -> None:
    members = chain(*(pair(i, caption="") for i in range(20)))
    source = CaptionSource(Samples.for_training(tar(tmp_path / "a.tar", members)), make)
    with pytest.raises(UserError, match="no pair of an image and a caption can be used"):
        source.example(0, None)
    warnings = capfd.readouterr().err.splitlines()
    assert len(warnings) == MOST_NAMED
    assert warnings[-1].endswith("further ones are counted, not named")


@pytest.mark.parametrize("first", [0, 1, 3])
def test_pairs_of_other_systems(tmp_path: Path, make: CaptionMaker, first: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Capital suffixes, byte order marks and files that operating systems leave behind do no harm; the first pairs may lack a text."""
    members = []
    for number in range(6):
        json_, image, text = pair(number)
        key = image[0].removesuffix(".jpg")
        members += [(f"._{key}.jpg", b"Mac OS X"), json_, (f"{key}.JPG", image[1])]
        if number >= first:
            members.append((f"{key}.Txt", b"\xef\xbb\xbf" + text[1]))
    members += [("__MACOSX/._000000001.jpg", b"Mac OS X"), (".DS_Store", b"Bud1"), ("Thumbs.db", b"\xd0\xcf")]
    source = CaptionSource(Samples.for_training(tar(tmp_path / "a.tar", members)), make)
    assert len(source) == 6
    assert [number_of(source.example(number, None)) for number in range(6)] == [max(number, first) for number in range(6)]
    assert source.skipped == first
    assert capsys.readouterr().err.count("it has no caption") == first


def test_a_caption_that_is_no_utf8_text_is_left_out(tmp_path: Path, make: CaptionMaker, capsys: pytest.CaptureFixture[str]) -> None:
    members = [*pair(1), *pair(2), *pair(3)]
    members[2], members[5] = (members[2][0], "w1".encode("utf-16")), (members[5][0], b"caf\xe9")
    source = CaptionSource(Samples.for_training(tar(tmp_path / "a.tar", members)), make)
    assert number_of(source.example(0, None)) == 3
    assert capsys.readouterr().err.count("its caption is not UTF-8 text") == 2


def test_long_captions_are_cut_and_prompts_vary(tmp_path: Path, make: CaptionMaker) -> None:
    source = CaptionSource(Samples.for_training(tar(tmp_path / "a.tar", pair(1, caption="w1 " * 30))), make)
    learnt = [label for label in source.example(0, None)["labels"] if label != -100]
    assert learnt == [WORDS.index("w1")] * 7 + [WORDS.index("[EOS]")]
    first_tokens = {source.example(0, np.random.default_rng(i))["input_ids"][0] for i in range(200)}
    assert first_tokens == {WORDS.index(text) for text in DESCRIBE}
    assert source.example(0, np.random.default_rng(7))["input_ids"] == source.example(0, np.random.default_rng(7))["input_ids"]


@pytest.mark.parametrize("captions", [False, True])
def test_our_own_shards_need_captions(tmp_path: Path, make: CaptionMaker, captions: bool) -> None:
    settings = DatasetSettings(seed=1, width=32, height=24, min_objects=1, max_objects=1, captions=captions)
    drawn = draw(settings, 0)
    extras = {".txt": b"w3 w4"} if captions else {}
    sample = make_sample("000000000", drawn.scene, drawn.shot, np.zeros((24, 32, 3), np.uint8), extras=extras)
    write_shard(tmp_path / "shard-000000.tar", [sample])
    if captions:
        assert CaptionSource(Samples.for_training(tmp_path), make).example(0, None)["labels"][-1] == WORDS.index("[EOS]")
    else:
        with pytest.raises(UserError, match=r"no sample has a \.txt .*--captions"):
            CaptionSource(Samples.for_training(tmp_path), make)


def test_a_caption_that_no_token_says_is_not_learnt_from(tmp_path: Path, make: CaptionMaker) -> None:
    short = replace(make, max_tokens=1)
    source = CaptionSource(Samples.for_training(tar(tmp_path / "a.tar", pair(1))), short)
    assert [label for label in source.example(0, None)["labels"] if label != -100] == [WORDS.index("[EOS]")]


def test_bytes_of_any_kind_are_no_crash(tmp_path: Path, make: CaptionMaker) -> None:
    rng, whole = np.random.default_rng(0), encoded(10, "PNG")
    members = []
    for i in range(60):
        harmed = bytearray(whole if i % 2 else encoded(10, "WEBP"))
        for at in rng.integers(0, len(harmed), 1 + i % 7):
            harmed[at] = int(rng.integers(256))
        members += pair(i, image=bytes(harmed), suffix=".png" if i % 2 else ".webp")[1:]
    members += pair(60, caption="w5", image=encoded(50, "PNG"), suffix=".png")
    source = CaptionSource(Samples.for_training(tar(tmp_path / "a.tar", members)), make)
    for i in range(61):
        assert torch.isfinite(source.example(i, None)["pixel_values"]).all()


def test_an_epoch_over_shards_at_a_url_fetches_each_once(make: CaptionMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even though the cache has room for two windows of shards only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fsspec.register_implementation("measured", Measured, clobber=True)
    store = open_store(f"measured://{tmp_path.name}/pairs")
    store.make()
    for shard in range(20):
        members = chain(*(pair(number, caption=f"w{number % 25}") for number in range(5 * shard, 5 * shard + 5)))
        store.write(f"{shard:05d}.tar", tar(tmp_path / "a.tar", members).read_bytes())
    sizes = store.sizes().values()
    source = CaptionSource(Samples.for_training(store.name, cache_bytes=2 * WINDOW * max(sizes)), make)
    mixture = Mixture([source], [1.0], 3, 200)
    fetched = Measured.bytes_fetched
    captions = sorted(mixture[position]["input_ids"][-2] for position in range(100))
    assert captions == sorted(WORDS.index(f"w{number % 25}") for number in range(100))
    assert sum(sizes) * 0.9 <= Measured.bytes_fetched - fetched <= sum(sizes)
    kept = list((tmp_path / "cache" / "igllm" / "shards").glob("*.tar"))
    assert sum(path.stat().st_size for path in kept) <= 2 * WINDOW * max(sizes)


class Measured(MemoryFileSystem):
    """A store that counts the bytes of whole files that are fetched from it."""

    protocol = "measured"
    bytes_fetched = 0

    def get_file(self, rpath: str, lpath: str, **keywords: Any) -> None:
        super().get_file(rpath, lpath, **keywords)
        Measured.bytes_fetched += Path(lpath).stat().st_size


def test_cached_features_replace_the_same_pairs(conceptual: Path, make: CaptionMaker, tmp_path: Path) -> None:
    plain = CaptionSource(Samples.for_training(conceptual), make)
    cache = FeatureCache.fill(Mean(), FRAME, plain, "", batch_size=2, folder=tmp_path / "features")  # type: ignore[arg-type]
    cached = CaptionSource(Samples.for_training(conceptual), make, cache)
    for with_pixels, with_features in zip(InOrder(plain), InOrder(cached), strict=True):
        assert with_features["input_ids"] == with_pixels["input_ids"]
        assert torch.allclose(with_features["visual_features"][0], with_pixels["pixel_values"].mean((1, 2)), atol=1e-5)


class Mean(torch.nn.Module):
    """A tower of one token: the mean colour."""

    rows, columns, width, layer, merge = 1, 1, 3, 0, 1

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Linear(1, 1)
        self.encoder.config = PreTrainedConfig()

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return pixel_values.mean((2, 3))[:, None]
