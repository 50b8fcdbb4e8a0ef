"""Generation: draw the samples that are missing, render them in the pool, and put them into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from datagen.domains.base import PaintedDomain
from datagen.errors import PartlyDone, UserError
from datagen.io.progress import progress
from datagen.samples.draw import check_request
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import FAILURES, Failure
from datagen.shards.reader import Samples
from datagen.shards.store import Place, check_place, open_store
from datagen.shards.writer import is_begun, open_dataset, read_statement, shard_count
from datagen.workers.faster import Choice, choose_faster
from datagen.workers.gpus import find_gpus, named_gpus
from datagen.workers.jobs import DrawJob
from datagen.workers.kernels import note
from datagen.workers.pool import CPU, RenderPool


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

    ``device`` is cpu, gpu, or auto: what a data set was begun on, or for a new one, where Blender finds GPUs, what renders its first
    samples faster. Samples that are there and whole are not rendered again. Raises `UserError` if `out` holds another data set or the
    request cannot be drawn, and `PartlyDone` if scenes could not be rendered: everything else is done, and another call tries them again.
    """
    settings.check_num(num)
    check_request(settings)
    choice = _choose(settings, num, out, workers, shards, device=device)
    with RenderPool(workers, gpus=choice.gpus) as pool:
        report(out, num, generate_missing(settings, num, out, pool, shards, made=choice.made))
    return Samples(out)


def _choose(settings: DatasetSettings, num: int, out: Place, workers: int | None, shards: Sequence[int] | None, *, device: str) -> Choice:
    """What to render on. Blender is not started for that for a domain that is painted (`UserError` if `device` is gpu then), nor where no
    driver of a GPU is loaded."""
    if isinstance(settings.resolved_domain, PaintedDomain):
        if device == "gpu":
            raise UserError(f"the {settings.domain} domain is painted without Blender, on the CPU: leave out --device gpu")
        return Choice(())
    if device == "gpu":
        return Choice(named_gpus())
    gpus = find_gpus() if device == "auto" else []
    if not gpus:
        return Choice(())
    choice, begun = None, _begun_on(out)
    if begun is None:
        size = settings.shard_size
        numbers = range(shard_count(num, size)) if shards is None else shards
        indices = [index for number in numbers for index in range(number * size, min((number + 1) * size, num))]
        choice = choose_faster(settings, indices, workers, gpus)
        begun = _begun_on(out)  # by another call meanwhile, perhaps, on which all shards depend
    if choice is None or begun not in {None, choice.device}:
        choice = Choice(() if begun == CPU else gpus)
        note(f"rendering on {begun}, as this data set was begun")
    return choice


def _begun_on(out: Place) -> str | None:
    """The kind of device that a data set was begun on; None if there is none yet. `UserError` if none can be there."""
    check_place(out)
    store = open_store(out)
    store.make()
    return str(read_statement(store).get("device")) if is_begun(store) else None


def generate_missing(
    settings: DatasetSettings,
    num: int,
    out: Place,
    pool: RenderPool,
    shards: Sequence[int] | None = None,
    *,
    made: Mapping[int, EncodedSample] = MappingProxyType({}),
) -> list[Failure]:
    """Generate the missing and damaged samples of a data set, or of some of its shards, of which some are `made` already, by index; return
    the scenes that could not be rendered."""
    with open_dataset(out, settings, num, shards, device=pool.device) as writer:
        missing = writer.missing()
        outcomes = chain(
            (made[index] for index in missing if index in made),
            generate_samples(settings, (index for index in missing if index not in made), pool),
        )
        for outcome in progress(outcomes, total=len(missing), desc="generate") if missing else ():
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
