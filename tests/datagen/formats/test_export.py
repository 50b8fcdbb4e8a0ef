"""Exports: readable by the formats' own readers, only of samples that agree with their records, and imported again without loss."""

from __future__ import annotations

import copy
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from published_scenes import CLEVR, jittered, published_val_0, scenes_file

from datagen.errors import UserError
from datagen.formats import clevr_import
from datagen.formats.clevr_import import CODES, import_clevr
from datagen.formats.export import export
from datagen.images.encoding import encode_image
from datagen.inspect.report import inspect
from datagen.io.files import file_sha256, read_json, read_jsonl
from datagen.io.written import DRAFT
from datagen.samples.labels import decode_rle
from datagen.samples.sample import EncodedSample, Sample, make_sample
from datagen.shards.reader import Samples, write_shard
from datagen.workers.jobs import RenderJob
from datagen.workers.pool import RenderPool
from igllm import main
from render.images import same_image


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Twelve samples under jittered cameras, in two shards."""
    folder = tmp_path_factory.mktemp("jittered")
    for shard in range(2):
        write_shard(folder / f"shard-{shard:06d}.tar", (jittered(index) for index in range(6 * shard, 6 * shard + 6)))
    return Samples(folder)


@pytest.fixture(scope="module")
def clevr(data: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set's export to CLEVR's format."""
    out = tmp_path_factory.mktemp("clevr")
    assert export(data.path, "clevr", out) == 12
    return out


# CLEVR, there and back


def test_scenes_are_laid_out_as_published(data: Samples, clevr: Path) -> None:
    document = read_json(clevr / "scenes" / "CLEVR_default_scenes.json")
    assert set(document["info"]) == {"date", "version", "split", "license"}
    assert len(document["scenes"]) == 12
    for index, (scene, sample) in enumerate(zip(document["scenes"], data, strict=True)):
        assert scene["image_index"] == index
        assert scene["split"] == "default"
        assert (clevr / "images" / "default" / scene["image_filename"]).read_bytes() == sample.image
        assert set(scene["directions"]) == {"right", "left", "front", "behind", "above", "below"}
        for name, vector in scene["directions"].items():
            assert math.hypot(*vector) == pytest.approx(1.0)
            assert (vector[2] == 0.0) == (name not in ("above", "below"))
        for row, label in zip(scene["objects"], sample.record["labels"], strict=True):
            assert set(row) == {"shape", "size", "material", "color", "rotation", "3d_coords", "pixel_coords"}
            assert all(type(v) is int for v in row["pixel_coords"][:2])
            assert np.abs(np.subtract(row["pixel_coords"], label["pixel_coords"])).max() <= 0.5
        x = [row["pixel_coords"][0] for row in scene["objects"]]
        for i, others in enumerate(scene["relationships"]["right"]):
            assert others == sorted(others)
            assert i not in others
            assert all(i in scene["relationships"]["left"][j] for j in others)
            assert i == x.index(max(x)) or others


def test_exported_shards_come_back_as_they_were(data: Samples, clevr: Path, tmp_path: Path) -> None:
    imported = import_clevr(clevr / "scenes" / "CLEVR_default_scenes.json", tmp_path, clevr / "images")
    assert not imported.doubts
    assert len(imported.lines()) == 1
    back = Samples(tmp_path)
    assert back.keys == [f"CLEVR_default_{i:06d}" for i in range(12)]
    for one, other in zip(back, data, strict=True):
        assert one.code == other.code
        assert one.image == other.image
        assert one.record["split"] == "default"
        assert one.record["seed"] is None
        assert one.shot.camera == other.shot.camera
        assert one.record["labels"] == other.record["labels"]
    [row] = read_jsonl(tmp_path / "manifest.jsonl")
    assert row["sha256"] == file_sha256(tmp_path / row["name"])
    assert read_json(tmp_path / "dataset.json")["num"] == 12
    assert inspect(tmp_path, tmp_path / "inspect")["samples"] == 12
    assert main(["verify", str(tmp_path)]) == 0
    before = row["sha256"]
    import_clevr(clevr / "scenes" / "CLEVR_default_scenes.json", tmp_path, clevr / "images")
    assert read_jsonl(tmp_path / "manifest.jsonl")[0]["sha256"] == before


def test_an_interrupted_import_keeps_its_finished_shards(clevr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, images = clevr / "scenes" / "CLEVR_default_scenes.json", clevr / "images"
    monkeypatch.setattr(clevr_import, "SHARD_SIZE", 5)
    import_clevr(scenes, tmp_path / "calm", images)
    rows = read_jsonl(tmp_path / "calm" / "manifest.jsonl")
    out = tmp_path / "disturbed"
    tries = iter(range(7))

    def interrupted(*arguments: Any, **named: Any) -> Any:
        if next(tries, None) is None:
            raise KeyboardInterrupt
        return make_sample(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(clevr_import, "make_sample", interrupted)
        import_clevr(scenes, out, images)
    assert read_jsonl(out / "manifest.jsonl") == rows[:1]
    again = import_clevr(scenes, out, images)
    assert (again.earlier, len(again.keys), len(again.stated)) == (5, 12, 7)
    assert read_jsonl(out / "manifest.jsonl") == rows
    (out / rows[1]["name"]).write_bytes(b"damaged")
    assert import_clevr(scenes, out, images).earlier == 5
    assert main(["verify", str(out)]) == 0
    others = tmp_path / "other images"
    shutil.copytree(images, others)
    Image.new("RGB", (320, 240)).save(next(others.rglob("CLEVR_default_000000.png")))
    assert import_clevr(scenes, out, others).earlier == 0


def test_other_data_is_not_written_over(data: Samples, clevr: Path, tmp_path: Path) -> None:
    scenes = clevr / "scenes" / "CLEVR_default_scenes.json"
    with pytest.raises(UserError, match="not imported"):
        import_clevr(scenes, data.path, clevr / "images")
    with pytest.raises(UserError, match="two scenes name"):
        import_clevr(scenes_file(tmp_path, published_val_0(), published_val_0()), tmp_path / "out")
    with pytest.raises(UserError, match="the data set itself"):
        export(data.path, "hf", data.path)
    (tmp_path / "hf" / "train").mkdir(parents=True)
    (tmp_path / "hf" / "train" / "cat.png").touch()
    with pytest.raises(UserError, match=r"cat\.png"):
        export(data.path, "hf", tmp_path / "hf")


@pytest.mark.parametrize("format", ["clevr", "coco", "hf", "llava"])
def test_an_export_into_an_older_one_ends_as_a_fresh_one(data: Samples, tmp_path: Path, format: str) -> None:
    """The older one has more samples and a killed call's draft. Files that others added or changed are never replaced."""
    few = tmp_path / "few"
    few.mkdir()
    write_shard(few / "a.tar", [data.at(3)])
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert export(data.path, format, out) == 12
    (out / DRAFT / "left").mkdir(parents=True)  # of a killed call
    for place in (out, fresh):
        assert export(few, format, place) == 1

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}

    assert contents(out) == contents(fresh)
    assert not (out / DRAFT).exists()
    (out / "cat.png").touch()
    with pytest.raises(UserError, match=r"holds other files too, such as cat\.png"):
        export(data.path, format, out)
    (out / "cat.png").unlink()
    changed = next(path for path in out.rglob("*.png"))
    changed.write_bytes(b"mine")
    other = tmp_path / "other"
    other.mkdir()
    write_shard(other / "a.tar", [replace(data.at(4), key="another")])
    with pytest.raises(UserError, match="was changed after igllm wrote it"):
        export(other, format, out)
    assert changed.read_bytes() == b"mine"


def cut_short(sample: Sample) -> Sample:
    return replace(sample, image=sample.image[: len(sample.image) // 2])


def in_another_size(sample: Sample) -> Sample:
    return replace(sample, image=encode_image(sample.pixels()[::2, ::2]))


@pytest.mark.parametrize("format", ["clevr", "coco", "hf", "llava"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda sample: replace(sample, image=b"\x89PNG\r\n\x1a\njunk"), "not a readable image"),
        (cut_short, "not a readable image"),
        (in_another_size, "its image has 160x120 pixels, and its record is of 320x240"),
        (lambda sample: replace(sample, image=encode_image(sample.pixels(), "webp")), r"its image is no \.png file"),
        (lambda sample: replace(sample, code=sample.code + "sing()\n"), "its code cannot be read: line 4, column 1"),
        (lambda sample: replace(sample, code=""), "code and record tell different scenes"),
    ],
)
def test_no_sample_is_exported_that_is_not_what_its_record_says(  # noqa: PLR0917
    format: str, change: Callable[[Sample], Sample], problem: str, data: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shard(tmp_path / "set" / "a.tar", [data.at(0), change(jittered(1, most=3))])
    out = tmp_path / "out"
    assert main(["export", "--data", str(tmp_path / "set"), "--format", format, "--out", str(out)]) == 2
    [message] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("igllm")]
    assert re.match(rf"igllm export: {tmp_path}/set: sample 000000001: {problem}", message)
    assert not out.exists()


# Readers of others


def test_pycocotools_reads_the_instances(data: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    export(data.path, "coco", tmp_path)
    export(data.path, "coco", tmp_path)  # again
    coco = COCO(str(tmp_path / "annotations" / "instances.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["cube", "sphere", "cylinder"]
    assert len(coco.getImgIds()) == 12
    for image, sample in zip(coco.loadImgs(sorted(coco.getImgIds())), data, strict=True):
        assert (tmp_path / "images" / image["file_name"]).read_bytes() == sample.image
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        for annotation, obj, label in zip(annotations, sample.scene, sample.record["labels"], strict=True):
            mask = coco.annToMask(annotation)
            assert (mask == decode_rle(label["mask"])).all()
            assert annotation["area"] == mask.sum()
            assert annotation["bbox"] == label["bbox"]
            assert coco.cats[annotation["category_id"]]["name"] == obj["shape"]
            assert annotation["attributes"]["color"] == obj["color"]
            assert annotation["attributes"]["loc"] == list(obj["loc"])
    perfect = [{**annotation, "score": 1.0} for annotation in copy.deepcopy(coco.loadAnns(coco.getAnnIds()))]
    for kind in ("segm", "bbox"):
        score = COCOeval(coco, coco.loadRes(copy.deepcopy(perfect)), kind)
        score.evaluate()
        score.accumulate()
        score.summarize()
        assert score.stats[0] == pytest.approx(1.0)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hugging Face ``datasets``, without network access and with a cache folder of its own."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def test_datasets_reads_the_image_folder(data: Samples, tmp_path: Path, offline: Any) -> None:
    export(data.path, "hf", tmp_path / "hf")
    for rows in (offline.load_dataset(str(tmp_path / "hf")), offline.load_dataset("imagefolder", data_dir=str(tmp_path / "hf"))):
        assert set(rows) == {"train"}
        for row, sample in zip(rows["train"], data, strict=True):
            assert (np.asarray(row["image"]) == sample.pixels()).all()
            assert (row["key"], row["code"]) == (sample.key, sample.code)
            assert [o["color"] for o in row["objects"]] == [obj["color"] for obj in sample.scene]
            assert [o["bbox"] for o in row["objects"]] == [label["bbox"] for label in sample.record["labels"]]


def test_datasets_reads_the_shards(data: Samples, offline: Any) -> None:
    files = str(data.path / "*.tar")
    whole = offline.load_dataset("webdataset", data_files=files)["train"]
    stream = offline.load_dataset("webdataset", data_files=files, streaming=True)["train"]
    for rows in (whole, stream):
        for row, sample in zip(rows, data, strict=True):
            assert row["__key__"] == sample.key
            assert (np.asarray(row["png"]) == sample.pixels()).all()
            assert row["py"].decode() == sample.code
            assert row["json"] == sample.record


# Through Blender


def test_an_exported_scene_renders_to_its_image_again(tmp_path: Path) -> None:
    """With the standard lamps, which a scenes file does not record, export, import and rendering give the same image."""
    scene = jittered(4, least=3, most=3, width=64, height=48).scene
    shot = CLEVR.canonical_shot(64, 48, "standard")
    with RenderPool(1) as pool:
        [(_, sample)] = pool.render([RenderJob("a", scene, shot)])
    assert isinstance(sample, EncodedSample)
    sample = sample.decoded()
    write_shard(tmp_path / "data" / "shard-000000.tar", [sample])
    export(tmp_path / "data", "clevr", tmp_path / "clevr")
    import_clevr(tmp_path / "clevr" / "scenes" / "CLEVR_new_scenes.json", tmp_path / "codes")
    out = ["--data", str(tmp_path / "codes"), "--out", str(tmp_path / "again"), "--workers", "1"]
    assert main(["render", "--code", str(tmp_path / "codes" / CODES), *out]) == 0
    [again] = Samples(tmp_path / "again")
    assert same_image(again.pixels(), sample.pixels())
