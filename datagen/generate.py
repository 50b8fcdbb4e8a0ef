"""Generation: draw the samples that are missing, render them in the pool, and put them into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from datagen.dataset import open_dataset
from datagen.domains import get_domain
from datagen.errors import PartlyDone
from datagen.manifest import FAILURES, Failure
from datagen.pool import RenderJob, RenderPool
from datagen.progress import progress
from datagen.sample import Sample, make_sample
from datagen.sampling import Drawn, draw
from datagen.settings import DatasetSettings, sample_key
from datagen.shards import Samples
from datagen.store import Place


def generate(settings: DatasetSettings, num: int, out: Place, workers: int | None = None, shards: Sequence[int] | None = None) -> Samples:
    """Bring the data set in `out`, a folder or a URL, to `num` samples and return it, or only these of its shards.

    What is there and whole is not rendered again. Raises `UserError` if `out` holds another data set, and `PartlyDone` if scenes could
    not be rendered: everything else was done, and another call tries them again.
    """
    report(out, num, render_missing(settings, num, out, workers, shards))
    return Samples(out)


def render_missing(
    settings: DatasetSettings, num: int, out: Place, workers: int | None = None, shards: Sequence[int] | None = None
) -> list[Failure]:
    """Render what is missing or damaged of a data set, or of some of its shards; the scenes that could not be rendered."""
    with open_dataset(out, settings, num, shards) as writer:
        missing = writer.missing()
        if missing:
            with RenderPool(workers) as pool:
                for outcome in progress(render_samples(settings, missing, pool), total=len(missing), desc="generate"):
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


def render_samples(settings: DatasetSettings, indices: Iterable[int], pool: RenderPool) -> Iterator[Sample]:
    """The samples of these indices, in order of completion."""
    domain = get_domain(settings.domain)
    template = domain.canonical_shot(settings.width, settings.height, settings.quality)
    drawn: dict[str, tuple[int, Drawn]] = {}

    def jobs() -> Iterator[RenderJob]:
        for index in indices:
            key = sample_key(index)
            drawn[key] = (index, draw(domain, settings.limits, template, settings.seed, index))
            yield RenderJob(key, drawn[key][1].scene, drawn[key][1].shot)

    for job, pixels in pool.render(jobs()):
        index, origin = drawn.pop(job.key)
        yield make_sample(
            job.key,
            job.scene,
            job.shot,
            pixels,
            origin.view,
            index=index,
            seed=settings.seed,
            attempt=origin.attempt,
            split=settings.split,
        )
