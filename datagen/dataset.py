"""A data set's folder while it grows: its statement, its manifest, its shards, and the spool of finished samples.

Shard k holds the indices [k S, (k + 1) S). A finished sample waits in the spool until its shard is complete; then the shard
is written whole and the spool is cleared. What a tar holds is the truth: the manifest is mended from the tars if a run
died between the two.
"""

from __future__ import annotations

import fcntl
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from datagen.errors import UserError
from datagen.files import read_json, read_jsonl, write_json, write_jsonl
from datagen.sample import FORMAT_VERSION, Sample
from datagen.settings import DatasetSettings, sample_key
from datagen.shards import Samples, file_sha256, write_shard

STATEMENT = "dataset.json"
MANIFEST = "manifest.jsonl"
SPOOL = ".spool"
LOCK = ".lock"


def package_versions() -> dict[str, str]:
    """The versions that a data set records."""
    found = {"python": platform.python_version()}
    for name in ("igllm", "bpy", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


class DatasetFolder:
    """The folder of one data set, opened by the one process that writes to it (see `open_dataset`)."""

    def __init__(self, path: Path, settings: DatasetSettings) -> None:
        self.path, self.settings = path, settings
        self._spool = path / SPOOL
        self._spool.mkdir(exist_ok=True)
        for left in [*path.glob(".*.tmp"), *self._spool.glob(".*.tmp")]:
            left.unlink()
        self._manifest = {row["name"]: row for row in read_jsonl(path / MANIFEST)} if (path / MANIFEST).exists() else {}
        self._mend_manifest()

    def finished(self) -> set[int]:
        """The indices that need not be rendered: in a shard, or waiting in the spool."""
        size = self.settings.shard_size
        sharded = {k * size + i for k in self._shards() for i in range(self._count(k))}
        return sharded | {int(path.stem) for path in self._spool.glob("*.tar")}

    def put(self, sample: Sample) -> None:
        """Keep a finished sample in the spool."""
        write_shard(self._spooled(int(sample.key)), [sample])

    def complete(self, shard: int, num: int) -> None:
        """Write a shard if all of its samples among the first `num` are there and it does not hold them yet."""
        size = self.settings.shard_size
        wanted = range(shard * size, min((shard + 1) * size, num))
        held = self._count(shard)
        fresh = [index for index in wanted if index >= shard * size + held]
        if fresh and all(self._spooled(index).exists() for index in fresh):
            self._write(shard, held, fresh)

    def _write(self, shard: int, held: int, fresh: list[int]) -> None:
        path = self._shard_path(shard)

        def samples() -> Iterator[Sample]:
            if held:
                yield from Samples.of_shards([path])
            for index in fresh:
                yield from Samples.of_shards([self._spooled(index)])

        self._record(path, write_shard(path, samples()))
        for index in fresh:
            self._spooled(index).unlink()

    def _record(self, path: Path, samples: int) -> None:
        self._manifest[path.name] = {
            "name": path.name,
            "samples": samples,
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }
        write_jsonl(self.path / MANIFEST, (self._manifest[name] for name in sorted(self._manifest)))

    def _mend_manifest(self) -> None:
        """Read what the manifest does not know: a run can die after a shard's rename and before the manifest's."""
        for path in sorted(self.path.glob("shard-*.tar")):
            row = self._manifest.get(path.name)
            if row is None or row["bytes"] != path.stat().st_size:
                self._record(path, len(Samples.of_shards([path])))
        for name in [name for name in self._manifest if not (self.path / name).exists()]:
            del self._manifest[name]
        for path in self._spool.glob("*.tar"):
            shard, place = divmod(int(path.stem), self.settings.shard_size)
            if place < self._count(shard):
                path.unlink()

    def _shards(self) -> list[int]:
        return [int(Path(name).stem.removeprefix("shard-")) for name in self._manifest]

    def _count(self, shard: int) -> int:
        row = self._manifest.get(self._shard_path(shard).name)
        return 0 if row is None else int(row["samples"])

    def _shard_path(self, shard: int) -> Path:
        return self.path / f"shard-{shard:06d}.tar"

    def _spooled(self, index: int) -> Path:
        return self._spool / f"{sample_key(index)}.tar"

    def close(self) -> None:
        """Remove the spool once everything asked for is sharded."""
        if not any(self._spool.glob("*.tar")):
            shutil.rmtree(self._spool)


@contextmanager
def open_dataset(path: Path, settings: DatasetSettings, num: int) -> Iterator[DatasetFolder]:
    """Open a new data set or one begun with the same settings, alone. `UserError` if it is another one or in use."""
    path.mkdir(parents=True, exist_ok=True)
    with (path / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{path}: another run is writing to this data set; wait for it or choose another folder") from None
        _state(path, settings, num)
        yield DatasetFolder(path, settings)


def _state(path: Path, settings: DatasetSettings, num: int) -> None:
    """Write ``dataset.json``, or see that the one there says the same."""
    statement = {"format_version": FORMAT_VERSION, **settings.to_json(), "num": num, "versions": package_versions()}
    if not (path / STATEMENT).exists():
        if any(path.glob("*.tar")):
            raise UserError(f"{path}: holds tars but no {STATEMENT}, so it is not a data set of ours; choose another folder")
        write_json(path / STATEMENT, statement)
        return
    there = read_statement(path)
    differing = [name for name in settings.to_json() if there.get(name) != statement[name]]
    if differing:
        name = differing[0]
        raise UserError(
            f"{path}: was begun with {name} {there.get(name)!r}, not {statement[name]!r}; choose another folder or give the same settings"
        )
    if there["versions"].get("bpy") != package_versions()["bpy"]:
        raise UserError(f"{path}: was begun with bpy {there['versions'].get('bpy')}, which renders other pixels; choose another folder")
    if num > there["num"]:
        write_json(path / STATEMENT, {**there, "num": num})


def read_statement(path: Path) -> Mapping[str, Any]:
    """A data set's ``dataset.json``; `UserError` if it is missing, damaged or of another format version."""
    statement = read_json(path / STATEMENT)
    found = statement.get("format_version") if isinstance(statement, dict) else None
    if found != FORMAT_VERSION:
        raise UserError(f"{path / STATEMENT}: format version {found!r}, but this igllm reads version {FORMAT_VERSION}")
    return statement
