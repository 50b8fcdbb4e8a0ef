"""Export to a folder that Hugging Face ``datasets`` loads (``imagefolder``): images and a ``metadata.jsonl`` with a line an image.

The columns are ``image`` (from ``file_name``), ``key``, ``code`` and ``objects``, a list of structures: the statement's name, its
arguments, and the labels ``pixel_coords``, ``bbox`` and ``visible_pixels``; ``caption``; ``depth``, the path of a NumPy file from the
export's folder; and ``camera``. A column is null where a sample has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datagen.formats.writing import Draft, camera_of, caption_of, write_depth
from datagen.io.files import write_bytes, write_jsonl
from datagen.samples.sample import Sample

FOLDER = "train"  # the split that `datasets` expects of a data set with only one
METADATA = "metadata.jsonl"
LABELS = ("pixel_coords", "bbox", "visible_pixels")


def export_hf(samples: Iterator[Sample], draft: Draft) -> None:
    """Write the samples to the draft's ``train``, images under their keys."""

    def rows() -> Iterator[dict[str, Any]]:
        for sample in samples:
            name = sample.key + sample.suffix
            write_bytes(draft.file(f"{FOLDER}/{name}"), sample.image)
            more = {
                "caption": caption_of(sample),
                "depth": write_depth(sample, draft, f"depth/{sample.key}.npy"),
                "camera": camera_of(sample),
            }
            yield {"file_name": name, "key": sample.key, "code": sample.code, "objects": _objects(sample), **more}

    write_jsonl(draft.file(f"{FOLDER}/{METADATA}"), rows())


def _objects(sample: Sample) -> list[dict[str, Any]]:
    entries = sample.record["scene"]["objects"]
    pairs = zip(entries, sample.record["labels"], strict=True)
    return [{**entry, **{name: label[name] for name in LABELS}} for entry, label in pairs]
