"""Domains of people's own model files, found again by their names. `faulty_importer` opens the files instead of Blender."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

import igllm
from datagen.assets.own import own_assets
from datagen.code.grammar import parse_code, write_code
from datagen.domains.own_assets import keep_domain, own_domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings

pytestmark = pytest.mark.usefixtures("importer_stand_in")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five chairs and a lamp in the folder ``chair``, and a damaged file."""
    made = tmp_path / "models"
    (made / "chair").mkdir(parents=True)
    for number in range(6):
        (made / "chair" / f"c{number}.stl").write_text("x" * number)
    (made / "damaged.stl").write_text("-")
    (made / "assets.json").write_text('{"chair/c0.stl": {"class": "lamp", "symmetry": "C2"}}')
    return made


def test_a_folder_makes_a_domain_with_its_classes_and_symmetries(folder: Path) -> None:
    name = keep_domain(own_assets(folder))
    domain = get_domain(name)
    [shape] = [choice for choice in domain.statements[0].choices if choice.name == "shape"]
    assert sorted(domain.groups["class"].of[word] for word in shape.words) == ["chair"] * 5 + ["lamp"]
    [lamp] = [word for word in shape.words if domain.groups["class"].of[word] == "lamp"]
    unseen = dict(domain.split("unseen-shapes").combinations[0])["shape"]
    assert len(unseen) == 1 and lamp not in unseen  # every fifth model of a class is held out
    scene = draw(DatasetSettings(name, width=64, height=48), 0).scene
    assert parse_code(write_code(scene, domain), domain) == scene
    one = scene.objects[0].replaced(shape=lamp, rotation=(0.0, 0.0, 0.0))
    assert domain.rotation_error(one, one.replaced(rotation=(0.0, 0.0, 180.0))) == pytest.approx(0.0, abs=1e-6)


def test_the_name_says_which_models_there_are(folder: Path) -> None:
    name = keep_domain(own_assets(folder))
    assert keep_domain(own_assets(folder)) == name
    assert pickle.loads(pickle.dumps(get_domain(name))) is get_domain(name)
    (folder / "chair" / "c5.stl").write_text("another")
    assert keep_domain(own_assets(folder)) != name
    assert get_domain(name).name == name  # the old name keeps the old models


def test_a_domain_whose_folder_was_never_read_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UserError, match="igllm inspect --assets DIR"):
        get_domain("assets:0123456789ab")
    with pytest.raises(UserError, match="no domain"):
        get_domain("assets:../../etc")


def test_what_is_kept_of_a_domain_is_what_its_name_says_or_refused(folder: Path, tmp_path: Path) -> None:
    name = keep_domain(own_assets(folder))
    [kept] = (tmp_path / "cache").rglob(f"{name.partition(':')[2]}.json")
    whole = kept.read_text()
    for damage in ("{}", whole.replace("lamp", "sofa"), whole[:-5]):
        own_domain.cache_clear()
        kept.write_text(damage)
        with pytest.raises(UserError, match=rf"{kept.name}: "):
            get_domain(name)
    assert keep_domain(own_assets(folder)) == name
    get_domain(name)


def test_inspect_names_the_domain_and_generate_refuses_another(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert igllm.main(["inspect", "--assets", str(folder), "--out", str(tmp_path / "sheet")]) == 0
    name = json.loads((tmp_path / "sheet" / "asset-list.json").read_text())["domain"]
    assert f"domain: {name}" in capsys.readouterr().out
    arguments = ["generate", "--assets", str(folder), "--num", "1", "--out", str(tmp_path / "data")]
    assert igllm.main(arguments) == 2
    assert "--domain assets" in capsys.readouterr().err


def test_generate_renders_them(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = ["--width", "64", "--height", "48", "--quality", "draft", "--workers", "1"]
    out = tmp_path / "data"
    (folder / "other.fbx").write_text("-")
    (folder / "chair" / "c6.obj").write_text("mtllib nowhere.mtl\n")
    assert igllm.main(["generate", "--domain", "assets", "--assets", str(folder), "--num", "2", *frame, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "left out: damaged.stl: no such format" in captured.err
    assert "note: chair/c6.obj: names 'nowhere.mtl', which is not there" in captured.err
    assert "passed over: 1 .fbx; these formats are not read" in captured.err
    name = json.loads((out / "dataset.json").read_text())["domain"]
    assert captured.out.strip().endswith(f"2 samples of the domain {name}")
    assert igllm.main(["verify", str(out)]) == 0
