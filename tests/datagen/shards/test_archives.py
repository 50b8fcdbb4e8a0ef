"""Tars of samples, the toolkit's own and others: read singly, by folder and by pattern, or refused in one message."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from constant_scenes import SETTINGS, constant_sample
from tar_files import write_tar

from datagen.errors import UserError
from datagen.shards.layouts import MAX_SAMPLE_BYTES
from datagen.shards.reader import Samples, write_shard

pytestmark = pytest.mark.usefixtures("empty_cache")


def test_a_folder_that_is_called_like_a_tar_is_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar" / "a.tar", [constant_sample(SETTINGS, 0)])
    assert Samples(tmp_path / "x.tar").keys == Samples(f"{tmp_path}/x.tar/").keys == ["000000000"]


def test_a_sample_of_half_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    size = MAX_SAMPLE_BYTES + 1
    for name in ("a.json", "a.py"):
        write_tar(tmp_path / "huge" / f"{name}.tar", [(name, b"")])
    (tmp_path / "loose").mkdir()
    header = tarfile.TarInfo("a.json")
    header.size = size
    with (tmp_path / "huge" / "a.json.tar").open("wb") as tar:
        tar.write(header.tobuf(tarfile.USTAR_FORMAT))
        tar.truncate(tarfile.BLOCKSIZE + size + -size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)  # a hole, without disk space
    for name in ("a.json", "a.py"):
        with (tmp_path / "loose" / name).open("wb") as file:
            file.truncate(size)
    for folder in ("huge/a.json.tar", "loose"):
        with pytest.raises(UserError, match=r"a sample of 536,\d\d\d,\d\d\d bytes; at most 536,870,912 are read"):
            Samples(tmp_path / folder).at(0)
        with pytest.raises(UserError, match="are read"):
            list(Samples(tmp_path / folder).members(".json"))


def test_code_that_is_no_text_is_one_message(tmp_path: Path) -> None:
    files = constant_sample(SETTINGS, 0).files() | {".py": b"add(\xff)"}
    write_tar(tmp_path / "a.tar", [(f"a{suffix}", data) for suffix, data in files.items()])
    for reading in (lambda: Samples(tmp_path).at(0), lambda: Samples(tmp_path).code("a")):
        with pytest.raises(UserError, match="sample a is damaged: its code is not UTF-8"):
            reading()


def test_what_vanishes_or_shrinks_while_it_is_read_is_told(tmp_path: Path) -> None:
    shard = tmp_path / "shard-000000.tar"
    write_shard(shard, (constant_sample(SETTINGS, i) for i in (0, 1)))
    samples = Samples(tmp_path)
    assert samples.at(1).key == "000000001"
    shard.write_bytes(shard.read_bytes()[:4000])
    with pytest.raises(UserError, match=r"shard-000000\.tar: changed or damaged since it was first read \(it ends early\)"):
        samples.at(1)
    shard.unlink()
    with pytest.raises(UserError, match=r"shard-000000\.tar: cannot be read"):
        samples.at(1)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_others_are_read(tmp_path: Path, form: int) -> None:
    long = "x" * 90 + "é" if form != tarfile.USTAR_FORMAT else "x"
    members = [
        ("./set/", b""),
        ("./set/README", b"no suffix"),
        ("./set/._0001.jpg", b"another system's litter"),
        ("./set/0001.jpg", b"A" * 700),
        ("./set/0001.cls.txt", b"one"),
        (f"./set/{long}.jpg", b""),
        (f"./set/{long}.json", b"{}"),
        ("./other/0002.jpg", b"C"),
    ]
    archive = Samples.for_training(write_tar(tmp_path / "a.tar", members, form))
    assert [archive.key(i) for i in range(len(archive))] == ["0001", long, "0002"]
    assert archive.files(0) == {".jpg": b"A" * 700, ".cls.txt": b"one"}
    assert archive.files(1) == {".jpg": b"", ".json": b"{}"}
    assert archive.files(2) == {".jpg": b"C"}
    assert archive.find(long) == 1


def test_damaged_tars_and_endless_names_are_one_message(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", [("a.jpg", b"A" * 3000)])
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"a\.tar: not a readable tar"):
        len(Samples.for_training(tar))
    write_tar(tmp_path / "b.tar", [("b" * 2000 + ".jpg", b"A")])
    with pytest.raises(UserError, match=r"b\.tar: a sample's name has 2000 bytes"):
        len(Samples.for_training(tmp_path / "b.tar"))
    with pytest.raises(UserError, match="no samples"):
        len(Samples.for_training(write_tar(tmp_path / "c.tar", [])))


def test_patterns_name_tars(tmp_path: Path) -> None:
    for i in range(8, 12):
        write_tar(tmp_path / f"{i:03d}.tar", [(f"{i}.jpg", b"")])
    pattern = f"{tmp_path}/{{008..010}}.tar"
    assert [Samples.for_training(pattern).key(i) for i in range(3)] == ["8", "9", "10"]
    assert len(Samples.for_training(f"{tmp_path}/0{{08,11}}.tar")) == 2
    assert len(Samples.for_training(Path(tmp_path / "011.tar"))) == 1
    assert len(Samples.for_training(tmp_path)) == 4
    with pytest.raises(UserError, match=r"012\.tar: there is no such tar \(1 of the 5"):
        Samples.for_training(f"{tmp_path}/{{008..012}}.tar")
    for endless in ("{0..999999999999}.tar", "{9..1}.tar", "{0..9999}{0..9999}.tar"):
        with pytest.raises(UserError, match=r"at most|more than"):
            Samples.for_training(f"{tmp_path}/{endless}")
