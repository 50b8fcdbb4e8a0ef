"""People's own model files and images in the verbs from generate to compare, opened and rendered by Blender."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datagen.code.predictions import Prediction, write_predictions
from datagen.domains.registry import get_domain
from datagen.samples.labels import decode_rle
from datagen.shards.reader import Samples
from igllm import main
from render.conformance import check_domain

WEDGE = "v 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\nv 2 0 {top}\nv 2 1 {top}\nf 1 4 3 2\nf 2 3 6 5\nf 1 5 6 4\nf 1 2 5\nf 4 6 3\n"
"""An .obj file of a wedge that rises to one side; Y is up."""
TENT = """ply
format ascii 1.0
element vertex 5
property float x
property float y
property float z
element face 5
property list uchar int vertex_indices
end_header
0 0 0
3 0 0
3 1 0
0 1 0
1.5 0.5 {top}
4 0 3 2 1
3 0 1 4
3 1 2 4
3 2 3 4
3 3 0 4
"""
SAMPLES = 4  # of a data set, in two shards
FRAME = ("--width", "64", "--height", "48", "--quality", "draft", "--workers", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models: six wedges, a tent and a damaged file; in a folder beside them six images, three of them red, and a damaged file."""
    made = tmp_path_factory.mktemp("own") / "models"
    for kind in ("wedge", "tent"):
        (made / kind).mkdir(parents=True)
    for number in range(6):
        (made / "wedge" / f"wedge_{number}.obj").write_text(WEDGE.format(top=1 + number / 4))
    (made / "tent" / "tent_0.ply").write_text(TENT.format(top=1.5))
    (made / "tent" / "torn.ply").write_text(TENT[: len(TENT) // 2])
    images = made.with_name("images") / "paper"
    images.mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (16, 16), (220, number, 0) if number % 2 else (0, number, 220)).save(images / f"{number}.png")
    (images / "torn.jpg").write_bytes(b"torn")
    return made


@pytest.fixture(scope="module")
def name(folder: Path) -> str:
    """The name of the domain that inspect makes of `folder`."""
    assert igllm("inspect", "--assets", folder, "--textures", folder.with_name("images"), "--out", folder.parent / "sheet") == 0
    listed = json.loads((folder.parent / "sheet" / "asset-list.json").read_text())
    assert [refused["path"] for refused in listed["refused"]] == ["tent/torn.ply", "paper/torn.jpg"]
    return str(listed["domain"])


def igllm(*words: object) -> int:
    return main(list(map(str, words)))


def test_they_keep_what_domains_promise(name: str, tmp_path: Path) -> None:
    check_domain(name, tmp_path)


def test_objects_wear_the_images(folder: Path, name: str, tmp_path: Path) -> None:
    """Their domain is told by its name, or by the folders."""
    told = [("--domain", name), ("--assets", folder, "--textures", folder.with_name("images"))]
    words = {choice.name: choice.words for choice in get_domain(name).statements[0].choices}
    textures, shape = words["texture"], words["shape"][0]
    assert len(textures) == 1 + 6
    code = 'add(loc=(0, 0, 1), scale=1, texture="{}", shape="{}", rotation=(0, 0, 0))\n'
    write_predictions(tmp_path / "worn.jsonl", [Prediction(texture, code.format(texture, shape)) for texture in textures[1:]])
    assert igllm("render", "--code", tmp_path / "worn.jsonl", *told[0], "--out", tmp_path / "rendered", *FRAME) == 0
    (tmp_path / "one.py").write_text(code.format(textures[1], shape))
    assert igllm("render", "--code", tmp_path / "one.py", *told[1], "--out", tmp_path / "one", *FRAME) == 0
    assert Samples(tmp_path / "one")["one"].image == Samples(tmp_path / "rendered")[textures[1]].image
    for texture in textures[1:]:
        sample = Samples(tmp_path / "rendered")[texture]
        mask = decode_rle(sample.record["labels"][0]["mask"]).astype(bool)
        red, _, blue = sample.pixels()[mask].mean(0)
        assert (red > 2 * blue) if int(texture[0]) % 2 else (blue > 2 * red)
    sides = ("--reference", tmp_path / "worn.jsonl", "--candidate", tmp_path / "worn.jsonl", "--out", tmp_path / "report")
    assert igllm("compare", *sides, *told[1]) == 0
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["domain"] == name


@pytest.mark.usefixtures("without_plots")
def test_a_model_learns_of_them_and_what_it_writes_is_rendered(folder: Path, name: str, tmp_path: Path) -> None:
    own = ("--domain", "assets", "--assets", folder, "--textures", folder.with_name("images"))
    generate = ("generate", *own, "--num", SAMPLES, "--shard-size", SAMPLES // 2, *FRAME)
    data, halves, val = tmp_path / "data", (tmp_path / "half-0", tmp_path / "half-1"), tmp_path / "val"
    assert igllm(*generate, "--split", "known", "--seed", 1, "--out", data) == 0
    for number, half in enumerate(halves):
        assert igllm(*generate, "--split", "known", "--seed", 1, "--shards", number, "--out", half) == 0
    assert igllm("merge", halves[0], "--from", halves[1]) == 0
    assert _records(halves[0]) == _records(data)
    assert igllm(*generate, "--split", "unseen-shapes", "--seed", 2, "--out", val) == 0
    assert len(_shapes(val)) == 1
    assert not _shapes(val) & _shapes(data)
    exports = [("export", "--data", data, "--format", name, "--out", tmp_path / name) for name in ("coco", "hf")]
    for verb in (("verify", data), ("inspect", data), *exports):
        assert igllm(*verb) == 0

    run, predicted, rendered, report = (tmp_path / name for name in ("run", "pred.jsonl", "rendered", "report"))
    assert igllm("train", "--data", data, "--val", val, "--out", run, "--steps", 3, "--batch-size", 4, "--device", "cpu") == 0
    assert igllm("predict", "--model", run, "--data", val, "--out", predicted, "--device", "cpu") == 0
    assert igllm("render", "--code", predicted, "--data", val, "--out", rendered, "--workers", 1) == 0
    assert igllm("compare", "--reference", val, "--candidate", rendered, "--out", report) == 0
    metrics = json.loads((report / "metrics.json").read_text())
    assert (metrics["domain"], metrics["samples"], metrics["unparsable"], metrics["image"]["samples"]) == (name, SAMPLES, 0, SAMPLES)
    assert set(metrics["scene"]["accuracy_all"]) == {"texture", "shape", "class", "pattern"}


def _records(data: Path) -> list[dict[str, Any]]:
    """The records of a data set's samples."""
    archive = Samples.for_training(data)
    return [json.loads(archive.files(number)[".json"]) for number in range(SAMPLES)]


def _shapes(data: Path) -> set[str]:
    """The shapes in a data set's scenes."""
    return {obj["shape"] for record in _records(data) for obj in record["scene"]["objects"]}
