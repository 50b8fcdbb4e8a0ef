"""What the exporters share: JSON documents with long lists, in constant memory; image files; captions, depth and cameras of samples."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from datagen.errors import UserError
from datagen.images.encoding import encode_image
from datagen.io.files import atomic_file, naming, write_bytes
from datagen.samples.sample import CAPTION_SUFFIX, DEPTH_SUFFIX, Sample


def png_bytes(sample: Sample) -> bytes:
    """The sample's image as a PNG file."""
    return sample.image if sample.suffix == ".png" else encode_image(sample.pixels())


def caption_of(sample: Sample) -> str | None:
    """The sample's caption; None if it has none. `UserError` if it is no UTF-8 text."""
    text = sample.extras.get(CAPTION_SUFFIX)
    try:
        return None if text is None else text.decode().strip()
    except UnicodeDecodeError as error:
        raise UserError(f"sample {sample.key}: its caption is not UTF-8 ({error.reason})") from None


def camera_of(sample: Sample) -> dict[str, Any] | None:
    """The camera of the sample's shot, plain JSON as in its record; None in a domain without a camera."""
    camera: dict[str, Any] | None = sample.record["shot"]["camera"]
    return camera


def write_depth(sample: Sample, draft: Draft, name: str) -> str | None:
    """Write the sample's depth map, a NumPy file of float32 metres (height, width), under that name, and return the name; None if it has
    none. `UserError` if the map is not that of the image."""
    data = sample.extras.get(DEPTH_SUFFIX)
    if data is None:
        return None
    stream, frame = io.BytesIO(data), (sample.shot.height, sample.shot.width)
    layout: Any = np.lib.format  # its functions are not typed
    try:
        header = layout.read_array_header_1_0 if layout.read_magic(stream) == (1, 0) else layout.read_array_header_2_0
        shape, _, kind = header(stream)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"sample {sample.key}: its depth is no NumPy file ({error})") from None
    if (shape, kind) != (frame, np.float32) or len(data) - stream.tell() != 4 * frame[0] * frame[1]:
        raise UserError(f"sample {sample.key}: its depth is not {frame[1]}x{frame[0]} values of float32")
    write_bytes(draft.file(name), data)
    return name


class Draft:
    """The folder that an export is written into before it is moved into place, and the ``names`` of its files, relative to the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def file(self, name: str) -> Path:
        """The path at which to write the file of that name; the name is added to ``names``."""
        self.names.append(name)
        return self.folder / name


class JsonDocument:
    """One JSON object of a few ``fields`` and some lists whose rows come one by one, in any order; they wait in temporary files."""

    def __init__(self, path: Path, fields: Mapping[str, Any], lists: Mapping[str, IO[bytes]]) -> None:
        self._path, self._fields, self._lists = path, fields, lists

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Append a row to the list of that name."""
        stream = self._lists[name]
        with naming(self._path):
            stream.write((",\n" if stream.tell() else "\n").encode() + json.dumps(row, allow_nan=False).encode())

    def write(self, out: IO[bytes]) -> None:
        """Write the whole document to a stream."""
        head = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in self._fields.items())
        out.write(("{" + ",\n".join(head)).encode())
        for name, stream in self._lists.items():
            out.write(f",\n{json.dumps(name)}: [".encode())
            with naming(self._path):
                stream.seek(0)  # which flushes the buffer, and may fail
            shutil.copyfileobj(stream, out)
            out.write(b"\n]")
        out.write(b"}\n")


def _close(stream: IO[bytes]) -> None:
    with suppress(OSError):  # closing flushes rows that nobody needs any more
        stream.close()


@contextmanager
def json_document(path: Path, fields: Mapping[str, Any], lists: tuple[str, ...]) -> Iterator[JsonDocument]:
    """A `JsonDocument` that is written to `path`, atomically, if the block ends without an exception."""
    with ExitStack() as spools:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            files: dict[str, IO[bytes]] = {name: TemporaryFile(dir=path.parent) for name in lists}  # noqa: SIM115 - closed by `_close`
        for stream in files.values():
            spools.callback(_close, stream)
        document = JsonDocument(path, fields, files)
        yield document
        with atomic_file(path) as stream:
            document.write(stream)
