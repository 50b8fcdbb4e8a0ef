"""The one door to the exporters: a data set, shards or loose samples, in a format of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from datagen.errors import UserError
from datagen.formats.clevr_export import export_clevr
from datagen.formats.coco import export_coco
from datagen.formats.hf import export_hf
from datagen.progress import progress
from datagen.sample import Sample
from datagen.shards import Samples
from datagen.store import Place

EXPORTERS: dict[str, Callable[[Iterator[Sample], Path], None]] = {"clevr": export_clevr, "coco": export_coco, "hf": export_hf}


def export(data: Place, format: str, out: Path) -> int:
    """Write the samples of a data set to `out` in one of `EXPORTERS`' formats, one at a time; how many there are.

    `UserError` for another format, a damaged data set, or a folder with other files in it.
    """
    if format not in EXPORTERS:
        raise UserError(f"there is no format {format!r}; choose one of {', '.join(EXPORTERS)}")
    samples = Samples(data)
    if out.absolute() == samples.store.place:
        raise UserError(f"{out}: is the data set itself; choose another folder")
    EXPORTERS[format](progress(samples, total=len(samples), desc="export"), out)
    return len(samples)
