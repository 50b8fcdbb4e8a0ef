"""What tests share: small data sets, models and their parts, and a stand-in for the process that opens people's own files."""

from __future__ import annotations

import gc
import io
import os
import shutil

# Before anything reads them: tests reach no hub, and where several processes of them run, each computes on one core.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["IGLLM_TRACEBACK"] = "1"  # an error of igllm's own is raised, not stated in a line
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from constant_scenes import IN_FOUR_SHARDS, IN_SIX_SHARDS, fill
from drawn_samples import draw_sample
from filelock import FileLock
from hypothesis import settings
from long_files import LONG_FILES
from outside_packages import Site
from places import FAULTS, ROOT
from remembered_answers import remembering_answers
from small_run import PRESET, Train
from small_run import generate as generate_dots
from warm_workers import keeping_workers

import igllm
from datagen.assets import opening
from datagen.assets.own import find_asset
from datagen.domains.own_assets import own_domain
from datagen.domains.plugins import outside_domain
from datagen.domains.registry import DOMAINS, get_domain
from datagen.generate import generate
from datagen.samples.sample import Sample
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples
from render.conformance import small_set

if TYPE_CHECKING:
    from model.igllm import IGLLM
    from model.tokens.codec import CodeCodec

# How many inputs a property is tried with, unless its test says so: every day a few, new ones each time, and many in `make test-slow`.
# There is no deadline, because how long one takes depends on what else the machine does.
for profile, inputs in (("quick", 40), ("thorough", 400)):
    settings.register_profile(profile, deadline=None, max_examples=inputs)
settings.load_profile("quick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long files come first."""
    places = {path: place for place, path in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what was imported and collected: each training run calls it, and tests train a hundred times."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give this process a cache of its own, so that tests neither read nor fill the user's."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """No file is synced to the disk, which is slow and matters in power cuts alone: tests kill processes, never the machine."""
    with mock.patch("os.fsync"):
        yield


@pytest.fixture(scope="session", autouse=True)
def warm_workers() -> Iterator[None]:
    """Blender is started once for many pools: see `warm_workers`."""
    with keeping_workers():
        yield


@pytest.fixture(scope="session", autouse=True)
def remembered_answers() -> Iterator[None]:
    """A tokenizer's rules and a chat template are applied in a process of their own once: see `remembered_answers`."""
    with remembering_answers():
        yield


@pytest.fixture(scope="session")
def shared_set(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, DatasetSettings, int], Samples]:
    """A function from a folder's name, settings and a number of samples to the data set there; no test changes one.

    Processes that share the tests' work share these sets: whichever asks first generates one.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make(name: str, settings: DatasetSettings, num: int) -> Samples:
        with FileLock(shared / f"{name}.lock"):
            return generate(settings, num, shared / name, workers=1)

    return make


@pytest.fixture(scope="session")
def data_of(shared_set: Callable[[str, DatasetSettings, int], Samples]) -> Callable[[str], Samples]:
    """A function from a domain's name to its data set with the settings of `small_set`, in shards of six: sixteen samples of CLEVR, eight
    of another domain."""
    return cache(lambda domain: shared_set(domain, small_set(domain), 16 if domain == "clevr" else 8))


@pytest.fixture(scope="session")
def renders(data_of: Callable[[str], Samples]) -> Samples:
    """Sixteen real renders of 160x120 pixels with two to four objects, in shards of six."""
    return data_of("clevr")


@pytest.fixture(scope="session")
def four(shared_set: Callable[[str, DatasetSettings, int], Samples]) -> Samples:
    """The first four of `renders`: one batch."""
    return shared_set("four", small_set("clevr"), 4)


@pytest.fixture(scope="session")
def others(shared_set: Callable[[str, DatasetSettings, int], Samples]) -> Samples:
    """Five renders like `renders`, of other scenes."""
    return shared_set("others", replace(small_set("clevr"), seed=8), 5)


@pytest.fixture(scope="session", params=DOMAINS)
def each(request: pytest.FixtureRequest, data_of: Callable[[str], Samples]) -> Samples:
    """Such a data set of each domain in turn."""
    return data_of(request.param)


@pytest.fixture(scope="session")
def four_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of constant images in four shards of four samples at most; no test changes it."""
    return constant_set(tmp_path_factory, IN_FOUR_SHARDS)


@pytest.fixture(scope="session")
def six_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `four_shards`, but in six shards."""
    return constant_set(tmp_path_factory, IN_SIX_SHARDS)


def constant_set(tmp_path_factory: pytest.TempPathFactory, num: int) -> Path:
    """A new data set of so many constant images."""
    folder = tmp_path_factory.mktemp("constant")
    fill(folder, num)
    return folder


@pytest.fixture(scope="session")
def drawn() -> list[Sample]:
    """Seven samples of CLEVR's kind, whose indices have gaps."""
    return [draw_sample(index) for index in (0, 1, 2, 3, 4, 6, 9)]


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Set a new cache for the test; returns its folder, which does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "igllm"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A `Site` in the current folder, on the path of this process and of those that it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.chdir(tmp_path)
    outside_domain.cache_clear()
    return Site(folder)


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `inspect` show a white picture for its plots, which take most of its time, in tests of the files that it writes."""
    from PIL import Image

    from datagen.inspect import plots

    white = plots.Section("Plots", "None.", Image.new("RGB", (1980, 320), "white"))
    monkeypatch.setattr(plots, "sections", lambda *_: [white])


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few images of a dot for small runs; no test changes them."""
    return generate_dots(tmp_path_factory.mktemp("dots") / "data")


@pytest.fixture
def train(dots: Path, tmp_path: Path) -> Train:
    """`igllm train` of a small preset on the dots, into ``tmp_path / "run"``, unless it is asked for something else."""
    (tmp_path / "small.toml").write_text(PRESET)

    def call(*flags: str, verb: str = "train", data: Path = dots, out: Path = tmp_path / "run", preset: str = "small.toml") -> int:
        words = [verb, "--preset", str(tmp_path / preset), "--data", str(data), "--out", str(out), "--device", "cpu"]
        return igllm.main([*words, *flags])

    return call


@pytest.fixture(scope="session")
def codec() -> CodeCodec:
    """The codec of `tiny`, for CLEVR."""
    from model.build import plan
    from model.preset import get_preset

    return plan(get_preset("tiny"), get_domain("clevr")).codec


@pytest.fixture(scope="session")
def tiny() -> IGLLM:
    """`tiny`, untrained; a test that runs it says first whether it trains."""
    import torch

    from model.build import build
    from model.preset import get_preset

    torch.manual_seed(0)
    return build(get_preset("tiny").replaced(augment=False), get_domain("clevr"))[0]


@pytest.fixture(scope="session")
def saved_parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of a small CLIP, LLaMA and Qwen 2, saved as published checkpoints are; no test changes them."""
    import torch
    from pretrained_parts import clip, llama, qwen2

    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(1)
    return {"clip": clip(folder / "clip"), "llama": llama(folder / "llama"), "qwen2": qwen2(folder / "qwen2")}


@pytest.fixture
def own_parts(saved_parts: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copies of `saved_parts` that the test may change."""
    return {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in saved_parts.items()}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of a file that no payload may create, though every prompt is answered yes; nor may this process try to connect anywhere."""
    from spoiled_parts import CONNECTIONS

    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    CONNECTIONS.clear()
    yield tmp_path / "RUN"
    assert not (tmp_path / "RUN").exists()
    assert not CONNECTIONS


@pytest.fixture
def importer_stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Open people's own files with `faulty_importer` instead of Blender, with empty caches; it logs their names in ``tmp_path / "log"``."""
    monkeypatch.setattr(opening, "IMPORTER", "faulty_importer")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTS), str(ROOT)]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAULTS_LOG", str(tmp_path / "log"))
    for cached in (find_asset, own_domain):
        cached.cache_clear()
    yield
    for cached in (find_asset, own_domain):
        cached.cache_clear()
