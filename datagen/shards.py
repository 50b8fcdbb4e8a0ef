"""Shards: WebDataset tars, written so that equal samples give equal bytes, and read at random through their offsets."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datagen.domain import Domain
from datagen.domains import get_domain
from datagen.errors import UserError
from datagen.files import atomic_file
from datagen.sample import SUFFIXES, Sample
from datagen.scene import Shot


def write_shard(path: Path, samples: Iterable[Sample]) -> int:
    """Write samples to a tar, atomically, members in order of key with fixed metadata; the number of samples."""
    count = 0
    with atomic_file(path) as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            for suffix, data in sample.files().items():
                member = tarfile.TarInfo(sample.key + suffix)
                member.size, member.mode = len(data), 0o644  # time and owner stay zero
                tar.addfile(member, io.BytesIO(data))
            count += 1
    return count


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class _Member:
    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            data = stream.read(self.size)
        if len(data) != self.size:
            raise UserError(f"{self.path}: ends early; generate the data set again to repair it")
        return data


class Samples:
    """The samples of a data set by key, in order: shards, or a folder of loose ``{key}.png``, ``.py`` and ``.json``."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise UserError(f"{path}: there is no such data set (a folder of shards or of loose samples is expected)")
        self.path = path
        shards = sorted(path.glob("*.tar"))
        self._members = _index_shards(shards) if shards else _index_loose(path)
        if not self._members:
            raise UserError(f"{path}: no samples here (neither *.tar shards nor {{key}}.png, .py and .json)")

    @classmethod
    def of_shards(cls, shards: list[Path]) -> Samples:
        """The samples of these tars alone."""
        samples = cls.__new__(cls)
        samples.path, samples._members = shards[0].parent, _index_shards(shards)
        return samples

    @property
    def keys(self) -> list[str]:
        return list(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __iter__(self) -> Iterator[Sample]:
        return (self[key] for key in self._members)

    def __getitem__(self, key: str) -> Sample:
        if key not in self._members:
            raise UserError(f"{self.path}: there is no sample {key}")
        files = {suffix: member.read() for suffix, member in self._members[key].items() if suffix in SUFFIXES}
        return Sample.from_files(key, files, str(self.path))

    def code(self, key: str) -> str:
        """The graphics code of a sample, without reading its image."""
        member = self._members[key].get(".py")
        if member is None:
            raise UserError(f"{self.path}: sample {key} lacks its .py")
        return member.read().decode()

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """How a sample was photographed, and its domain: all that re-rendering takes from a data set. Reads nothing else of the sample."""
        member = self._members.get(key, {}).get(".json")
        if member is None:
            raise UserError(f"{self.path}: there is no record of a sample {key}")
        try:
            record = json.loads(member.read())
            return Shot.from_json(record["shot"]), get_domain(record["domain"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.path}: the record of {key} is damaged ({type(error).__name__}: {error})") from None


def _index_shards(shards: list[Path]) -> dict[str, dict[str, _Member]]:
    index: dict[str, dict[str, _Member]] = {}
    for path in shards:
        try:
            with tarfile.open(path, "r:") as tar:
                for entry in tar:
                    key, suffix = _split(entry.name)
                    if suffix in index.setdefault(key, {}):
                        raise UserError(f"{path}: {entry.name} is in the data set twice")
                    index[key][suffix] = _Member(path, entry.offset_data, entry.size)
        except (tarfile.TarError, OSError) as error:
            raise UserError(f"{path}: not a readable tar ({error}); generate the data set again to repair it") from None
    return index


def _index_loose(folder: Path) -> dict[str, dict[str, _Member]]:
    index: dict[str, dict[str, _Member]] = {}
    for path in sorted(folder.glob("*.json")):
        files = {suffix: path.with_name(path.stem + suffix) for suffix in SUFFIXES}
        there = {suffix: _Member(file, 0, file.stat().st_size) for suffix, file in files.items() if file.is_file()}
        if ".py" in there:  # which tells a sample's record from any other JSON
            index[path.stem] = there
    return index


def _split(name: str) -> tuple[str, str]:
    """A member's key and suffix as WebDataset splits them: at the first dot of the base name."""
    key, dot, suffix = name.rpartition("/")[2].partition(".")
    return key, dot + suffix
