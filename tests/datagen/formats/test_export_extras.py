"""Exports keep captions, depth and cameras, and conversations about images are as LLaVA's trainers read them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published_scenes import CLEVR, jittered

from datagen.errors import UserError
from datagen.formats.clevr_import import import_clevr
from datagen.formats.export import export
from datagen.samples.captions import caption
from datagen.samples.depth import depth_file
from datagen.samples.sample import CAPTION_SUFFIX, DEPTH_SUFFIX, Sample, make_sample
from datagen.shards.reader import Samples, write_shard
from igllm import main


def with_extras(index: int) -> Sample:
    """A sample under a jittered camera, with a caption and a depth map."""
    sample = jittered(index)
    camera = sample.shot.viewpoint
    text = caption(sample.scene, CLEVR, camera, np.random.default_rng(index)) + "\n"
    extras = {CAPTION_SUFFIX: text.encode(), DEPTH_SUFFIX: depth_file(sample.scene, CLEVR, sample.shot)}
    return make_sample(sample.key, sample.scene, sample.shot, sample.pixels(), extras=extras, split=sample.record["split"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Two samples with captions and depth, and one without."""
    folder = tmp_path_factory.mktemp("extras")
    write_shard(folder / "shard-000000.tar", [with_extras(0), with_extras(1), jittered(2)])
    return Samples(folder)


def caption_of(sample: Sample) -> str | None:
    text = sample.extras.get(CAPTION_SUFFIX)
    return None if text is None else text.decode().strip()


def check_depth(path: Path, sample: Sample) -> None:
    depth = np.load(path)
    assert depth.dtype == np.float32
    assert depth.shape == (sample.shot.height, sample.shot.width)
    assert path.read_bytes() == sample.extras[DEPTH_SUFFIX]


def test_conversations_hold_images_codes_and_captions(data: Samples, tmp_path: Path) -> None:
    assert main(["export", "--data", str(data.path), "--format", "llava", "--out", str(tmp_path)]) == 0
    rows: list[dict[str, Any]] = json.loads((tmp_path / "conversations.json").read_text())
    assert [row["id"] for row in rows] == data.keys
    for row, sample in zip(rows, data, strict=True):
        assert (tmp_path / "images" / row["image"]).read_bytes() == sample.image
        turns = row["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert [turn["value"].count("<image>") for turn in turns] == [1] + [0] * (len(turns) - 1)
        assert turns[1]["value"] == sample.code
        assert [turn["value"] for turn in turns[3::2]] == ([caption_of(sample)] if caption_of(sample) else [])
        assert row["camera"] == sample.record["shot"]["camera"]
        if caption_of(sample):
            check_depth(tmp_path / row["depth"], sample)
        else:
            assert "depth" not in row


def test_coco_has_captions_as_coco_does(data: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    export(data.path, "coco", tmp_path)
    captions, instances = (COCO(str(tmp_path / "annotations" / f"{name}.json")) for name in ("captions", "instances"))
    for image, sample in zip(instances.loadImgs(sorted(instances.getImgIds())), data, strict=True):
        assert image["camera"] == sample.record["shot"]["camera"]
        told = [one["caption"] for one in captions.loadAnns(captions.getAnnIds(image["id"]))]
        assert told == ([caption_of(sample)] if caption_of(sample) else [])
        if told:
            check_depth(tmp_path / image["depth"], sample)
    assert len(captions.getAnnIds()) == 2


def test_an_image_folder_has_columns_for_them(data: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    export(data.path, "hf", tmp_path / "hf")
    for row, sample in zip(datasets.load_dataset(str(tmp_path / "hf"))["train"], data, strict=True):
        assert row["caption"] == caption_of(sample)
        assert row["camera"] == sample.record["shot"]["camera"]
        if row["depth"] is not None:
            check_depth(tmp_path / "hf" / row["depth"], sample)
        assert (row["depth"] is None) == (caption_of(sample) is None)


def test_clevr_scenes_have_them_and_are_still_read(data: Samples, tmp_path: Path) -> None:
    export(data.path, "clevr", tmp_path / "clevr")
    [file] = (tmp_path / "clevr" / "scenes").iterdir()
    for scene, sample in zip(json.loads(file.read_text())["scenes"], data, strict=True):
        assert scene.get("caption") == caption_of(sample)
        if "depth_filename" in scene:
            check_depth(tmp_path / "clevr" / "depth" / scene["split"] / scene["depth_filename"], sample)
        assert ("depth_filename" in scene) == ("caption" in scene)
    assert len(import_clevr(file, tmp_path / "back", tmp_path / "clevr" / "images").keys) == 3


def test_depth_of_something_else_is_refused(tmp_path: Path) -> None:
    sample, stream = with_extras(3), io.BytesIO()
    np.save(stream, np.array([object()]), allow_pickle=True)
    for number, (depth, problem) in enumerate(
        [
            (b"no array", "is no NumPy file"),
            (stream.getvalue(), "is not 320x240"),
            (_saved(np.zeros((3, 4), np.float32)), "is not 320x240"),
        ]
    ):
        folder = tmp_path / str(number)
        bad = make_sample(sample.key, sample.scene, sample.shot, sample.pixels(), extras={DEPTH_SUFFIX: depth})
        write_shard(folder / "a.tar", [bad])
        with pytest.raises(UserError, match=problem):
            export(folder, "llava", tmp_path / "out")


def _saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
