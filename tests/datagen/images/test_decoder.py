"""Images that may cost far more to decode than their size suggests are read in a process with limited time and memory."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import FAULTS

import igllm
from datagen.errors import ImageError
from datagen.images import decoder
from datagen.images.decoder import decode_apart
from datagen.images.decoding import decode, is_plain
from datagen.images.encoding import decode_image, encode_image
from datagen.io.child import Child

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def encoded(pixels: np.ndarray, image_format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format)
    return stream.getvalue()


def many_packets(side: int, layers: int) -> bytes:
    """A JPEG 2000 codestream of `side` x `side` pixels with a precinct for every few pixels, each with `layers` layers."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG2000", no_jp2=True, num_resolutions=6)
    data, at, made = stream.getvalue(), 2, [b"\xff\x4f"]
    while (marker := data[at : at + 2]) != b"\xff\x90":
        length = 2 + int.from_bytes(data[at + 2 : at + 4])
        segment = data[at : at + length]
        if marker == b"\xff\x51":  # SIZ: the size of the image and of its one tile
            segment = segment[:6] + struct.pack(">8I", side, side, 0, 0, side, side, 0, 0) + segment[38:]
        if marker == b"\xff\x52":  # COD: the coding style
            content = struct.pack(">BBHBB", segment[4] | 1, segment[5], layers, segment[8], segment[9]) + bytes(2) + segment[12:14]
            content += bytes([0x11]) * (segment[9] + 1)
            segment = marker + struct.pack(">H", 2 + len(content)) + content
        made.append(segment)
        at += length
    tile = struct.pack(">HHHIBB", 0xFF90, 10, 0, 0, 0, 1)
    return b"".join(made) + tile + b"\xff\x93" + b"\x80" * 64 + b"\xff\xd9"


IN_A_LARGE_PROCESS = """
import io, numpy as np
from PIL import Image
from datagen.images import decoder
large = np.ones(2**27)  # a gigabyte
stream = io.BytesIO()
Image.new("L", (4, 4)).save(stream, "GIF")
pids = []
for _ in range(3):
    decoder.decode_apart(stream.getvalue())
    pids.append(decoder._DECODER._child.pid)
print(pids)
"""


def test_a_large_process_has_its_images_decoded_by_one_process_too() -> None:
    """On Linux, a program's peak of memory begins with that of the process that started it: each image had a process of its own."""
    done = subprocess.run([sys.executable, "-c", IN_A_LARGE_PROCESS], capture_output=True, text=True, check=True)
    assert len(set(json.loads(done.stdout))) == 1


def test_an_image_that_unfolds_into_all_memory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Decoding its 4 million pixels, from fewer than 300 bytes, took 6.6 GB. The image beside it is read."""
    folder = tmp_path / "images"
    folder.mkdir()
    bomb = many_packets(2000, 65_535)
    assert len(bomb) < 300
    (folder / "bomb.tif").write_bytes(bomb)
    (folder / "sound.tif").write_bytes(encoded(PIXELS, "TIFF"))
    assert igllm.main(["inspect", "--textures", str(folder), "--out", str(tmp_path / "sheet")]) == 0
    captured = capsys.readouterr()
    output = captured.out + captured.err
    assert "bomb.tif" in output
    assert "takes more than 1.1 GB to decode; save it as a PNG, or allow more with --max-pixels" in output
    assert "textures: 1;" in output


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Decode with `faulty_decoder`, which does what the content of a file asks for; returns the path of its log of files."""
    monkeypatch.setattr(decoder, "DECODER", "faulty_decoder")
    monkeypatch.setenv("PYTHONPATH", str(FAULTS))
    monkeypatch.setenv("FAULTS_LOG", str(tmp_path / "log"))
    decoder._DECODER.stop()
    yield tmp_path / "log"
    decoder._DECODER.stop()


@pytest.mark.parametrize(
    ("file", "reason", "tries"),
    [
        ("endless", r"takes more than 8 s to decode; save it as a PNG, or allow more with --max-pixels", 1),
        ("crash", r"crashes what decodes it \(very wrong\); save it as a PNG", 2),
    ],
)
def test_what_the_decoder_does_not_survive_is_refused_and_the_next_is_read(stand_in: Path, file: str, reason: str, tries: int) -> None:
    for _ in range(2):
        with pytest.raises(ImageError, match=rf"^x\.tif: {reason}$"):
            decode_image(file.encode(), "x.tif")
        assert decode_image(b"sound", "y.tif").tolist() == [[list(b"abc")]]
    assert stand_in.read_text().split() == [*[file] * tries, "sound"] * 2


def test_a_decoder_that_ended_for_another_reason_is_started_anew(stand_in: Path) -> None:
    assert decode_image(b"once", "x.tif").tolist() == [[list(b"abc")]]
    assert stand_in.read_text().split() == ["once", "once"]


def test_more_is_allowed_with_more_pixels(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGLLM_MAX_PIXELS", str(120_000_000))
    with pytest.raises(ImageError, match="takes more than 24 s"):
        decode_image(b"endless", "x.tif")


def test_what_an_interrupted_call_left_is_not_taken_for_the_next_image(monkeypatch: pytest.MonkeyPatch) -> None:
    others = 255 - PIXELS
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Child, "read", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        decode_image(encoded(PIXELS, "BMP"), "x")
    assert np.array_equal(decode_image(encoded(others, "BMP"), "x"), others)


def _decoded_by_another(data: bytes) -> np.ndarray:
    return decode_image(data, "x")


def test_threads_and_forked_processes_get_their_own_images() -> None:
    images = [np.full((9, 7, 3), shade, np.uint8) for shade in range(24)]
    files = [encoded(image, ("TIFF", "BMP", "GIF")[place % 3]) for place, image in enumerate(images)]
    with ThreadPoolExecutor(8) as threads:
        assert all(map(np.array_equal, threads.map(_decoded_by_another, files), images))
    with multiprocessing.get_context("fork").Pool(2) as processes:
        assert all(map(np.array_equal, processes.map(_decoded_by_another, files), images))
    assert np.array_equal(decode_image(files[5], "x"), images[5])


def test_files_of_very_many_parts_are_read_as_ever_but_apart() -> None:
    png = encode_image(PIXELS)
    chunk = bytes(4) + b"prVa" + struct.pack(">I", zlib.crc32(b"prVa"))
    photograph = encoded(PIXELS, "JPEG")
    last = encoded(PIXELS, "JPEG")[2:]
    for plain, odd in (
        (png, png[:33] + chunk * 10_000 + png[33:]),
        (photograph, photograph[:2] + b"\xff" * 10_000 + last),  # fill bytes before a marker
        (photograph, photograph[:2] + b"\xff\xfe\x00\x02" * 10_000 + last),  # empty comments
        (photograph, photograph[:2] + b"\xff\xd0" * 10_000 + last),  # markers that stand alone
    ):
        assert is_plain(plain)
        assert not is_plain(odd)
        assert np.array_equal(decode_image(odd, "x"), decode_image(plain, "x"))


def test_what_is_read_apart_and_here_is_the_same() -> None:
    for image_format in ("PNG", "WEBP", "TIFF", "GIF", "JPEG2000", "AVIF"):
        data = encoded(PIXELS, image_format)
        assert np.array_equal(decode_apart(data), decode(data))
        assert decode_apart(data).flags.writeable
    assert os.environ.get("IGLLM_MAX_PIXELS") is None
