"""People's own images as textures: which are used, why others are left out, and the domain made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import igllm
from datagen.assets import own_textures as module
from datagen.assets.own_textures import SIDE, kept_image, own_paint, own_textures
from datagen.code.grammar import parse_code, write_code
from datagen.domains.assets import OWN, SHAPES
from datagen.domains.own_assets import keep_domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache."""
    own_paint.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images in a subfolder, one beside it, two unreadable ones, a duplicate, and two files to pass over."""
    made = tmp_path / "images"
    for number in range(6):
        save(made / "brick" / f"b{number}.png", (200, 10 * number, 0))
    save(made / "grass field.jpg", (0, 200, 0))
    (made / "brick" / "torn.png").write_bytes((made / "brick" / "b0.png").read_bytes()[:50])
    (made / "text.webp").write_text("no image")
    (made / "wall").mkdir()
    (made / "wall" / "b1.png").write_bytes((made / "brick" / "b1.png").read_bytes())
    (made / "notes.txt").write_text("passed over")
    (made / ".hidden.png").write_text("passed over")
    return made


def test_images_are_read_and_those_that_are_none_told(folder: Path) -> None:
    found = own_textures(folder)
    assert list(found.paths.values()) == [*(f"brick/b{number}.png" for number in range(6)), "grass field.jpg"]
    assert list(found.patterns.values()) == ["brick"] * 6 + ["image"]
    assert next(reversed(found.patterns)).startswith("grass_field-")
    reasons = {refused.path: refused.reason for refused in found.refused}
    assert list(reasons) == ["brick/torn.png", "text.webp", "wall/b1.png"]
    assert reasons["brick/torn.png"].startswith("not a readable image") and "no image format" in reasons["text.webp"]
    assert reasons["wall/b1.png"] == "the same as brick/b1.png"


def test_what_is_kept_is_the_middle_as_a_square_of_bounded_size(tmp_path: Path) -> None:
    pixels = np.zeros((800, 1600, 3), np.uint8)
    pixels[:, 400:1200] = (10, 200, 30)
    pixels[:, 400:800, 0] = 90
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "wide.png")
    [name] = own_textures(tmp_path / "images").patterns
    with Image.open(kept_image(name)) as image:
        kept = np.asarray(image)
    assert kept.shape == (SIDE, SIDE, 3)
    assert (kept[..., 1] == 200).all()
    assert (kept[:, : SIDE // 2 - 4, 0] == 90).all() and (kept[:, SIDE // 2 + 4 :, 0] == 10).all()


def test_a_texture_is_found_by_its_id_alone(folder: Path) -> None:
    name = next(iter(own_textures(folder).patterns))
    assert own_paint(name).pattern == "image"
    assert own_paint(name).image == str(kept_image(name))
    for wrong in ("b0-000000000000", "../../x", "b*-*", "checks-1"):
        with pytest.raises(UserError, match="igllm inspect --textures DIR"):
            kept_image(wrong)


def test_an_image_that_changes_has_another_id_and_too_large_a_file_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = own_textures(folder)
    save(folder / "brick" / "b0.png", (1, 2, 3))
    assert len(set(own_textures(folder).patterns) - set(before.patterns)) == 1
    monkeypatch.setattr(module, "MOST_BYTES", 60)
    assert any("more than 60" in refused.reason for refused in own_textures(folder).refused)


def test_textures_alone_make_a_domain_of_the_models_here(folder: Path) -> None:
    name = keep_domain(None, own_textures(folder))
    domain = get_domain(name)
    words = {choice.name: choice.words for choice in domain.statements[0].choices}
    assert words["shape"] == tuple(SHAPES.groups)
    assert words["texture"][0] == OWN and len(words["texture"]) == 8
    patterns = domain.groups["pattern"].of
    assert [patterns[word] for word in sorted(words["texture"])] == ["brick"] * 6 + ["image", OWN]
    [unseen] = dict(domain.split("unseen-textures").combinations[0])["texture"]
    assert patterns[unseen] == "brick"
    assert unseen not in dict(domain.split("known").combinations[0])["texture"]
    for split in ("known", "unseen-textures", "unseen-shapes-free"):
        scene = draw(DatasetSettings(name, split, width=64, height=48), 0).scene
        assert parse_code(write_code(scene, domain), domain) == scene
        assert all((obj["texture"] == unseen) == (split == "unseen-textures") for obj in scene)
    assert keep_domain(None, own_textures(folder)) == name
    save(folder / "more.png", (0, 0, 99))
    assert keep_domain(None, own_textures(folder)) != name


def test_a_folder_of_few_images_holds_none_out(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", (1, 2, 3))
    assert "unseen-textures" not in get_domain(keep_domain(None, own_textures(tmp_path / "images"))).splits


def test_inspect_shows_them_and_names_the_domain(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert igllm.main(["inspect", "--textures", str(folder)]) == 0
    output = capsys.readouterr().out
    found = json.loads(Path("inspect", "asset-list.json").read_text())
    assert "textures: 7; patterns: 2" in output and f"domain: {found['domain']}" in output
    assert "left out: text.webp: " in output
    assert [row["pattern"] for row in found["textures"]] == ["brick"] * 6 + ["image"]
    with Image.open(Path("inspect", "texture-sheet.png")) as sheet:
        assert sheet.getpixel((20, 20)) == (200, 0, 0)
    assert keep_domain(None, own_textures(folder)) == found["domain"]


def test_bad_folders_are_one_message(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    frame = ("--num", "1", "--out", str(tmp_path / "data"))
    for arguments, message in (
        (["inspect", "--textures", str(folder), "--out", str(folder / "sheet")], "lies in the folder of textures"),
        (["inspect", "--textures", str(tmp_path / "bad"), "--out", str(tmp_path / "out")], "none of its 1 images can be used:\n  a.png: "),
        (["inspect", "--textures", str(tmp_path / "none"), "--out", str(tmp_path / "out")], "no such folder of image files"),
        (["inspect", "--textures", str(tmp_path / "empty"), "--out", str(tmp_path / "out")], "no image file is in it; known are .bmp"),
        (["inspect", "--assets", "--textures", str(folder)], "--textures goes with --assets DIR, or alone"),
        (["generate", "--textures", str(folder), *frame], "--textures goes with --domain assets"),
        (["generate", "--domain", "assets", "--textures", str(tmp_path / "bad"), *frame], "none of the images can be used"),
    ):
        assert igllm.main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
    assert not (tmp_path / "data").exists()


def test_a_copy_that_is_damaged_is_made_anew(folder: Path) -> None:
    name = next(iter(own_textures(folder).patterns))
    kept = kept_image(name)
    whole = kept.read_bytes()
    for damage in (b"", b"spoilt", whole[: len(whole) // 2]):
        kept.write_bytes(damage)
        own_textures(folder)
        assert kept_image(name).read_bytes() == whole
