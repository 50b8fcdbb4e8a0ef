"""Fuzzer inputs: data sets, with damage in their shards, manifests, statements or records."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import declared
import headers
import honest
from hypothesis import strategies as st
from kinds import Files, Kind, a_verb, verb

from datagen.samples.record import SampleRecord
from datagen.samples.sample import Sample
from datagen.samples.settings import SettingsRecord
from datagen.shards.manifest import Failure, ManifestRow
from datagen.shards.writer import DatasetStatement, ImportedStatement


def _sample_files() -> dict[str, bytes]:
    return {sample.key + suffix: data for sample in honest.dots() for suffix, data in sample.files().items()}


def _stated(tar: bytes) -> Files:
    """The files of a data set with a tar as its only shard, and the tar's true size and digest in the manifest."""
    row = json.loads(honest.data_set()["manifest.jsonl"].splitlines()[0])
    statement = json.loads(honest.data_set()["dataset.json"]) | {"num": 2, "shard_size": 2}
    labels = hashlib.sha256(
        b"".join(files[suffix] for files in map(Sample.files, honest.dots()) for suffix in (".py", ".json"))
    ).hexdigest()
    row |= {"samples": 2, "labels": labels, "bytes": len(tar), "sha256": hashlib.sha256(tar).hexdigest()}
    return {"dataset.json": json.dumps(statement).encode(), "manifest.jsonl": json.dumps(row).encode(), "shard-000000.tar": tar}


def tars() -> st.SearchStrategy[Files]:
    return headers.tars(_sample_files()).map(_stated)


def manifests() -> st.SearchStrategy[Files]:
    rows = [json.loads(line) for line in honest.data_set()["manifest.jsonl"].splitlines()]
    failure = asdict(Failure(1, 3, "000000001", "it crashed twice"))
    lines = st.one_of(declared.damaged_lines(rows, ManifestRow), declared.damaged_lines([failure, *rows], Failure))
    names = st.sampled_from(["manifest.jsonl", "manifest.jsonl", "failures.jsonl", "manifest.000000.jsonl", "manifest.999999999.jsonl"])
    return st.dictionaries(names, lines, min_size=1, max_size=2).map(lambda found: {**honest.data_set(), **found})


def statements() -> st.SearchStrategy[Files]:
    stated = json.loads(honest.data_set()["dataset.json"])
    imported = {**stated, "imported_from": "x", "seed": None}
    bases = [stated, imported]
    settings = declared.grafted([stated], SettingsRecord).map(lambda content: json.dumps(content).encode("utf-8", "surrogatepass"))
    of_imported = declared.grafted([imported], ImportedStatement).map(lambda content: json.dumps(content).encode("utf-8", "surrogatepass"))
    return st.one_of(declared.damaged(bases, DatasetStatement, most=2), declared.damaged(bases, most=2), settings, of_imported).map(
        lambda data: {**honest.data_set(), "dataset.json": data}
    )


def records() -> st.SearchStrategy[Files]:
    samples = [honest.dots()[0], honest.scene()]

    def with_record(sample: Any) -> st.SearchStrategy[Files]:
        files = sample.files()
        record = declared.damaged([honest.plain(sample)], SampleRecord, most=2)
        return record.map(lambda data: {"a" + suffix: data if suffix == ".json" else held for suffix, held in files.items()})

    extras = st.dictionaries(
        st.sampled_from(["a.depth.npy", "a.txt"]),
        st.one_of(
            headers.npy_files("'<f4'", (24, 32), bytes(24 * 32 * 4)),
            st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
        ),
        max_size=1,
    )
    return st.builds(lambda files, more: {**files, **more}, st.one_of(list(map(with_record, samples))), extras)


def _render_again(folder: Path, out: Path) -> int:
    """Render undamaged code with the camera and light of the damaged record."""
    (out / "p.jsonl").write_text(json.dumps({"key": "a", "code": honest.dots()[0].code}))
    if b'"clevr"' in (folder / "a.json").read_bytes():
        return verb("export", "--data", folder, "--format", "hf", "--out", out / "hf")  # rendering would start Blender
    return verb("render", "--code", out / "p.jsonl", "--data", folder, "--out", out / "rendered")


KINDS = {
    "tar": Kind(
        tars,
        a_verb("verify", "IN"),
        (
            (400, a_verb("export", "--data", "IN", "--format", "coco", "--out", "OUT/coco")),
            (50, a_verb("merge", "IN")),
            (1, a_verb("inspect", "IN", "--out", "OUT/page")),
        ),
    ),
    "manifest": Kind(manifests, a_verb("verify", "IN"), ((200, a_verb("merge", "IN")),), share=0.7),
    "statement": Kind(
        statements,
        a_verb("verify", "IN"),
        (
            (
                100,
                a_verb(
                    "generate",
                    "--domain",
                    "dot2d",
                    "--num",
                    "2",
                    "--seed",
                    "3",
                    "--width",
                    "32",
                    "--height",
                    "24",
                    "--quality",
                    "draft",
                    "--shard-size",
                    "1",
                    "--workers",
                    "1",
                    "--out",
                    "IN",
                ),
            ),
        ),
    ),
    "record": Kind(
        records,
        a_verb("export", "--data", "IN", "--format", "coco", "--out", "OUT/coco"),
        (
            (100, a_verb("export", "--data", "IN", "--format", "clevr", "--out", "OUT/clevr")),
            (100, a_verb("export", "--data", "IN", "--format", "hf", "--out", "OUT/hf")),
            (100, _render_again),
            (10, a_verb("compare", "--reference", "IN", "--candidate", "IN", "--out", "OUT/report")),
            (1, a_verb("inspect", "IN", "--out", "OUT/page")),
        ),
    ),
}
