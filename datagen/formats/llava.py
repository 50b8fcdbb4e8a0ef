"""Conversations about images, as LLaVA and the trainers that came after it read them: ``conversations.json`` beside ``images/``.

An entry has an ``id``, the path of its ``image`` within ``images/``, and ``conversations``: what a ``human`` asks, with ``<image>`` where
the image is shown, and what ``gpt`` answers (Liu et al. 2023). The first answer is the graphics code; the second, where a sample has a
caption, is that.
``camera`` and ``depth``, the path of a NumPy file, are further fields, which such trainers pass over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from datagen.formats.writing import Draft, camera_of, caption_of, write_depth
from datagen.io.files import atomic_file, write_bytes
from datagen.samples.sample import Sample

CONVERSATIONS = "conversations.json"
IMAGE = "<image>"
ASK_FOR_CODE = "Write the graphics code of this image."
ASK_FOR_WORDS = "Describe the image briefly."


def export_llava(samples: Iterator[Sample], draft: Draft) -> None:
    """Write the samples to a draft, images under their keys."""
    with atomic_file(draft.file(CONVERSATIONS)) as document:
        _write(document, (_entry(sample, draft) for sample in samples))


def _entry(sample: Sample, draft: Draft) -> dict[str, Any]:
    name = sample.key + sample.suffix
    write_bytes(draft.file(f"images/{name}"), sample.image)
    turns = [(f"{IMAGE}\n{ASK_FOR_CODE}", sample.code)]
    if (caption := caption_of(sample)) is not None:
        turns.append((ASK_FOR_WORDS, caption))
    said = [{"from": who, "value": text} for asked, answer in turns for who, text in (("human", asked), ("gpt", answer))]
    depth = write_depth(sample, draft, f"depth/{sample.key}.npy")
    more = {"camera": camera_of(sample), "depth": depth}
    return {"id": sample.key, "image": name, "conversations": said, **{k: v for k, v in more.items() if v is not None}}


def _write(document: IO[bytes], entries: Iterator[dict[str, Any]]) -> None:
    """Write a JSON list, one entry at a time."""
    document.write(b"[")
    for number, entry in enumerate(entries):
        document.write((b",\n" if number else b"\n") + json.dumps(entry, allow_nan=False).encode())
    document.write(b"\n]\n")
