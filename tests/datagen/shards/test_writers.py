"""Many writers of one data set: each writes shards of its own, which are read before and after they are joined."""

from __future__ import annotations

from pathlib import Path

import pytest
from constant_scenes import IN_FOUR_SHARDS, SETTINGS, constant_sample, contents, fill

from datagen.errors import PartlyDone, UserError
from datagen.io.ranges import listed, parse_shards
from datagen.shards.merge import merge
from datagen.shards.reader import Samples
from datagen.shards.verify import verify
from datagen.shards.writer import open_dataset


def test_ranges_are_parsed_and_listed() -> None:
    assert parse_shards("3,0-1, 3", 4) == [0, 1, 3]
    assert listed([0, 1, 3, 7, 8]) == "0-1, 3, 7-8"
    for wrong in ("", "a", "3-1", "1-", "-1", "0,,1", "4", "0-4"):
        with pytest.raises(UserError, match="shards"):
            parse_shards(wrong, 4)


def test_parts_are_read_before_and_after_they_are_joined(tmp_path: Path, four_shards: Path) -> None:
    assert fill(tmp_path, IN_FOUR_SHARDS, shards=[2, 3]) == list(range(8, 14))
    with pytest.raises(PartlyDone, match="the shards 0-1 are missing"):
        merge(tmp_path)
    assert fill(tmp_path, IN_FOUR_SHARDS, shards=[0, 1], failing=[5]) == list(range(8))
    assert Samples(tmp_path).keys == [key for key in Samples(four_shards).keys if key != "000000005"]
    assert verify(tmp_path).problems == ["shard-000001.tar: lacks the samples 5; 5 could not be rendered (failures.jsonl)"]
    assert fill(tmp_path, IN_FOUR_SHARDS, shards=[1]) == [5]
    assert verify(tmp_path).notes == ["2 parts of the manifest are not joined yet; `igllm merge` does it"]
    assert verify(tmp_path).whole
    merge(tmp_path)
    assert contents(tmp_path) == contents(four_shards)
    assert not (tmp_path / ".spool").exists()


def test_a_full_run_goes_on_from_parts(tmp_path: Path, four_shards: Path) -> None:
    fill(tmp_path, IN_FOUR_SHARDS, shards=[1], failing=[4])
    with open_dataset(tmp_path, SETTINGS, IN_FOUR_SHARDS, [3]) as writer:
        writer.put(constant_sample(SETTINGS, 13))
    assert fill(tmp_path, IN_FOUR_SHARDS) == [*range(5), *range(8, 13)]
    assert contents(tmp_path) == contents(four_shards)


def test_writers_of_other_shards_work_at_once_and_of_the_same_do_not(tmp_path: Path, four_shards: Path) -> None:
    with open_dataset(tmp_path, SETTINGS, IN_FOUR_SHARDS, [0, 1]) as one, open_dataset(tmp_path, SETTINGS, IN_FOUR_SHARDS, [2, 3]) as other:
        for shards, named in (([1], "shard 1"), ([3, 2], "the shards 2-3"), (None, "this data set")):
            with (
                pytest.raises(UserError, match=f"another run is writing to {named}"),
                open_dataset(tmp_path, SETTINGS, IN_FOUR_SHARDS, shards),
            ):
                pass
        with pytest.raises(UserError, match="another run"):
            merge(tmp_path)
        for index in range(8):
            one.put(constant_sample(SETTINGS, index))
            if index < 6:
                other.put(constant_sample(SETTINGS, index + 8))
        one.close()
        other.close()
    merge(tmp_path)
    assert contents(tmp_path) == contents(four_shards)
