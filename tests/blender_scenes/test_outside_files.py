"""A model that refers to a file outside its folder, in any way, is left out; files beside it that it refers to are parts of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT, SUPPORT

from datagen.assets.own import own_assets

FILES = SUPPORT / "outside_files.py"
WAYS = ("reference", "payload", "sublayer", "variant", "clips")
PACKAGES = ("package", "capitals", "nested", "deep")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models are in ``models``, the files that they refer to in ``outside``."""
    folder = tmp_path_factory.mktemp("made")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", FILES, folder / "models", folder / "outside"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
    return folder


def test_what_lies_outside_is_refused_with_its_name(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = own_assets(made / "models")
    assert {asset.path for asset in found.assets} == {"cache-here.blend", "node-here.blend", "x.obj"}
    layers = [f"{way}.{suffix}" for way in WAYS for suffix in ("usda", "usdc")] + [f"{name}.usdz" for name in PACKAGES]
    named = dict.fromkeys(layers, "x.usda") | {"cache.blend": "x.pc2", "volume.blend": "x.vdb", "node.blend": "x.obj"}
    expected = {model: f"names the file '{made / 'outside' / name}' outside the folder" for model, name in named.items()}
    for suffix in ("usda", "usdc"):
        expected[f"expression.{suffix}"] = 'names a file by the expression `"${SECRET}"`; write its name instead'
    for mark in ("", "-here"):
        computed = "its node 'Import OBJ' reads a file whose name is worked out by other nodes; apply the modifier"
        expected[f"computed{mark}.blend"] = computed
    expected["volume-here.blend"] = "nothing to see: it has no triangles"  # the volume that it refers to is not there
    assert {refused.path: refused.reason for refused in found.refused} == expected


def test_a_change_of_what_is_named_makes_another_model(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("cache-here.blend", "x.pc2", "node-here.blend", "x.obj"):
        shutil.copy(made / "models" / name, folder)
    before = {asset.path: asset.id for asset in own_assets(folder).assets}
    (folder / "x.obj").write_text((folder / "x.obj").read_text() + "v 2 2 2\nf 1 2 5\n")
    after = {asset.path: asset.id for asset in own_assets(folder).assets}
    assert before.keys() == after.keys() == {"cache-here.blend", "node-here.blend", "x.obj"}
    assert {name for name in before if before[name] != after[name]} == {"node-here.blend", "x.obj"}
