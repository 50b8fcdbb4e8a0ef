"""A digest of the data that a run is trained on, and the check that validation and training data share no scene."""

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
MANY_SAMPLES = 1000  # above this number, reading shows progress
LONGEST_KEPT = 100  # bytes of a cached digest file
T = TypeVar("T")


def data_digest(samples: Samples) -> str:
    """A SHA-256 that identifies a data set's content, images included, and its order, wherever a local data set lies.

    The digests in a manifest are not trusted: anybody may have written them, and tars may have changed since. Everything is read once: the
    tars' bytes if the manifest lists them all, else every file of every sample. Digests are cached for as long as the files' sizes, times
    and inodes stay the same. No program can set the time of the last change among them, so files replaced by `cp -p` or `rsync -t` are
    read again. If a URL's store gives a version of every file, URL and versions are hashed instead of the content.
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
    """The current SHA-256 of each tar, cached."""
    store, folder = samples.store, cache_folder("digests")
    places = {name: folder / _sha256_of(store.place, [(name, stamps[name])]) for name in samples.shards}
    known = {name: digest for name, path in places.items() if (digest := _kept(path)) is not None}
    unread = [name for name in places if name not in known]
    for name in _with_progress(samples, unread):
        known[name] = _keep(places[name], store.sha256(name))
    return [known[name] for name in places]


def _sample_digest(samples: Samples) -> str:
    """A SHA-256 of the keys and files of all samples, in any layout."""
    digest = hashlib.sha256()
    for number in _with_progress(samples, range(len(samples))):
        digest.update(hashlib.sha256(samples.key(number).encode(errors="replace")).digest())
        for suffix, data in sorted(samples.files(number).items()):
            digest.update(hashlib.sha256(suffix.encode(errors="replace")).digest() + hashlib.sha256(data).digest())
    return digest.hexdigest()


def _with_progress(samples: Samples, parts: Sequence[T]) -> Iterable[T]:
    """These parts of a data set, with progress if it has more than `MANY_SAMPLES`."""
    many = bool(parts) and len(samples) > MANY_SAMPLES
    return progress(parts, len(parts), f"reading {samples.name} once, to know it again") if many else parts


def _kept(path: Path) -> str | None:
    """A cached digest from its file; None if the file is missing or damaged."""
    with contextlib.suppress(OSError):
        kept = read_regular(path, LONGEST_KEPT)
        if re.fullmatch(rb"[0-9a-f]{64} [0-9a-f]{8}", kept) and kept == _checked(kept[:64]):
            return kept[:64].decode()
    return None


def _keep(path: Path, digest: str) -> str:
    with contextlib.suppress(OSError, UserError):  # the cache cannot be written
        drop(path)
        write_bytes(path, _checked(digest.encode()))
    return digest


def _checked(digest: bytes) -> bytes:
    """The content of a cached digest's file: with a checksum, so that a damaged digest is not taken for that of other data."""
    return b"%b %08x" % (digest, zlib.crc32(digest))


def refuse_overlap(train: Samples, val: Samples) -> None:
    """Raise `UserError` if a validation scene has the same code as a scene of the training data.

    Codes are not read if both data sets state the same domain and different seeds, which share no scene. Otherwise memory holds 8 bytes per
    training sample.
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
    """Whether two data sets state settings under which they share no scene."""
    first, second = _settings(one), _settings(other)
    return first is not None and second is not None and first.domain == second.domain and first.seed != second.seed


def _settings(samples: Samples) -> DatasetSettings | None:
    """The settings that a data set was drawn with; None if it does not state them, if its manifest lacks a tar, or if a check fails.

    In a local folder, the checks compare every tar with the manifest's digest, and the first record of each tar with the settings.
    """
    stated, store = _stated(samples), samples.store
    if stated is None or (store.near and _tar_digests(samples, store.stamps()) != stated):
        return None
    try:
        statement = read_statement(store)
        settings = None if IMPORTED in statement else stated_settings(store, statement)
    except UserError:  # dataset.json is missing or damaged
        return None
    if settings is not None and store.near and {_drawn(samples, shard) for shard in samples.shards} != {(settings.domain, settings.seed)}:
        return None
    return settings


def _drawn(samples: Samples, shard: str) -> tuple[str, int | None] | None:
    """The domain and seed in the first record of a tar; None if no record can be read."""
    with contextlib.suppress(OSError, UserError, ValueError, tarfile.TarError), samples.store.open(shard) as stream:
        for name, _, start, size in tar_members(stream):
            if name.endswith(RECORD):
                stream.seek(start)
                record = read_sample_record(stream.read(min(size, MAX_BYTES + 1)), name)
                return record["domain"], record.get("seed")
    return None


def _stated(samples: Samples) -> list[str] | None:
    """The SHA-256 of each tar according to the manifest; None unless the manifest lists all tars with their current sizes."""
    sizes = samples.store.sizes()
    rows = {row.name: row for row in read_manifest(samples.store, sizes).rows.values()}
    if not samples.shards or any(shard not in rows or rows[shard].bytes != sizes.get(shard) for shard in samples.shards):
        return None
    return [rows[shard].sha256 for shard in samples.shards]


def _codes(samples: Samples) -> Iterator[tuple[str, bytes]]:
    return ((key, code) for key, suffix, _, code in samples.members(CODE) if suffix == CODE)


def _shown(samples: Samples) -> Iterator[tuple[str, bytes]]:
    """All keys and codes, with progress."""
    return progress(_codes(samples), len(samples), "checking that no validation scene is in the training data")


def _short(code: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(code, digest_size=8).digest(), "little")
