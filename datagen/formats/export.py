"""The one door to the exporters: a data set, shards or loose samples, in a format of others."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from datagen.errors import UserError
from datagen.files import check_folder
from datagen.formats.clevr_export import export_clevr
from datagen.formats.coco import export_coco
from datagen.formats.hf import export_hf
from datagen.locks import hold
from datagen.progress import progress
from datagen.sample import Sample
from datagen.shards import Samples
from datagen.store import Place
from datagen.written import LIST, Written

EXPORTERS: dict[str, Callable[[Iterator[Sample], Path], None]] = {"clevr": export_clevr, "coco": export_coco, "hf": export_hf}


def export(data: Place, format: str, out: Path) -> int:
    """Write the samples of a data set to `out` in one of `EXPORTERS`' formats, one at a time; how many there are.

    They are written beside `out` first. What an earlier export left there is replaced as a whole. `UserError` for another format, a damaged
    data set, or a folder with files in it that no export has written.
    """
    if format not in EXPORTERS:
        raise UserError(f"there is no format {format!r}; choose one of {', '.join(EXPORTERS)}")
    samples = Samples(data)
    if out.absolute() == samples.store.place:
        raise UserError(f"{out}: is the data set itself; choose another folder")
    check_folder(out, "the folder to write")
    out = out.absolute()
    with hold(out):
        written = Written(out)
        strangers = sorted(_files_in(out) - written.made_from.keys() - {LIST})
        if strangers:
            raise UserError(f"{out}: holds other files too, such as {strangers[0]}; choose another folder, or an empty one")
        draft = out.with_name(f".{out.name}.export")
        shutil.rmtree(draft, ignore_errors=True)  # of a call that was killed
        try:
            EXPORTERS[format](progress(samples, total=len(samples), desc="export"), draft)
            _install(draft, written)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return len(samples)


def _install(draft: Path, written: Written) -> None:
    """Put a finished export in the place of an earlier one, file by file."""
    names = _files_in(draft)
    written.remove([name for name in written.made_from if name not in names])
    written.begin(dict.fromkeys(names, ""))
    for name in names:
        place = written.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (draft / name).replace(place)
    written.finish(names)
    for folder in sorted((path for path in written.folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):  # there are files in it
            folder.rmdir()


def _files_in(folder: Path) -> set[str]:
    """The paths, within a folder, of all files in it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
