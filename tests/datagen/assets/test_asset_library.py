"""The modelled classes: the conventions that every instance of every class keeps."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from asset_meshes import open_edges

from datagen.assets.ids import MOST_SEED
from datagen.assets.library import CLASSES, Asset, instance, instance_id, is_instance
from datagen.assets.solid import MeshSolid
from datagen.errors import UserError
from datagen.geometry.camera import rays
from datagen.geometry.rotations import from_euler
from datagen.scene import Camera

SEEDS = range(12)
ALL = [instance(f"{kind}-{seed}") for kind in CLASSES for seed in SEEDS]


@pytest.mark.parametrize("asset", ALL, ids=lambda a: a.id)
def test_an_instance_keeps_to_the_conventions(asset: Asset) -> None:
    mesh = asset.mesh
    assert 300 <= len(mesh) <= 7000
    np.testing.assert_allclose(mesh.bounds().sum(0), 0, atol=3e-6)
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1, abs=3e-6)
    assert open_edges(mesh) == 0
    assert mesh.volume() > 0.02
    assert sorted(set(mesh.slots.tolist()) | {0}) == sorted(set(mesh.slots.tolist()))  # slot 0 is there to be repainted
    assert mesh.slots.max() < len(asset.colors)
    assert all(0 <= level <= 255 for color in asset.colors for level in color)
    lengths = np.linalg.norm(mesh.corner_normals(), axis=2)
    assert (np.isclose(lengths, 1) | (lengths == 0)).all() and (lengths == 0).mean() < 0.01


def silhouette(asset: Asset, rotation: np.ndarray) -> np.ndarray:
    """An asset's depth (96, 96) under a camera beside and above it."""
    grid = rays(Camera((5.0, -4.0, 3.0), lens_mm=90.0), 96, 96)
    return MeshSolid(asset.mesh, (0.0, 0.0, 0.0), 1.0, rotation).depth(grid)


def apart(one: np.ndarray, two: np.ndarray) -> float:
    """Of the pixels that either depth covers, the share where the two differ by more than 0.02."""
    either = np.isfinite(one) | np.isfinite(two)
    with np.errstate(invalid="ignore"):
        same = np.isclose(one, two, atol=0.02)
    return float((~same & either).sum() / either.sum())


@pytest.mark.parametrize("asset", ALL[:: len(SEEDS) // 4], ids=lambda a: a.id)
def test_a_stated_symmetry_is_there_and_no_other(asset: Asset) -> None:
    start = from_euler(np.array([0.0, 0.0, 11.0]))
    seen = silhouette(asset, start)
    for element in asset.symmetry.elements():
        assert apart(seen, silhouette(asset, start @ element)) < 0.04
    if asset.symmetry.fold == 0:
        for degrees in (17.0, 90.0, 200.0):
            assert apart(seen, silhouette(asset, start @ from_euler(np.array([0, 0, degrees])))) < 0.04
    else:
        for fold in (2, 3, 4):
            if asset.symmetry.fold % fold:
                assert apart(seen, silhouette(asset, start @ from_euler(np.array([0, 0, 360.0 / fold])))) > 0.06
    for half_turn in ((180.0, 0, 0), (0, 180.0, 0)):
        assert apart(seen, silhouette(asset, start @ from_euler(np.array(half_turn)))) > 0.1


def test_instances_of_a_class_differ() -> None:
    for kind in CLASSES:
        assert len({instance(f"{kind}-{seed}").mesh.digest() for seed in SEEDS}) == len(SEEDS)


def test_the_same_to_the_bit_in_another_process() -> None:
    ids = [f"{kind}-5" for kind in CLASSES]
    code = (
        "import json, sys; from datagen.assets.library import instance; "
        "print(json.dumps({i: [instance(i).mesh.digest(), instance(i).colors] for i in json.loads(sys.argv[1])}))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, json.dumps(ids[::-1])], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    assert theirs == {i: [instance(i).mesh.digest(), [list(color) for color in instance(i).colors]] for i in ids}


@pytest.mark.parametrize(
    "asset_id", ["aeroplane", "aeroplane-", "aeroplane-01", "aeroplane--1", "rocket-3", "mug-1000000", "Mug-1", " mug-1"]
)
def test_an_id_of_nothing_is_an_error_that_says_what_there_is(asset_id: str) -> None:
    assert not is_instance(asset_id)
    with pytest.raises(UserError, match="aeroplane, boat"):
        instance(asset_id)


def test_ids_are_made_of_class_and_seed() -> None:
    assert instance_id("mug", MOST_SEED) == "mug-999999" and is_instance("mug-999999")
    with pytest.raises(UserError, match="no class"):
        instance_id("rocket", 1)
    with pytest.raises(UserError, match="seed"):
        instance_id("mug", MOST_SEED + 1)
