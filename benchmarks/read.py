"""The time and memory to open a large data set, and the time to read samples at random and to find their order in training.

    python benchmarks/read.py --out /tmp/read

Writes `--samples` samples of a few bytes into shards of 1,000 in `--out` (3 kB each, unless they are there), then prints seconds and
growth of resident memory for the first opening, which makes the index, and the second, which maps it; and microseconds for reading a
sample's files and for computing which sample is at a position of an epoch.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from datagen.io.files import write_bytes
from datagen.shards.reader import Samples
from model.data.order import Shuffle

PER_SHARD, READS = 1000, 3000


def write(folder: Path, samples: int) -> None:
    for first in range(0, samples, PER_SHARD):
        path = folder / f"shard-{first // PER_SHARD:06d}.tar"
        if path.exists():
            continue
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for index in range(first, min(first + PER_SHARD, samples)):
                for suffix in (".png", ".py", ".json"):
                    member = tarfile.TarInfo(f"{index:09d}{suffix}")
                    member.size = 64
                    tar.addfile(member, io.BytesIO(bytes(64)))
        write_bytes(path, stream.getvalue())


def resident() -> float:
    """This process's resident megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def opened(folder: Path, which: str) -> Samples:
    before, begin = resident(), time.perf_counter()
    archive = Samples.for_training(folder)
    count = len(archive)
    print(f"{which} opening of {count:,} samples: {time.perf_counter() - begin:.2f} s, {resident() - before:+.1f} MB")
    return archive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=200_000)
    options = parser.parse_args()
    write(options.out, options.samples)
    with TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        opened(options.out, "first")
        archive = opened(options.out, "second")
    numbers = np.random.default_rng(0).integers(len(archive), size=READS).tolist()
    begin = time.perf_counter()
    for number in numbers:
        archive.files(number)
    print(f"a sample's files: {(time.perf_counter() - begin) / READS * 1e6:.0f} µs")
    epoch, begin = Shuffle(len(archive), 0), time.perf_counter()
    for position in range(READS):
        epoch(position)
    print(f"a position of an epoch: {(time.perf_counter() - begin) / READS * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
