"""The export of a data set, shards or loose samples, to another format: the common part of all exporters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from datagen.errors import UserError
from datagen.formats.clevr_export import export_clevr
from datagen.formats.coco import export_coco
from datagen.formats.hf import export_hf
from datagen.formats.llava import export_llava
from datagen.formats.writing import Draft
from datagen.io.files import check_folder, removed
from datagen.io.locks import OWN_LOCK, hold
from datagen.io.progress import progress
from datagen.io.written import DRAFT, Written
from datagen.samples.sample import Sample
from datagen.shards.checks import check_agreement
from datagen.shards.reader import Samples
from datagen.shards.store import Place

EXPORTERS: dict[str, Callable[[Iterator[Sample], Draft], None]] = {
    "clevr": export_clevr,
    "coco": export_coco,
    "hf": export_hf,
    "llava": export_llava,
}


def export(data: Place, format: str, out: Path) -> int:
    """Write the samples of a data set to `out` in one of `EXPORTERS`' formats, one at a time, and return their number.

    Files are written into a hidden folder in `out` first, and then replace those of an earlier export as a whole. `UserError` for an
    unknown format, a damaged data set, or if `out` is the data set or has files that no export has written.
    """
    if format not in EXPORTERS:
        raise UserError(f"there is no format {format!r}; choose one of {', '.join(EXPORTERS)}")
    samples = Samples(data)
    if out.absolute() == samples.store.place:
        raise UserError(f"{out}: is the data set itself; choose another folder")
    check_folder(out, "the folder to write")
    _refuse_strangers(out)
    with hold(out.absolute()):
        written = Written(out, "export")
        with written.drafting() as (folder, check):
            draft = Draft(folder)
            EXPORTERS[format](_checked(progress(samples, total=len(samples), desc="export"), str(data), check), draft)
            check()
            written.install(draft.folder, draft.names)
            if not {*draft.names, written.list.name} <= {*_files_in(out)}:
                raise removed(out)
    return len(samples)


def _checked(samples: Iterable[Sample], where: str, check: Callable[[], None]) -> Iterator[Sample]:
    """Yield each sample after a check that the draft still exists and that the sample's code and image agree with its record."""
    for sample in samples:
        check()
        check_agreement(sample, where)
        yield sample


def _refuse_strangers(out: Path) -> None:
    """Raise `UserError` if a folder has a file that no export has written, or that was changed since."""
    written = Written(out, "export")
    written.refuse_strangers(written.made_from)
    ours = written.made_from.keys() | {written.list.name}
    stranger = next((name for name in _files_in(out) if name not in ours), None)
    if stranger is not None:
        raise UserError(f"{out}: holds other files too, such as {stranger}; choose another folder, or an empty one")


def _files_in(folder: Path) -> Iterator[str]:
    """The paths, relative to a folder, of all files and links in it, except the draft and the lock of a running export."""
    within = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return (path.as_posix() for path in within if path.parts[0] not in (DRAFT, OWN_LOCK))
