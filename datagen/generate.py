"""Generation: draw the samples that are missing, render them in the pool, and put them into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from datagen.dataset import open_dataset
from datagen.errors import UserError
from datagen.pool import DrawJob, Failed, RenderPool
from datagen.progress import progress
from datagen.sample import Sample
from datagen.sampling import check_request
from datagen.settings import DatasetSettings
from datagen.shards import Samples


def generate(settings: DatasetSettings, num: int, out: Path, workers: int | None = None) -> Samples:
    """Bring the data set in `out` to `num` samples and return it; what is there is not rendered again.

    Raises `UserError` if the folder holds another data set, or a scene cannot be placed or rendered.
    """
    if num < 1:
        raise UserError(f"{num} samples: at least 1 is needed")
    check_request(settings)
    with open_dataset(out, settings, num) as folder:
        finished = folder.finished()
        missing = [index for index in range(num) if index not in finished]
        with RenderPool(workers) as pool:
            for sample in progress(render_samples(settings, missing, pool), total=len(missing), desc="generate"):
                folder.put(sample)
                folder.complete(int(sample.key) // settings.shard_size, num)
        for shard in range((num - 1) // settings.shard_size + 1):  # what an earlier run had spooled but not yet written
            folder.complete(shard, num)
        folder.close()
    return Samples(out)


def render_samples(settings: DatasetSettings, indices: Iterable[int], pool: RenderPool) -> Iterator[Sample]:
    """The samples of these indices, in order of completion."""
    for job, sample in pool.render(DrawJob(settings, index) for index in indices):
        if isinstance(sample, Failed):
            raise UserError(f"{job.key}: {sample.reason}")
        yield sample
