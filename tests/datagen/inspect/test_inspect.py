"""What inspect counts, against counting anew; and that its page and pictures open."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Page
from PIL import Image, ImageColor

import datagen.images.reduced
from datagen.domains.registry import get_domain
from datagen.geometry.view import min_visible_pixels
from datagen.inspect import statistics
from datagen.inspect.pictures import color, labelled, outline
from datagen.inspect.problems import index_gaps
from datagen.inspect.report import OVERVIEW, PAGE, SHEET, STATISTICS, inspect, statistics_text
from datagen.inspect.statistics import pixels_alone, spread
from datagen.samples.labels import view_of
from datagen.samples.sample import Sample
from datagen.scene import Scene
from datagen.shards.reader import Samples, write_shard
from igllm import main

CLEVR = get_domain("clevr")


@pytest.fixture(scope="module")
def data(drawn: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect") / "data"
    folder.mkdir()
    write_shard(folder / "shard-000000.tar", drawn[:5])
    write_shard(folder / "shard-000001.tar", drawn[5:])
    return folder


@pytest.fixture(scope="module")
def found(data: Path) -> dict[str, Any]:
    return inspect(data, data / "inspect")


def counts(histogram: dict[str, Any]) -> int:
    return sum(histogram["counts"]) + histogram["below"] + histogram["above"]


def test_words_and_pairs_are_those_of_the_objects(found: dict[str, Any], drawn: list[Sample]) -> None:
    objects = [obj for sample in drawn for obj in sample.scene]
    assert (found["samples"], found["objects"]) == (len(drawn), len(objects))
    [statement] = found["statements"]
    for name, counter in statement["words"].items():
        assert counter == {word: sum(obj[name] == word for obj in objects) for word in counter}
        assert sum(counter.values()) == len(objects)
    assert len(statement["pairs"]) == 6
    for pair in statement["pairs"]:
        (a, b), (rows, columns) = pair["arguments"], pair["words"]
        assert pair["counts"] == [[sum(obj[a] == row and obj[b] == column for obj in objects) for column in columns] for row in rows]


def test_numbers_are_those_of_the_objects(found: dict[str, Any], drawn: list[Sample]) -> None:
    objects = [obj for sample in drawn for obj in sample.scene]
    numbers = found["statements"][0]["numbers"]
    for place, component in enumerate(numbers["loc"]["components"]):
        values = np.array([obj["loc"][place] for obj in objects])
        wanted = {"n": len(values), "min": values.min(), "max": values.max(), "mean": values.mean(), "std": values.std()}
        assert {name: component[name] for name in wanted} == pytest.approx(wanted)
        assert sum(component["counts"]) == len(values)
    [angle] = numbers["rotation"]["components"]
    seen = [obj["rotation"] for obj in objects if obj["shape"] == "cube"]  # the others look the same however they are turned
    assert (angle["n"], angle["mean"]) == (len(seen), pytest.approx(np.mean(seen)))


def test_labels_are_counted_by_crowdedness(found: dict[str, Any], drawn: list[Sample]) -> None:
    for count, histogram in found["visible_pixels"].items():
        seen = [label["visible_pixels"] for s in drawn if len(s.scene) == int(count) for label in s.record["labels"]]
        assert counts(histogram) == histogram["n"] == len(seen)
        assert (histogram["min"], histogram["max"], histogram["mean"]) == (min(seen), max(seen), pytest.approx(np.mean(seen)))
    assert found["too_little_seen"] == 0
    assert found["objects_per_scene"] == {n: sum(len(s.scene) == int(n) for s in drawn) for n in found["objects_per_scene"]}


def test_images_are_measured(found: dict[str, Any], drawn: list[Sample]) -> None:
    pixels = np.stack([sample.pixels() for sample in drawn]).astype(float)
    assert found["images"]["images"] == len(drawn)
    assert found["images"]["channel_mean"] == pytest.approx(pixels.mean((0, 1, 2)))
    assert found["images"]["channel_std"] == pytest.approx(pixels.std((0, 1, 2)))
    assert found["images"]["mean"]["mean"] == pytest.approx(pixels.mean())
    assert found["images"]["std"]["max"] == pytest.approx(max(image.std() for image in pixels))


def test_visible_share_is_of_what_an_object_shows_alone(drawn: list[Sample], found: dict[str, Any]) -> None:
    shares: dict[int, list[float]] = {}
    for sample in drawn:
        shot = sample.shot
        for obj, label in zip(sample.scene, sample.record["labels"], strict=True):
            alone = view_of(Scene("clevr", (obj,)), CLEVR, shot).visible_pixels(1)[0]
            assert pixels_alone(obj, CLEVR, shot) == alone
            shares.setdefault(len(sample.scene), []).append(label["visible_pixels"] / alone)
    for count, values in shares.items():
        assert found["visible_share"][str(count)]["mean"] == pytest.approx(np.mean(values))


def test_origin_disk_and_gaps(found: dict[str, Any], data: Path, drawn: list[Sample]) -> None:
    [row] = found["origins"]
    assert row == {
        "seed": 3,
        "split": "default",
        "samples": 7,
        "first": 0,
        "last": 9,
        "missing": 3,
        "gaps": [[5, 5], [7, 8]],
        "repeated": 0,
    }
    assert any("5, 7–8 (3 in all)" in problem for problem in found["problems"])
    assert sum(found["attempts"].values()) == 7
    disk = found["disk"]
    assert (disk["bytes"], disk["shards"]) == (sum(path.stat().st_size for path in data.glob("*.tar")), 2)
    for suffix in (".png", ".py", ".json"):
        assert disk["kinds"][suffix] == {"files": 7, "bytes": sum(len(sample.files()[suffix]) for sample in drawn)}
    assert [camera["samples"] for camera in found["cameras"]] == [7]
    assert {name: row["lamps"] for name, row in found["lamps"].items()} == {"key": 7, "fill": 7, "back": 7}


def test_page_and_pictures_open(found: dict[str, Any], data: Path, drawn: list[Sample]) -> None:
    out = data / "inspect"
    assert {path.name for path in out.glob("[!.]*")} == {PAGE, OVERVIEW, SHEET, STATISTICS}
    assert json.loads((out / STATISTICS).read_text()) == found
    page = Page(out / PAGE)
    assert "script" not in page.tags
    narrow = (out / PAGE).read_text().partition("@media (max-width: 860px)")[2]
    assert re.search(r"table \{[^}]*overflow-x: auto", narrow)  # what is wider than a telephone's screen is scrolled to, not cut off
    assert re.search(r"\.card \{[^}]*overflow-x: auto", narrow)
    links = [target for target in page.links if not target.startswith("data:image/png;base64,")]
    assert set(links) == {OVERVIEW, SHEET, STATISTICS}
    assert drawn[0].code.splitlines()[0] in page.text
    assert "7 images, evenly spread over the 7 samples" in page.text
    for name in (OVERVIEW, SHEET):
        with Image.open(out / name) as picture:
            assert picture.width > 1600
            assert 5 < np.asarray(picture.convert("L")).std() < 120
    text = statistics_text(found)
    assert text.startswith(f"7 samples, {found['objects']} objects")
    assert "look at: seed 3, split default: indices are missing" in text


def test_small_parts() -> None:
    assert index_gaps([2, 3, 3, 7]) == ([(0, 1), (4, 6)], 1)
    assert spread(list("abcdef"), 3) == ["a", "c", "f"]
    assert spread(["a"], 3) == ["a"]
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    assert outline(mask).sum() == 49 - 9
    assert outline(np.ones((3, 3), bool)).sum() == 9


@pytest.mark.usefixtures("without_plots")
def test_the_renders_of_a_data_set(renders: Samples, tmp_path: Path) -> None:
    found = inspect(renders.path, tmp_path)
    assert found["samples"] == found["manifest"]["samples"] == 16
    assert found["settings"]["seed"] == "7"
    assert found["problems"] == []
    least = min(histogram["min"] for histogram in found["visible_pixels"].values())
    assert least >= min_visible_pixels(160, 120)


@pytest.mark.usefixtures("without_plots")
def test_very_large_frames_are_shown_smaller_and_counted_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    size = ["--width", "90", "--height", "70", "--num", "3"]
    assert main(["generate", "--domain", "dot2d", *size, "--seed", "1", "--out", str(data)]) == 0
    assert main(["inspect", str(data), "--out", str(tmp_path / "whole")]) == 0
    monkeypatch.setattr(datagen.images.reduced, "MOST_PIXELS", 90 * 70 // 4)
    monkeypatch.setattr(statistics, "MOST_CAST", 90 * 70 // 4)
    assert main(["inspect", str(data), "--out", str(tmp_path / "reduced")]) == 0
    whole, small = (json.loads((tmp_path / name / "statistics.json").read_text()) for name in ("whole", "reduced"))
    assert small["images"] == whole["images"]
    assert {name for name in whole if small[name] != whole[name]} <= {"visible_share"}
    [sample, *_] = Samples(data)
    picture = labelled(sample)
    assert picture.size == (16 * 45, 16 * 35)
    x, y, width, height = sample.record["labels"][0]["bbox"]
    ink = np.abs(np.array(picture).astype(int) - ImageColor.getrgb(color(0))).max(-1) < 40
    rows, columns = np.flatnonzero(ink[:, 8 * (x + width // 2)]), np.flatnonzero(ink[8 * (y + height // 2)])
    assert rows.min() / 8 == pytest.approx(y, abs=2)
    assert rows.max() / 8 == pytest.approx(y + height, abs=2)
    assert columns.min() / 8 == pytest.approx(x, abs=2)
    assert columns.max() / 8 == pytest.approx(x + width, abs=2)
