"""Generation on a Ray cluster: one task for each shard, which does the same as ``igllm generate --shards K --workers 1``.

Ray restarts a task that loses its process or its node; the task goes on from the shard's spool where that is reachable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from datagen.errors import UserError
from datagen.generate import generate_missing, report
from datagen.io.locks import InUse, lock_shards
from datagen.io.progress import progress
from datagen.samples.draw import check_request
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import STATEMENT, Failure, gather
from datagen.shards.reader import Samples
from datagen.shards.store import Place, check_place, open_store
from datagen.shards.writer import enter, shard_count, state
from datagen.workers.pool import RenderPool
from datagen.workers.ray_cluster import RETRIES, OnRay, ray_cluster

SECONDS_TO_DIE = 120.0  # how long a task waits for a shard whose lock a lost task may still hold


def generate_on_ray(
    settings: DatasetSettings,
    num: int,
    out: Place,
    *,
    address: str | None = None,
    workers: int | None = None,
    shards: Sequence[int] | None = None,
) -> Samples:
    """Do the same as `datagen.generate.generate` on the Ray cluster at `address`, or on a local one that ends with the call.

    `workers` is how many shards are rendered at once (default: as many as the cluster has CPUs). On several machines `out` is a URL,
    or a folder that all of them share. Renders on CPUs.
    """
    settings.check_num(num)
    check_request(settings)
    check_place(out)
    store, statement = open_store(out), state(settings, num, "CPU")
    chosen = list(range(shard_count(num, settings.shard_size))) if shards is None else list(shards)
    with ray_cluster(OnRay(address, workers)) as ray:
        store.make()
        enter(store, statement)
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_render_shard)
        outcomes = _outcomes(ray, partial(task.remote, settings, num, store.place), chosen, workers or len(chosen))
        failures = [failure for found in progress(outcomes, len(chosen), "rendering shards") for failure in found]
    if shards is None:
        with lock_shards(store.lock, store.name, None):
            gather(store)
    report(out, num, sorted(failures, key=lambda failure: failure.index))
    return Samples(out)


def _outcomes(ray: Any, render: Callable[[int], Any], shards: list[int], at_once: int) -> Iterator[list[Failure]]:
    """The failures of each shard, in order of completion. An error in one shard is raised, and the tasks that are running are cancelled."""
    running: dict[Any, int] = {}
    waiting = iter(shards)
    try:
        while True:
            for shard in waiting:
                running[render(shard)] = shard
                if len(running) >= at_once:
                    break
            if not running:
                return
            [done], _ = ray.wait(list(running), num_returns=1)
            yield _outcome(ray, done, running.pop(done))
    finally:
        for left in running:
            ray.cancel(left)


def _outcome(ray: Any, done: Any, shard: int) -> list[Failure]:
    try:
        failures, error = ray.get(done)
    except ray.exceptions.RayError as lost:
        raise UserError(f"shard {shard}: its task was lost {RETRIES + 1} times ({lost}); call it again to go on") from None
    if error is not None:
        raise UserError(error)
    return failures


def _render_shard(settings: DatasetSettings, num: int, out: Place, shard: int) -> tuple[list[Failure], str | None]:
    """In a Ray worker, render one shard: return the scenes that failed, and None or the `UserError` as text, which any process can read."""
    try:
        if open_store(out).text(STATEMENT) is None:
            raise UserError(f"{out}: not seen from {os.uname().nodename}; on several machines the data set is a URL or a folder they share")
        return _render_once_unlocked(settings, num, out, shard), None
    except UserError as error:
        return [], str(error)


def _render_once_unlocked(settings: DatasetSettings, num: int, out: Place, shard: int) -> list[Failure]:
    deadline = time.monotonic() + SECONDS_TO_DIE
    while True:
        try:
            with RenderPool(1) as pool:
                return generate_missing(settings, num, out, pool, [shard])
        except InUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
