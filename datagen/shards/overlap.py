"""Which data a run is trained on, as a digest, and whether its validation set is apart from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from datagen.errors import UserError
from datagen.io.cache import cache_folder, drop
from datagen.io.files import read_regular, write_bytes
from datagen.io.progress import progress
from datagen.io.ranges import counted
from datagen.samples.record import MAX_BYTES, read_sample_record
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import read_manifest
from datagen.shards.reader import Samples
from datagen.shards.store import Place
from datagen.shards.tars import tar_members
from datagen.shards.writer import IMPORTED, read_statement, stated_settings

CODE, RECORD = ".py", ".json"
MANY_SAMPLES = 1000  # reading more of them shows progress
LONGEST_KEPT = 100  # bytes of a digest that is kept
T = TypeVar("T")


def data_digest(samples: Samples) -> str:
    """A SHA-256 that names a data set's content, images included, in its order, wherever it lies.

    What a manifest states is not believed: anybody may have written it, and tars may have changed since. All is read once: the tars' bytes
    where the manifest knows them all, else every file of every sample. It is remembered for as long as the files' sizes, times and inodes
    stay. Among these is the time of the last change, which no program can set: what `cp -p` or `rsync -t` put in a file's place is read
    anew. Behind a URL, what the store says of its files' versions stands in for their content, where it says anything.
    """
    store, stamps = samples.store, samples.store.stamps()
    versions = [(name, stamps.get(name, "")) for name in samples.shards or sorted(stamps)]
    if not store.near and store.dated:
        return _sha256_of(store.place, versions)
    if _stated(samples) is not None:
        return hashlib.sha256("\n".join(_tar_digests(samples, dict(versions))).encode()).hexdigest()
    path = cache_folder("digests") / _sha256_of(store.place, versions)
    return _kept(path) or _keep(path, _sample_digest(samples))


def _sha256_of(place: Place, versions: list[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps([str(place), versions]).encode()).hexdigest()


def _tar_digests(samples: Samples, stamps: Mapping[str, str]) -> list[str]:
    """The SHA-256 of each tar as it is now."""
    store, folder = samples.store, cache_folder("digests")
    places = {name: folder / _sha256_of(store.place, [(name, stamps[name])]) for name in samples.shards}
    known = {name: digest for name, path in places.items() if (digest := _kept(path)) is not None}
    unread = [name for name in places if name not in known]
    for name in _with_progress(samples, unread):
        known[name] = _keep(places[name], store.sha256(name))
    return [known[name] for name in places]


def _sample_digest(samples: Samples) -> str:
    """The SHA-256 of every file of every sample, however they are stored."""
    digest = hashlib.sha256()
    for number in _with_progress(samples, range(len(samples))):
        digest.update(hashlib.sha256(samples.key(number).encode(errors="replace")).digest())
        for suffix, data in sorted(samples.files(number).items()):
            digest.update(hashlib.sha256(suffix.encode(errors="replace")).digest() + hashlib.sha256(data).digest())
    return digest.hexdigest()


def _with_progress(samples: Samples, parts: Sequence[T]) -> Iterable[T]:
    """These parts of a data set, with progress where there is much to read."""
    many = bool(parts) and len(samples) > MANY_SAMPLES
    return progress(parts, len(parts), f"reading {samples.name} once, to know it again") if many else parts


def _kept(path: Path) -> str | None:
    """A digest out of its file; None if there is none, or none that can be trusted."""
    with contextlib.suppress(OSError):
        kept = read_regular(path, LONGEST_KEPT)
        if re.fullmatch(rb"[0-9a-f]{64} [0-9a-f]{8}", kept) and kept == _checked(kept[:64]):
            return kept[:64].decode()
    return None


def _keep(path: Path, digest: str) -> str:
    with contextlib.suppress(OSError, UserError):  # nothing can be kept there
        drop(path)
        write_bytes(path, _checked(digest.encode()))
    return digest


def _checked(digest: bytes) -> bytes:
    """A digest as it is kept: with a checksum, so that a damaged one is not taken for that of other data."""
    return b"%b %08x" % (digest, zlib.crc32(digest))


def refuse_overlap(train: Samples, val: Samples) -> None:
    """`UserError` if a validation scene is in the training data too, judged by its code.

    Codes are not read where the data sets' own statements show them apart: neighbouring seeds share no scene. Else 8 bytes a training
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
    """Whether two data sets share no scene by what they state."""
    first, second = _settings(one), _settings(other)
    return first is not None and second is not None and first.domain == second.domain and first.seed != second.seed


def _settings(samples: Samples) -> DatasetSettings | None:
    """What a data set's samples were drawn with; None unless it states that of everything in it, and nothing that was looked at differs.

    Where reading is cheap, that is the tars, against the manifest, and the first record of each.
    """
    stated, store = _stated(samples), samples.store
    if stated is None or (store.near and _tar_digests(samples, store.stamps()) != stated):
        return None
    try:
        statement = read_statement(store)
        settings = None if IMPORTED in statement else stated_settings(store, statement)
    except UserError:  # there is none, or none that can be trusted
        return None
    if settings is not None and store.near and {_drawn(samples, shard) for shard in samples.shards} != {(settings.domain, settings.seed)}:
        return None
    return settings


def _drawn(samples: Samples, shard: str) -> tuple[str, int | None] | None:
    """Domain and seed by the first record in a tar; None if there is none that can be read."""
    with contextlib.suppress(OSError, UserError, ValueError, tarfile.TarError), samples.store.open(shard) as stream:
        for name, _, start, size in tar_members(stream):
            if name.endswith(RECORD):
                stream.seek(start)
                record = read_sample_record(stream.read(min(size, MAX_BYTES + 1)), name)
                return record["domain"], record.get("seed")
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
