"""Generation: draw the samples that are missing, render them in the pool, and put them into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from datagen.domains.base import PaintedDomain
from datagen.errors import PartlyDone, UserError
from datagen.io.progress import progress
from datagen.samples.draw import check_request
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import FAILURES, Failure
from datagen.shards.reader import Samples
from datagen.shards.store import Place
from datagen.shards.writer import open_dataset
from datagen.workers.gpus import Gpu, choose_gpus
from datagen.workers.jobs import DrawJob
from datagen.workers.pool import RenderPool


def generate(
    settings: DatasetSettings,
    num: int,
    out: Place,
    workers: int | None = None,
    shards: Sequence[int] | None = None,
    *,
    device: str = "auto",
) -> Samples:
    """Complete the data set in `out`, a folder or a URL, to `num` samples, or only the given `shards` of it, and return it.

    ``device`` is cpu, gpu, or auto: GPUs if Blender finds some. Samples that are there and whole are not rendered again. Raises `UserError`
    if `out` holds another data set or the request cannot be drawn, and `PartlyDone` if scenes could not be rendered: everything else is
    done, and another call tries them again.
    """
    check_request(settings)
    with RenderPool(workers, gpus=_gpus(settings, device)) as pool:
        report(out, num, generate_missing(settings, num, out, pool, shards))
    return Samples(out)


def _gpus(settings: DatasetSettings, device: str) -> list[Gpu]:
    """The GPUs to render on; none, without starting Blender, for a domain that is painted: `UserError` if `device` is gpu then."""
    if not isinstance(settings.resolved_domain, PaintedDomain):
        return choose_gpus(device)
    if device == "gpu":
        raise UserError(f"the {settings.domain} domain is painted without Blender, on the CPU: leave out --device gpu")
    return []


def generate_missing(
    settings: DatasetSettings, num: int, out: Place, pool: RenderPool, shards: Sequence[int] | None = None
) -> list[Failure]:
    """Generate the missing and damaged samples of a data set, or of some of its shards; return the scenes that could not be rendered."""
    with open_dataset(out, settings, num, shards, device=pool.device) as writer:
        missing = writer.missing()
        for outcome in progress(generate_samples(settings, missing, pool), total=len(missing), desc="generate") if missing else ():
            writer.put(outcome)
        return writer.close()


def report(out: Place, num: int, failures: Sequence[Failure]) -> None:
    """Raise `PartlyDone` if there are failures."""
    if failures:
        first = failures[0]
        raise PartlyDone(
            f"{out}: {len(failures)} of {num} scenes could not be rendered ({FAILURES} and the manifest tell which); everything else is "
            f"done, and another call tries them again. The first, {first.key} of seed {first.seed}: {first.reason}"
        )


def generate_samples(settings: DatasetSettings, indices: Iterable[int], pool: RenderPool) -> Iterator[EncodedSample | Failure]:
    """The sample, or the failure, of each of these indices, in order of completion."""
    for job, outcome in pool.render(DrawJob(settings, index) for index in indices):
        yield Failure(job.index, settings.seed, job.key, str(outcome)) if isinstance(outcome, UserError) else outcome
