"""Records from untrusted sources: one that is not as declared is refused in one message, before anything is iterated or allocated."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from constant_scenes import SETTINGS, constant_sample
from hypothesis import given
from hypothesis import strategies as st

from datagen.errors import UserError
from datagen.formats.export import export
from datagen.inspect.report import inspect
from datagen.samples.labels import encode_rle, pixels_and_box, runs_of
from datagen.samples.sample import Sample
from datagen.shards.reader import Samples, write_shard

SAMPLE = constant_sample(replace(SETTINGS, max_objects=3), 0)
FILES = SAMPLE.files()
STRANGE = [None, True, -1, 10**18, 1e308, 1e-320, "", "x" * 300, "\u0000", [], {}, [[]], [1e400], {"size": [10**9, 10**9]}, 0.5]
# Values that a damaged or malicious record may have in the place of a field; a field may also be absent.


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value within plain JSON."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*at, key))


PATHS = list(paths(json.loads(FILES[".json"])))


def read(record: bytes) -> Sample:
    return Sample.from_files(SAMPLE.key, {**FILES, ".json": record}, "set")


@given(st.sampled_from(PATHS), st.sampled_from(STRANGE), st.booleans())
def test_any_field_replaced_is_one_message_or_as_declared(path: tuple[Any, ...], strange: Any, absent: bool) -> None:
    record = copy.deepcopy(json.loads(FILES[".json"]))
    owner = record
    for key in path[:-1]:
        owner = owner[key]
    if absent:
        del owner[path[-1]]
    else:
        owner[path[-1]] = strange
    try:
        sample = read(json.dumps(record).encode())
    except UserError as error:
        assert str(error).startswith("set: sample 000000000")
        return
    # An accepted record can be used: the frame can be allocated, and every object is one of the domain's.
    assert 0 < sample.shot.width * sample.shot.height <= 8192**2
    assert len(sample.domain.centres(sample.scene.objects, sample.shot)) == len(sample.record["labels"])
    assert sample.record == record


@pytest.mark.parametrize(
    "record",
    [
        b"[" * 100_000,
        b'{"domain": ' * 50_000,
        *(b'{"domain": ' + b"[" * depth + b"]" * depth + b"}" for depth in (250, 500, 700, 900)),  # depths that JSON decoders accept
        FILES[".json"].replace(b'"clevr"', b'"\\ud800"'),
        FILES[".json"].replace(b'"index": 0', b'"index": NaN'),
        FILES[".json"].replace(b'"index": 0', b'"index": 1e999'),
        b"\xff" + FILES[".json"],
        b"",
    ],
    ids=["deep", "deep objects", "250", "500", "700", "900", "surrogate", "nan", "infinity", "not UTF-8", "empty"],
)
def test_json_that_is_none_is_one_message(record: bytes) -> None:
    with pytest.raises(UserError, match="set: sample 000000000 is damaged"):
        read(record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update(attempt=1e308), "attempt"),
        (lambda record: record.update(domain=True), "domain"),
        (lambda record: record["shot"].update(width=10**9), "width"),
        (lambda record: record["shot"]["camera"].update(lens=35), "lens"),
        *(
            (lambda record, off=off: record["shot"]["camera"].update(location=[0, 0, off], target=[0, 0, 0]), "looks at where it stands")
            for off in (0, 2.7e-247, 1e-7)  # the square of the second is 0
        ),
        (lambda record: record["shot"]["lamps"][0].update(watts=35), "watts"),
        (lambda record: record["labels"][0].update(mask={"size": [10**9] * 2, "counts": [10**18]}), "mask"),
        (lambda record: record["labels"][0]["mask"].update(counts=[1] * (2**20 + 1)), "mask.counts is .* a list of length <= 1048576"),
        (lambda record: record.update(split="x" * 2**24), "a record of 16,7.* bytes; at most 16,777,216 are read"),
        (lambda record: record["labels"][0]["mask"]["counts"].append(1), "the mask of object 1 is not one of 32x24 pixels"),
        (lambda record: record["labels"][1].update(visible_pixels=3), "visible_pixels of object 2 is 3, but its mask's is"),
        (lambda record: record["labels"][1].update(bbox=[0, 0, 32, 25]), r"bbox of object 2 is \[0, 0, 32, 25\], but its mask's is \["),
    ],
)
def test_every_reader_of_a_set_refuses_it_alike(tmp_path: Path, change: Any, message: str) -> None:
    record = copy.deepcopy(dict(SAMPLE.record))
    record = json.loads(json.dumps(record))
    change(record)
    write_shard(tmp_path / "shard-000000.tar", [replace(SAMPLE, record=record)])
    for use in (lambda: inspect(tmp_path, tmp_path / "page"), lambda: export(tmp_path, "coco", tmp_path / "coco")):
        with pytest.raises(UserError, match=rf"(?s)000000000 is damaged.*{message}"):
            use()


@given(st.integers(1, 7), st.integers(1, 7), st.data())
def test_what_a_mask_shows_is_told_from_its_runs(width: int, height: int, data: st.DataObject) -> None:
    """A writer may split a run in two, with a run of no pixels between them."""
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))).reshape(height, width)
    counts = encode_rle(mask)["counts"]
    cut = data.draw(st.integers(0, len(counts) - 1))
    first = data.draw(st.integers(0, counts[cut]))
    counts[cut : cut + 1] = [first, 0, counts[cut] - first]
    rows, columns = np.nonzero(mask)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1] if mask.any() else [0, 0, 0, 0]
    assert pixels_and_box(runs_of(counts), height) == {"visible_pixels": mask.sum(), "bbox": box}


def test_a_record_is_kept_to_the_byte(tmp_path: Path) -> None:
    write_shard(tmp_path / "shard-000000.tar", [SAMPLE])
    assert Samples(tmp_path).at(0).files() == FILES


FIRST_READING = """
import sys, threading, time
from datagen.samples.record import read_sample_record
sys.setswitchinterval(1e-6)
def read(number):
    time.sleep(number / 10_000)
    read_sample_record(open(sys.argv[1], "rb").read(), "a")
threads = [threading.Thread(target=read, args=(number,)) for number in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_many_threads_may_be_the_first_to_read_a_record(tmp_path: Path) -> None:
    """msgspec crashes if one thread uses a type that another is having it analyse: here, every second time."""
    (tmp_path / "a.json").write_bytes(constant_sample(SETTINGS, 0).files()[".json"])
    for _ in range(6):
        done = subprocess.run([sys.executable, "-c", FIRST_READING, tmp_path / "a.json"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
