"""The counts of inspect equal independent ones, and its page and pictures open whatever the data set holds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from constant_scenes import fill
from PIL import Image, ImageColor

import datagen.images.reduced
from datagen.domains.registry import get_domain
from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.geometry.view import min_visible_pixels
from datagen.images.encoding import encode_image
from datagen.inspect import statistics
from datagen.inspect.folder import folder_facts
from datagen.inspect.histograms import Histogram, Plane
from datagen.inspect.pictures import color, labelled, outline
from datagen.inspect.problems import index_gaps
from datagen.inspect.report import OVERVIEW, PAGE, SHEET, STATISTICS, inspect, statistics_text
from datagen.inspect.statistics import gather, pixels_alone, spread
from datagen.io.files import write_json, write_jsonl
from datagen.samples.draw import draw
from datagen.samples.labels import view_of
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Scene
from datagen.shards.manifest import MANIFEST, STATEMENT
from datagen.shards.reader import Samples, sample_blocks, write_shard
from datagen.shards.spool import Spool
from datagen.shards.store import SPOOL
from igllm import main

CLEVR = get_domain("clevr")
WIDTH, HEIGHT = 64, 48


def draw_sample(index: int, split: str = "default", width: int = WIDTH, height: int = HEIGHT) -> Sample:
    """A sample as generation makes it, except that its pixels are noise, seeded by its index."""
    drawn = draw(DatasetSettings(split=split, seed=3, width=width, height=height, quality="draft", min_objects=2, max_objects=4), index)
    pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
    origin = {"index": index, "seed": 3, "attempt": drawn.attempt, "split": split}
    return make_sample(f"{index:09d}", drawn.scene, drawn.shot, pixels, drawn.view, **origin)


def changed(sample: Sample, change: Callable[[dict[str, Any]], Any]) -> Sample:
    """A copy of the sample whose record `change` has modified."""
    record = json.loads(json.dumps(sample.record))
    change(record)
    return replace(sample, record=record)


def loose(folder: Path, *samples: Sample) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        for suffix, data in sample.files().items():
            (folder / (sample.key + suffix)).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def drawn() -> list[Sample]:
    return [draw_sample(index) for index in (0, 1, 2, 3, 4, 6, 9)]


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


class Page(HTMLParser):
    """The tags, link targets and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.targets += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_and_pictures_open(found: dict[str, Any], data: Path, drawn: list[Sample]) -> None:
    out = data / "inspect"
    assert {path.name for path in out.glob("[!.]*")} == {PAGE, OVERVIEW, SHEET, STATISTICS}
    assert json.loads((out / STATISTICS).read_text()) == found
    page = Page((out / PAGE).read_text())
    assert "script" not in page.tags
    narrow = (out / PAGE).read_text().partition("@media (max-width: 860px)")[2]
    assert re.search(r"table \{[^}]*overflow-x: auto", narrow)  # on a telephone, wide content scrolls instead of being cut off
    assert re.search(r"\.card \{[^}]*overflow-x: auto", narrow)
    links = [target for target in page.targets if not target.startswith("data:image/png;base64,")]
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


def test_combinations_held_out_are_told(tmp_path: Path) -> None:
    samples = [draw_sample(index, "cogent-a") for index in range(60)]
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data" / "shard-000000.tar", samples)
    found = inspect(tmp_path / "data", tmp_path / "out")
    pairs = {tuple(pair["arguments"]): pair["never_together"] for pair in found["statements"][0]["pairs"]}
    objects = [obj for sample in samples for obj in sample.scene]
    allowed = {(obj["color"], obj["shape"]) for obj in objects}
    holes = {tuple(hole) for hole in pairs.pop(("color", "shape"))}
    assert holes
    assert not holes & allowed
    assert not any(pairs.values())
    assert any("shape and color never together" in line for line in found["as_asked"])
    assert not found["problems"]


REDS = Split("reds", ((("color", ("red",)),), (("color", ("blue",)), ("shape", ("sphere", "cylinder")))), objects=(2, 4))


@pytest.fixture(scope="module")
def reds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of a user's split: red and blue objects alone, without blue cubes."""
    folder = tmp_path_factory.mktemp("reds")
    fill(folder, 60, DatasetSettings(rules=REDS, seed=3, width=WIDTH, height=HEIGHT, quality="draft"))
    return folder


def test_what_a_split_asks_for_is_no_alarm(reds: Path, tmp_path: Path) -> None:
    found = inspect(reds, tmp_path / "out")
    assert found["problems"] == []
    assert found["as_asked"] == [
        "add: color is never gray, green, brown, purple, cyan, yellow",
        "add: shape and color never together: cube blue",
    ]
    text = statistics_text(found)
    assert "look at" not in text
    assert "as asked: add: shape and color never together: cube blue" in text
    page = Page((tmp_path / "out" / PAGE).read_text())
    assert "As the split asks" in page.text
    assert "Look at these" not in page.text


def test_what_no_split_asks_for_is_told(reds: Path) -> None:
    """The scenes are judged by a split that allows everything, and by one that allows red alone."""
    problems = "\n".join(gather(Samples(reds), replace(REDS, combinations=((),))).problems())
    assert "color is never gray, green, brown, purple, cyan, yellow" in problems
    assert "shape and color never together: cube blue" in problems
    [problem, *_] = gather(Samples(reds), replace(REDS, combinations=((("color", ("red",)),),))).problems()
    assert problem.startswith("add: the split excludes what is there: shape and color")
    assert "sphere blue" in problem


def test_one_loose_sample_without_objects_or_origin(tmp_path: Path) -> None:
    shot = CLEVR.canonical_shot(32, 24, "draft")
    empty = make_sample("a.b", Scene("clevr", ()), shot, np.zeros((24, 32, 3), np.uint8))
    found = inspect(loose(tmp_path / "data", empty), tmp_path / "out")
    assert (found["samples"], found["objects"], found["without_index"], found["origins"]) == (1, 0, 1, [])
    assert found["disk"]["kinds"].keys() == {".png", ".py", ".json"}
    assert found["disk"]["shards"] == 0
    assert (tmp_path / "out" / PAGE).is_file()


@pytest.mark.filterwarnings("error")
def test_strange_words_and_numbers_are_counted_and_escaped(drawn: list[Sample], tmp_path: Path) -> None:
    hostile = "<script>中('$1')</script>-->"

    def spoil(record: dict[str, Any]) -> None:
        record["scene"]["objects"][0] |= {"color": hostile, "loc": [40.0, -1.0, 0.5]}
        record["shot"]["lamps"][0]["name"] = hostile
        record["split"] = hostile
        height, width = record["labels"][0]["mask"]["size"]
        record["labels"][0] |= {"visible_pixels": 0, "bbox": [0] * 4, "mask": {"size": [height, width], "counts": [height * width]}}

    folder = loose(tmp_path / "data", changed(drawn[0], spoil), drawn[1])
    write_json(folder / STATEMENT, {"num": 2, hostile: {hostile: hostile}})
    found = inspect(folder, tmp_path / "out")
    [statement] = found["statements"]
    assert statement["undeclared_words"] == {"color": {hostile: 1}}
    assert hostile not in statement["words"]["color"]
    assert statement["numbers"]["loc"]["components"][0]["above"] == 1
    assert found["too_little_seen"] == 1
    assert found["settings"] == {"num": "2", f"{hostile}.{hostile}": hostile}
    assert len(found["problems"]) == 4  # undeclared word, number out of range, too little seen, index 0 of another split
    page = Page((tmp_path / "out" / PAGE).read_text())
    assert "script" not in page.tags
    assert page.text.count(hostile) >= 4


def test_frames_of_several_sizes(drawn: list[Sample], tmp_path: Path) -> None:
    found = inspect(loose(tmp_path / "data", *drawn[:3], draw_sample(3, width=48, height=64)), tmp_path / "out")
    assert found["frames"] == {"64x48 draft": 3, "48x64 draft": 1}
    assert any("frames of different sizes; the mean image is of the 3" in problem for problem in found["problems"])


def test_manifest_and_spool_are_told(drawn: list[Sample], tmp_path: Path) -> None:
    write_shard(tmp_path / "shard-000000.tar", drawn[:5])
    spool = Spool(tmp_path / SPOOL / "000001.spool", b"")
    for number, sample in enumerate(drawn[5:7]):
        spool.put(number, sample_blocks(sample))
    size = (tmp_path / "shard-000000.tar").stat().st_size
    rows = [
        {"name": f"shard-{k:06d}.tar", "samples": 5, "bytes": size - k, "sha256": "0" * 64, "labels": "0" * 64, "missing": [7] * k}
        for k in range(2)
    ]
    write_jsonl(tmp_path / MANIFEST, rows)
    facts = folder_facts(Samples(tmp_path))
    assert facts.manifest == {"shards": 2, "samples": 10, "missing": [7]}
    assert facts.spooled == 2
    problems = "\n".join(facts.problems)
    for part in ("not there: shard-000001.tar", "2 finished samples wait", "notes 1 samples as missing"):
        assert part in problems
    rows[0]["bytes"] -= 1
    write_jsonl(tmp_path / MANIFEST, rows[:1])
    assert "another size than the manifest says: shard-000000.tar" in "\n".join(folder_facts(Samples(tmp_path)).problems)


def lose_a_label(record: dict[str, Any]) -> None:
    record["labels"].pop()


DAMAGE: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lose_a_label, "000000000 is damaged"),
    (lambda record: record["scene"]["objects"][0].pop("loc"), "000000000 is damaged"),
    (lambda record: record["scene"]["objects"][0].update(loc="here"), "000000000 is damaged"),
    (lambda record: record["scene"]["objects"][0].update(statement="subtract"), "000000000 is damaged"),
    (lambda record: record["labels"][0].pop("pixel_coords"), "000000000 is damaged"),
    (lambda record: record["labels"][0].update(visible_pixels="many"), "000000000 is damaged"),
    (lambda record: record.update(index="first"), "000000000 is damaged"),
    (lambda record: record.update(domain="clever"), "the domain is 'clever'"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_damage_is_one_message(drawn: list[Sample], tmp_path: Path, damage: Callable[[dict[str, Any]], Any], message: str) -> None:
    folder = loose(tmp_path / "data", changed(drawn[0], damage))
    with pytest.raises(UserError, match=message):
        inspect(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_lies_beside_the_samples_may_be_damaged_too(drawn: list[Sample], tmp_path: Path) -> None:
    folder = loose(tmp_path / "data", drawn[0])
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="a file is in the place"):
        inspect(folder, tmp_path / "out")
    for text in ("[]", "{"):
        (folder / STATEMENT).write_text(text)
        with pytest.raises(UserError, match=re.escape(STATEMENT)):
            inspect(folder, tmp_path / "there")
        (folder / STATEMENT).unlink()
    for text in ("{}\n", "[]\n"):
        (folder / MANIFEST).write_text("\n" + text)
        assert any(f"{MANIFEST}, line 2" in problem for problem in folder_facts(Samples(folder)).problems)
        (folder / MANIFEST).unlink()
    (folder / "000000000.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="000000000: not a readable image"):
        inspect(folder, tmp_path / "there")
    with pytest.raises(UserError, match="no samples here"):
        inspect(tmp_path, tmp_path / "there")


def test_a_histogram_counts_as_numpy_does() -> None:
    values = np.random.default_rng(0).normal(2, 3, 5000)
    histogram = Histogram(-4, 8, 30)
    for value in values:
        histogram.add(value)
    assert histogram.counts == np.histogram(values, 30, (-4, 8))[0].tolist()
    assert (histogram.below, histogram.above) == ((values < -4).sum(), (values > 8).sum())
    assert (histogram.mean, histogram.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    for share in (0.1, 0.5, 0.9):
        assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.4)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            histogram.add(bad)


def test_a_logarithmic_histogram_has_its_own_place_for_zero() -> None:
    histogram = Histogram(1, 2**26, 156, log=True)
    for value in (0, 1, 2, 200, 2**26):
        histogram.add(value)
    assert (histogram.below, histogram.above, sum(histogram.counts)) == (1, 0, 4)
    filled = np.flatnonzero(histogram.counts)
    for place, value in zip(filled, (1, 2, 200, 2**26), strict=True):
        assert histogram.edges[place] <= value * (1 + 1e-9)
        assert value <= histogram.edges[place + 1] * (1 + 1e-9)
    assert histogram.quantile(0.0) == 0
    assert Histogram(0, 1, 4).quantile(0.5) is None


def test_a_plane_grows_and_loses_nothing() -> None:
    points = np.random.default_rng(1).uniform((-3, -2), (3, 5), (4000, 2))
    plane = Plane()
    for x, y in points:
        plane.add(x, y)
    assert plane.half == 8
    edges = np.linspace(-8, 8, 257)
    assert (plane.counts == np.histogram2d(points[:, 1], points[:, 0], [edges, edges])[0]).all()
    part, (left, right, bottom, top) = plane.occupied(24)
    assert part.sum() == 4000
    assert left <= points[:, 0].min() < points[:, 0].max() <= right
    assert bottom <= points[:, 1].min() < points[:, 1].max() <= top
    plane.add(1e9, 0)
    plane.add(0, float("nan"))
    assert (plane.outside, plane.half, plane.counts.sum()) == (2, 8, 4000)


def test_small_parts() -> None:
    assert index_gaps([2, 3, 3, 7]) == ([(0, 1), (4, 6)], 1)
    assert spread(list("abcdef"), 3) == ["a", "c", "f"]
    assert spread(["a"], 3) == ["a"]
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    assert outline(mask).sum() == 49 - 9
    assert outline(np.ones((3, 3), bool)).sum() == 9


def test_the_renders_of_a_data_set(renders: Samples, tmp_path: Path) -> None:
    found = inspect(renders.path, tmp_path)
    assert found["samples"] == found["manifest"]["samples"] == 16
    assert found["settings"]["seed"] == "7"
    assert found["problems"] == []
    least = min(histogram["min"] for histogram in found["visible_pixels"].values())
    assert least >= min_visible_pixels(160, 120)


@pytest.mark.filterwarnings("error")
def test_a_set_in_which_nothing_shows_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "off.py").write_text("dot(loc=(9.0, 9.0))\n")
    assert main(["render", "--code", str(tmp_path / "off.py"), "--domain", "dot2d", "--out", str(tmp_path / "set")]) == 0
    assert main(["inspect", str(tmp_path / "set"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / PAGE).is_file()


def test_an_image_of_another_size_than_its_record_says_is_one_message(drawn: list[Sample], tmp_path: Path) -> None:
    image = encode_image(np.zeros((2000, 1, 3), np.uint8))
    write_shard(tmp_path / "shard-000000.tar", [replace(drawn[0], image=image)])
    with pytest.raises(UserError, match="000000000: its image has 1x2000 pixels, and its record is of"):
        inspect(tmp_path, tmp_path / "out")


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
