"""People's own model files: which are used, and why others are left out. A stand-in replaces Blender, unlike in test_importer.py."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from datagen.assets import named, opening
from datagen.assets.own import find_asset, kept_asset, own_assets
from datagen.errors import UserError
from datagen.geometry.rotations import Symmetry

pytestmark = pytest.mark.usefixtures("importer_stand_in")


def write(folder: Path, **files: str) -> Path:
    """Write files with these contents; ``chairs__a_stl`` is chairs/a.stl."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/").rpartition("_")[0] + "." + name.rpartition("_")[2])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def opened(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().split() if log.exists() else []


def test_bad_files_are_told_with_the_reason_and_the_others_read(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "models",
        a_stl="1",
        crash_obj="2",
        damaged_ply="3",
        hang_usd="4",
        nonsense_usdz="5",
        pickle_blend="6",
        short_stl="7",
        z_stl="88",
    )
    found = own_assets(folder, seconds=5)
    assert [asset.path for asset in found.assets] == ["a.stl", "z.stl"]
    reasons = {refused.path: refused.reason for refused in found.refused}
    assert list(reasons) == ["crash.obj", "damaged.ply", "hang.usd", "nonsense.usdz", "pickle.blend", "short.stl"]
    assert "crashed" in reasons["crash.obj"] and "crashed" in reasons["short.stl"]
    assert reasons["damaged.ply"] == "no such format"
    assert "within 5 s" in reasons["hang.usd"]
    assert "something else than triangles" in reasons["nonsense.usdz"] and "something else" in reasons["pickle.blend"]


def test_a_file_is_opened_once_and_again_when_it_or_what_is_kept_changes(tmp_path: Path) -> None:
    folder = write(tmp_path / "models", a_stl="1", b_obj="mtllib paint.mtl\n")
    first = own_assets(folder)
    assert opened(tmp_path) == ["a.stl", "b.obj"]
    assert own_assets(folder) == first
    assert opened(tmp_path) == ["a.stl", "b.obj"]
    write(folder, a_stl="12", paint_mtl="Kd 1 0 0")
    assert [a.id for a in own_assets(folder).assets] != [a.id for a in first.assets]
    assert opened(tmp_path)[2:] == ["a.stl", "b.obj"]
    for kept in (tmp_path / "cache").rglob("*.npz"):
        kept.write_bytes(b"spoilt")
    own_assets(folder)
    assert opened(tmp_path)[4:] == ["a.stl", "b.obj"]


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': (",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 3)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2**60,)}",
    ],
)
def test_what_is_kept_with_a_damaged_header_is_made_anew(tmp_path: Path, header: str) -> None:
    folder = write(tmp_path / "models", a_stl="1")
    first = own_assets(folder)
    [kept] = (tmp_path / "cache").rglob("*.npz")
    with zipfile.ZipFile(kept) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    text = header.encode().ljust(117) + b"\n"
    arrays["vertices.npy"] = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text
    with zipfile.ZipFile(kept, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(name, data)
    assert own_assets(folder) == first
    assert opened(tmp_path) == ["a.stl", "a.stl"]


def test_an_asset_is_found_by_its_id_alone(tmp_path: Path) -> None:
    [asset] = [found.whole() for found in own_assets(write(tmp_path / "models", **{"my chair__a b_stl": "1"})).assets]
    assert asset.id.startswith("a_b-") and asset.kind.startswith("my_chair-") and asset.colors == ((1, 2, 3),)
    assert find_asset(asset.id).mesh.digest() == asset.mesh.digest()
    assert find_asset("mug-1").kind == "mug"
    for wrong in ("a_b-000000000000", "../../x", "a*-*", "a_b"):
        with pytest.raises(UserError, match="no asset"):
            kept_asset(wrong)


def test_what_an_older_version_kept_is_found_by_its_id_and_never_read_as_new(tmp_path: Path) -> None:
    folder = write(tmp_path / "models", a_stl="1", b_usd="22")
    first = own_assets(folder)
    [kept] = (tmp_path / "cache").rglob(f"{first.assets[0].id.rpartition('-')[2]}*.npz")
    with np.load(kept) as arrays:
        np.savez(kept.with_name(f"{'0' * 64}.npz"), **{name: arrays[name] for name in arrays if name != "notes"})
    assert kept_asset(f"a-{'0' * 12}").mesh.digest() == first.assets[0].whole().mesh.digest()
    assert own_assets(folder) == first


def test_a_file_that_changes_while_it_is_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "models", a_stl="1", b_stl="22")
    real = opening.Importer.opened

    def opened_late(importer: opening.Importer, parts: named.Parts) -> bytes:
        data = real(importer, parts)
        (folder / "a.stl").write_text("another")
        return data

    with monkeypatch.context() as context:
        context.setattr(opening.Importer, "opened", opened_late)
        found = own_assets(folder)
    assert [asset.path for asset in found.assets] == ["b.stl"]
    assert "changed while it was read" in found.refused[0].reason
    again = own_assets(folder)
    assert again.assets[0].path == "a.stl" and opened(tmp_path) == ["a.stl", "b.stl", "a.stl"]


def test_whatever_is_kept_and_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    folder = write(tmp_path / "models", a_stl="1", b_usd="22")
    first = own_assets(folder)
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} == {".npz", ".json"}
    for damage in (b"", b"{}", b'{"names": [1]}', b"PK\x03\x04"):
        for path in kept:
            path.write_bytes(damage)
        assert own_assets(folder) == first


def test_no_damaged_byte_of_what_is_kept_is_taken_for_another_asset(tmp_path: Path) -> None:
    [asset] = own_assets(write(tmp_path / "models", a_obj="mtllib paint.mtl\n")).assets
    whole, kept = asset.whole(), next((tmp_path / "cache").rglob("*.npz"))
    data, refused = kept.read_bytes(), 0
    for place in range(len(data)):
        for flip in (0x01, 0x80):
            kept.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
            try:
                found = kept_asset(asset.id)
            except UserError:
                refused += 1
                continue
            assert (found.mesh.digest(), found.colors) == (whole.mesh.digest(), whole.colors)
    assert refused > len(data)


def test_neither_notes_nor_names_are_lost_with_a_byte_of_what_is_kept(tmp_path: Path) -> None:
    folder = write(tmp_path / "models", a_obj="mtllib paint.mtl\n", b_usd="22")
    first = own_assets(folder)
    assert first.assets[0].notes == ("names 'paint.mtl', which is not there",)
    [kept] = (tmp_path / "cache").rglob(f"{first.assets[0].id[-12:]}*.npz")
    [names] = (tmp_path / "cache").rglob("*.json")
    for path, word, other in ((kept, b"notes.npy", b"nodes.npy"), (names, b"[]", b'["x.png"]')):
        data = path.read_bytes()
        for count in range(1, data.count(word) + 1):
            path.write_bytes(data.replace(word, other, count))
            assert own_assets(folder) == first


def test_what_is_kept_is_checked(tmp_path: Path) -> None:
    [asset] = [found.whole() for found in own_assets(write(tmp_path / "models", a_stl="1")).assets]
    [kept] = (tmp_path / "cache").rglob("*.npz")
    far, none = asset.mesh.vertices * 5, np.zeros((0, 3), np.uint8)
    changes = ({"colors": none}, {"vertices": far}, {"slots": np.array([7])}, {"notes": np.zeros(3)})
    for change in changes:
        with np.load(kept) as arrays:
            good = dict(arrays)
        np.savez(kept, **{**good, **change})
        with pytest.raises(UserError, match="delete it"):
            kept_asset(asset.id)
        np.savez(kept, **good)
    kept_asset(asset.id)


def test_notes_state_class_and_symmetry(tmp_path: Path) -> None:
    folder = write(tmp_path / "models", vases__tall_stl="1", b_stl="22")
    (folder / "assets.json").write_text(json.dumps({"vases/tall.stl": {"symmetry": "Cinf"}, "b.stl": {"class": "bottle"}}))
    b, tall = own_assets(folder).assets
    assert (b.kind, b.symmetry) == ("bottle", Symmetry())
    assert (tall.kind, tall.symmetry) == ("vases", Symmetry(0))


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ("[]", "must be an object"),
        ('{"x.stl": {}}', "no file 'x.stl'"),
        ('{"a.stl": {"symmetry": "round"}}', "write C1"),
        ('{"a.stl": {"class": "a/b"}}', "must be a name"),
        ('{"a.stl": {"up": "y"}}', "the key 'up'"),
        ("{", "is not JSON"),
    ],
)
def test_wrong_notes_are_an_error(tmp_path: Path, notes: str, message: str) -> None:
    folder = write(tmp_path / "models", a_stl="1")
    (folder / "assets.json").write_text(notes)
    with pytest.raises(UserError, match=message):
        own_assets(folder)


def test_too_large_and_twice_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "MOST_BYTES", 100)
    folder = write(tmp_path / "models", a_stl="1", big_ply="x" * 101, z__a_stl="1", other_obj="mtllib big.ply\n")
    found = own_assets(folder)
    assert len(found.assets) == 1
    assert {r.path: r.reason for r in found.refused} == {
        "big.ply": "big.ply has 101 bytes, more than 100",
        "other.obj": "big.ply has 101 bytes, more than 100",
        "z/a.stl": "the same as a.stl",
    }


@pytest.mark.parametrize(
    ("name", "text"), [("a_gltf", '{"buffers": [{"uri": "../secret.bin"}]}'), ("a_obj", "v 0 0 0\nmtllib /etc/passwd\n")]
)
def test_a_file_that_names_one_outside_the_folder_is_left_out(tmp_path: Path, name: str, text: str) -> None:
    found = own_assets(write(tmp_path / "models", **{name: text}))
    assert not found.assets and "outside the folder" in found.refused[0].reason
    assert not opened(tmp_path)


def test_no_folder_no_model_no_blender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such folder"):
        own_assets(tmp_path / "none")
    with pytest.raises(UserError, match=r"no model file is in it; known are \.blend, \.glb"):
        own_assets(write(tmp_path / "empty", notes_txt="", hidden__x_txt=""))
    monkeypatch.setattr(opening, "IMPORTER", "no_such_importer")
    with pytest.raises(UserError, match="Blender does not start"):
        own_assets(write(tmp_path / "models", a_stl="1"))
