"""Odd and damaged data sets: counted and shown for what they are, or refused in one message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_samples import draw_sample
from pages import Page

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.images.encoding import encode_image
from datagen.inspect.folder import folder_facts
from datagen.inspect.report import PAGE, inspect
from datagen.io.files import write_json, write_jsonl
from datagen.samples.sample import Sample, make_sample
from datagen.scene import Scene
from datagen.shards.manifest import MANIFEST, STATEMENT
from datagen.shards.reader import Samples, sample_blocks, write_shard
from datagen.shards.spool import Spool
from datagen.shards.store import SPOOL
from igllm import main

CLEVR = get_domain("clevr")


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
    page = Page(tmp_path / "out" / PAGE)
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
    text = "\n".join(facts.problems)
    for part in ("not there: shard-000001.tar", "2 finished samples wait", "notes 1 samples as missing"):
        assert part in text
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
