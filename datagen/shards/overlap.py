"""Which data a run is trained on, as a digest, and whether its validation set is apart from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datagen.errors import UserError
from datagen.io.cache import cache_folder
from datagen.io.files import read_regular, write_bytes
from datagen.io.progress import progress
from datagen.io.ranges import counted
from datagen.samples.settings import DatasetSettings
from datagen.shards.index import drop
from datagen.shards.manifest import read_manifest
from datagen.shards.reader import Samples
from datagen.shards.writer import IMPORTED, read_statement, stated_settings

CODE = ".py"
MANY_SAMPLES = 1000  # reading more of them shows progress


def data_digest(samples: Samples) -> str:
    """A SHA-256 that names a data set's content, images included, wherever it lies.

    It is made of the manifest's digests of the shards where that states them all; else of every file of every sample, which is read once
    and remembered for as long as the files' sizes and times stay. Behind a URL, what the store says of its files' versions stands in for
    their content.
    """
    stated = _stated(samples)
    if stated is not None:
        return hashlib.sha256("\n".join(sorted(stated)).encode()).hexdigest()
    stamps = samples.store.stamps()
    versions = [(name, stamps.get(name, "")) for name in samples.shards or sorted(stamps)]
    digest = hashlib.sha256(json.dumps([str(samples.store.place), versions]).encode()).hexdigest()
    if not samples.store.near and all(" " in version for _, version in versions):  # which says more than a size
        return digest
    return _remembered(cache_folder("digests") / digest, samples)


def _remembered(path: Path, samples: Samples) -> str:
    """A data set's digest out of a file, or made anew and kept there."""
    with contextlib.suppress(OSError):
        kept = read_regular(path)
        if re.fullmatch(rb"[0-9a-f]{64} [0-9a-f]{8}", kept) and kept == _checked(kept[:64]):
            return kept[:64].decode()
    digest = hashlib.sha256()
    numbers = range(len(samples))
    many = len(numbers) > MANY_SAMPLES
    for number in progress(numbers, len(numbers), f"reading {samples.name} once, to know it again") if many else numbers:
        digest.update(hashlib.sha256(samples.key(number).encode(errors="replace")).digest())
        for suffix, data in sorted(samples.files(number).items()):
            digest.update(hashlib.sha256(suffix.encode(errors="replace")).digest() + hashlib.sha256(data).digest())
    drop(path)
    with contextlib.suppress(OSError):
        write_bytes(path, _checked(digest.hexdigest().encode()))
    return digest.hexdigest()


def _checked(digest: bytes) -> bytes:
    """A digest as it is kept: with a checksum, so that a damaged one is not taken for that of other data."""
    return b"%b %08x" % (digest, zlib.crc32(digest))


def refuse_overlap(train: Samples, val: Samples) -> None:
    """`UserError` if a validation scene is in the training data too, judged by its code.

    Nothing is read where the data sets' own statements prove them apart: neighbouring seeds share no scene. Else 8 bytes a training
    sample are held.
    """
    if _apart(train, val):
        return
    known = np.unique(np.fromiter((_short(code) for _, code in _shown(train)), np.uint64))
    shared, first = 0, ""
    for key, code in _shown(val):
        at = int(np.searchsorted(known, np.uint64(_short(code))))
        if at < len(known) and int(known[at]) == _short(code):
            shared, first = shared + 1, first or key
    if shared:
        raise UserError(
            f"{val.name}: {counted(shared, 'scene')} {'is' if shared == 1 else 'are'} in the training data {train.name} too, {first} the "
            "first; generate the validation set with another seed"
        )


def _apart(one: Samples, other: Samples) -> bool:
    """Whether statements alone prove that two data sets share no scene."""
    first, second = _settings(one), _settings(other)
    return first is not None and second is not None and first.domain == second.domain and first.seed != second.seed


def _settings(samples: Samples) -> DatasetSettings | None:
    """What a data set's samples were drawn with; None unless it states that of everything in it."""
    if _stated(samples) is None:
        return None
    try:
        statement = read_statement(samples.store)
        return None if IMPORTED in statement else stated_settings(samples.store, statement)
    except UserError:  # there is none, or none that can be trusted
        return None


def _stated(samples: Samples) -> list[str] | None:
    """The SHA-256 of each of its tars as the manifest states them; None unless it states them all."""
    sizes = samples.store.sizes()
    rows = {row.name: row for row in read_manifest(samples.store, sizes).rows.values()}
    if not samples.shards or any(shard not in rows or rows[shard].bytes != sizes.get(shard) for shard in samples.shards):
        return None
    return [rows[shard].sha256 for shard in samples.shards]


def _codes(samples: Samples) -> Iterator[tuple[str, bytes]]:
    return ((key, code) for key, suffix, _, code in samples.members(CODE) if suffix == CODE)


def _shown(samples: Samples) -> Iterator[tuple[str, bytes]]:
    """All codes, with progress."""
    return progress(_codes(samples), len(samples), "checking that no validation scene is in the training data")


def _short(code: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(code, digest_size=8).digest(), "little")
