"""Which renders faster here, the processor's cores or the GPUs: measured on the first samples of a data set, which the faster one keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from datagen.errors import UserError
from datagen.io.progress import progress
from datagen.io.ranges import counted
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.workers.gpus import Gpu
from datagen.workers.jobs import DrawJob
from datagen.workers.kernels import Kernels, note
from datagen.workers.pool import CPU, RenderPool

TRIAL_SECONDS = 60.0  # at most, for each of the two
ROUNDS = 4  # samples for each worker in a trial; the first and the last round are not timed
FEWEST = 24  # samples in a trial
WORTH_SECONDS = 30.0  # of rendering on the cores, above which GPUs are tried
WORTH_COMPILING_SECONDS = 300.0  # the same where kernels must be compiled first, which takes about as long


@dataclass(frozen=True)
class Choice:
    """The GPUs to render on, or none for the cores; and by index what the trial has rendered on them."""

    gpus: Sequence[Gpu]
    made: Mapping[int, EncodedSample] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The kind of device, as a data set states it."""
        return self.gpus[0].kind if self.gpus else CPU


@dataclass(frozen=True)
class _Trial:
    """What was rendered, by index, and at how many samples a second."""

    made: Mapping[int, EncodedSample]
    rate: float


def choose_faster(
    settings: DatasetSettings, indices: Sequence[int], workers: int | None, gpus: Sequence[Gpu], tell: Callable[[str], None] = note
) -> Choice:
    """The faster way to render the samples of these indices, of which the first are rendered in both ways; `tell` is given a line that says
    so. Few samples are rendered on the cores without a look at the GPUs."""
    with RenderPool(workers) as pool:
        on_cores = f"{counted(pool.size, 'worker')} on the CPU"
        cores = _try(pool, settings, indices, on_cores)
    left = len(indices) - len(cores.made)
    seconds = left / cores.rate if cores.rate else float("inf")
    with Kernels(tell) as kernels:
        there = all(kernels.known(gpu) is not None for gpu in gpus)
    names = ", ".join(sorted({str(gpu) for gpu in gpus}))
    if not left:
        tell(f"rendered with {on_cores}: too few samples to try {names}")
        return Choice((), cores.made)
    if seconds <= (WORTH_SECONDS if there else WORTH_COMPILING_SECONDS):
        tell(f"rendering with {on_cores}: what is left takes about {seconds:.0f} s, too little to try {names}")
        return Choice((), cores.made)
    try:
        with RenderPool(workers, gpus=gpus) as pool:
            on_cards = f"{counted(pool.size, 'worker')} on {names}"
            pool.prepare()
            cards = _try(pool, settings, indices, on_cards)
    except UserError as error:
        tell(f"rendering with {on_cores}, because {names} cannot be used: {error.args[0]}")
        return Choice((), cores.made)
    if cards.rate < cores.rate:
        tell(f"rendering with {on_cores}: {cores.rate:.3g} samples/s in a trial; {on_cards}: {cards.rate:.3g}")
        return Choice((), cores.made)
    tell(f"rendering with {on_cards}: {cards.rate:.3g} samples/s in a trial; {on_cores}: {cores.rate:.3g}")
    return Choice(gpus, cards.made)


def _try(pool: RenderPool, settings: DatasetSettings, indices: Sequence[int], named: str) -> _Trial:
    """Render the first samples. While workers start and run out of work, nothing is timed; if there is too little else, all is."""
    begin = time.monotonic()
    jobs = [DrawJob(settings, index) for index in indices[: max(FEWEST, ROUNDS * pool.size)]]
    made: dict[int, EncodedSample] = {}
    ends: list[float] = []
    for job, outcome in progress(pool.render(jobs, seconds=TRIAL_SECONDS), len(jobs), f"trying {named}"):
        if isinstance(outcome, EncodedSample):
            made[job.index] = outcome
            ends.append(time.monotonic())
    timed = ends[pool.size - 1 : len(ends) - pool.size]
    if len(timed) > 1:
        return _Trial(made, (len(timed) - 1) / (timed[-1] - timed[0]))
    return _Trial(made, len(ends) / (time.monotonic() - begin))
