"""People's own files through Blender: every format gives the same model, a bad file gives a reason, and no script in a file runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import SUPPORT

from datagen.assets.limits import MOST_TRIANGLES
from datagen.assets.model import GREY
from datagen.assets.own import OwnAssets, own_assets

FILES = SUPPORT / "model_files.py"
PATIENCE = 120.0  # seconds for one file, enough on a busy machine
GOOD = ("post.blend", "post.glb", "post.obj", "post.ply", "post.usda", "post.usdc", "post.usdz", "post_apart.gltf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-P", FILES, made, made / "sprung.txt"], stdout=subprocess.DEVNULL, check=True)
    return made


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for temporary files of the processes that open models."""
    return tmp_path_factory.mktemp("passing")


@pytest.fixture(scope="module")
def found(folder: Path, passing: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnAssets]:
    with pytest.MonkeyPatch.context() as context:
        context.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        context.setenv("TMPDIR", str(passing))
        yield own_assets(folder, PATIENCE)


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_same_model(found: OwnAssets, name: str) -> None:
    [asset] = [a.whole() for a in found.assets if a.path == f"post/{name}"]
    assert asset.kind == "post"
    mesh = asset.mesh
    assert len(mesh) == 36
    size = mesh.bounds()[1] * 2
    # The arm along Blender's -Y now points along +X; up stays up.
    np.testing.assert_allclose(size / size[2], [1.8 / 3.2, 0.4 / 3.2, 1.0], atol=1e-4)
    centres = mesh.corners().mean(1)
    front = centres[centres[:, 0] > 0.1]
    assert len(front) and (front[:, 2] > 0.2).all()
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1, abs=3e-6)
    assert mesh.volume() == pytest.approx((0.4 * 0.4 * 3 + 0.2 * 0.2 * 1.4 + 0.1 * 0.1 * 0.2) * (size[2] / 3.2) ** 3, rel=1e-3)
    if not name.endswith(".ply"):  # which has no materials
        assert len(asset.colors) == (2 if name.endswith(".obj") else 3)  # in an .obj, faces without a material get the last one
        red, blue = np.array(asset.colors[:2]) / 255
        np.testing.assert_allclose(red, [0.8, 0.05, 0.05], atol=0.01)
        np.testing.assert_allclose(blue, [0.05, 0.05, 0.8], atol=0.01)


RED = ((200 / 255 + 0.055) / 1.055) ** 2.4
"""The red of worn.png as linear light."""
WORN = {
    "image.blend": (RED, 0, 0),
    "packed.blend": (RED, 0, 0),
    "mixed.blend": (RED / 4, 0, 0.5),
    "group.blend": (0, 1, 1),
    "shaders.blend": (0.25, 0, 0.75),
    "light.blend": (0, 1, 0.5),
    "linked.blend": (RED, 0, 0),
    "image.usda": (RED, 0, 0),
    "image.usdc": (RED, 0, 0),
    "image.usdz": (RED, 0, 0),
}


@pytest.mark.parametrize("name", WORN)
def test_a_surface_has_the_colour_that_its_nodes_give(found: OwnAssets, name: str) -> None:
    [asset] = [asset for asset in found.assets if asset.path == f"worn/{name}"]
    np.testing.assert_allclose(np.array(asset.colors) / 255, [WORN[name]], atol=1.5 / 255)
    assert not asset.notes


def test_a_surface_that_is_not_understood_is_grey_and_told(found: OwnAssets) -> None:
    shown = {asset.path: (asset.colors, asset.notes) for asset in found.assets}
    assert shown["worn/noise.blend"] == (
        (GREY,),
        ("the colour of the material 'm' is not understood (the node 'Noise Texture'): grey is taken",),
    )
    assert shown["worn/nothing.blend"] == ((GREY,), ("the material 'm' has no surface: grey is taken",))


def test_what_only_blender_can_read_names_files_too(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models = tmp_path / "models"
    shutil.copytree(folder / "worn", models)
    (models / "deep").mkdir()
    (models / "deep" / "layer.usda").write_text('#usda 1.0\n(\n    subLayers = [@../image.usdc@]\n    upAxis = "Z"\n)\n')
    before = {asset.path: (asset.id, asset.colors) for asset in own_assets(models, PATIENCE).assets}
    for image in (models / "images" / "worn.png", models / "textures" / "worn.png"):
        Image.new("RGB", (4, 4), (0, 0, 255)).save(image)
    after = {asset.path: (asset.id, asset.colors) for asset in own_assets(models, PATIENCE).assets}
    wearing = {"image.blend", "linked.blend", "image.usda", "image.usdc", "deep/layer.usda"}
    for path in wearing:
        assert before[path][1] == ((147, 0, 0),) and after[path][1] == ((0, 0, 255),)
    assert {path for path in before if before[path][0] != after[path][0]} == {*wearing, "mixed.blend"}
    # The same files without images, and with a layer outside.
    for path in wearing:
        (tmp_path / "alone" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(models / path, tmp_path / "alone" / path)
    reasons = {refused.path: refused.reason for refused in own_assets(tmp_path / "alone" / "deep", PATIENCE).refused}
    assert reasons == {"layer.usda": "names the file '../image.usdc' outside the folder"}
    alone = own_assets(tmp_path / "alone", PATIENCE)
    assert {asset.path for asset in alone.assets} == wearing and not alone.refused
    assert all("worn.png', which is not there" in note for asset in alone.assets for note in asset.notes)


def test_bad_files_are_told_with_the_reason(found: OwnAssets) -> None:
    reasons = {refused.path: refused.reason for refused in found.refused}
    assert f"{MOST_TRIANGLES:,} triangles" in reasons.pop("many/many.blend")
    for name in ("none/camera.blend", "none/empty.obj", "none/point.obj"):
        assert "nothing to see" in reasons.pop(name), name
    assert sorted(reasons) == sorted(
        [f"broken/text.{s}" for s in ("glb", "gltf", "ply", "usdc", "usdz", "blend", "obj")]
        + [f"broken/half.{s}" for s in ("glb", "ply", "usdc", "blend")]
        + ["broken/zero.glb"]
    )
    assert all(0 < len(reason) <= 300 and "\n" not in reason for reason in reasons.values())


def test_no_script_in_a_file_runs(found: OwnAssets, folder: Path) -> None:
    assert {"trap/text.blend", "trap/driver.blend"} <= {asset.path for asset in found.assets}
    assert not (folder / "sprung.txt").exists()


def test_nothing_is_left_in_the_folder_for_passing_files(found: OwnAssets, passing: Path) -> None:
    assert found.assets
    assert not list(passing.iterdir())
