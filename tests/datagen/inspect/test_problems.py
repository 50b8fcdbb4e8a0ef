"""What inspect warns of in a data set: combinations that its split does not ask for, and none that it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from constant_scenes import fill
from drawn_samples import HEIGHT, WIDTH, draw_sample
from pages import Page

from datagen.domains.splits import Split
from datagen.inspect.report import PAGE, inspect, statistics_text
from datagen.inspect.statistics import gather
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples, write_shard


@pytest.mark.usefixtures("without_plots")
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


@pytest.mark.usefixtures("without_plots")
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
    page = Page(tmp_path / "out" / PAGE)
    assert "As the split asks" in page.text
    assert "Look at these" not in page.text


def test_what_no_split_asks_for_is_told(reds: Path) -> None:
    """The same scenes where all is allowed, and where less is."""
    text = "\n".join(gather(Samples(reds), replace(REDS, combinations=((),))).problems())
    assert "color is never gray, green, brown, purple, cyan, yellow" in text
    assert "shape and color never together: cube blue" in text
    [problem, *_] = gather(Samples(reds), replace(REDS, combinations=((("color", ("red",)),),))).problems()
    assert problem.startswith("add: the split excludes what is there: shape and color")
    assert "sphere blue" in problem
