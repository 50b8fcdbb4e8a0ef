"""Export to CLEVR's published layout: ``images/SPLIT/CLEVR_SPLIT_000000.png`` and ``scenes/CLEVR_SPLIT_scenes.json``.

Captions are a field of their scenes; depth maps lie in ``depth/SPLIT`` as ``CLEVR_SPLIT_000000.npy``, named by ``depth_filename``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from datagen.errors import UserError
from datagen.formats.clevr_scenes import published_scene, split_of
from datagen.formats.writing import Draft, JsonDocument, caption_of, json_document, png_bytes, write_depth
from datagen.io.files import write_bytes
from datagen.samples.sample import Sample


def export_clevr(samples: Iterator[Sample], draft: Draft) -> None:
    """Write the samples to a draft, numbered from 0 in each split. `UserError` for a sample of another domain than clevr."""
    documents: dict[str, JsonDocument] = {}
    counts: dict[str, int] = {}
    with ExitStack() as open_files:
        for sample in samples:
            if sample.domain.name != "clevr":
                raise UserError(f"sample {sample.key} is of the domain {sample.domain.name}; CLEVR's format holds clevr only")
            split = split_of(sample)
            if split not in documents:
                info = {"date": f"{date.today():%m/%d/%Y}", "version": "1.0", "split": split, "license": ""}
                document = json_document(draft.file(f"scenes/CLEVR_{split}_scenes.json"), {"info": info}, ("scenes",))
                documents[split] = open_files.enter_context(document)
            index = counts.get(split, 0)
            filename = f"CLEVR_{split}_{index:06d}.png"
            write_bytes(draft.file(f"images/{split}/{filename}"), png_bytes(sample))
            depth = write_depth(sample, draft, f"depth/{split}/{Path(filename).stem}.npy")
            more = {"caption": caption_of(sample), "depth_filename": None if depth is None else Path(depth).name}
            kept = {name: value for name, value in more.items() if value is not None}
            documents[split].add("scenes", {**published_scene(sample, index, filename), **kept})
            counts[split] = index + 1
