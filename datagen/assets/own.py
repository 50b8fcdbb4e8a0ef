"""People's own assets: every model file in a folder, opened once by Blender in a separate process, then cached as plain arrays.

The cache on this machine has one ``.npz`` without pickles for each model, named by the digest of its files. A file that is damaged, empty,
too large or hangs Blender is reported with the reason and left out; the others are read all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from msgspec import UNSET, Struct, UnsetType, field

from datagen.assets.folder import Refused, RefusedError, class_name, file_id, files_in, first_folder, kept_file, read_each, remarks
from datagen.assets.library import Asset, instance, is_instance
from datagen.assets.limits import MOST_LIST_BYTES, MOST_SLOTS, MOST_TRIANGLES, SECONDS
from datagen.assets.mesh import mesh_from
from datagen.assets.model import Levels
from datagen.assets.named import Parts, read_part
from datagen.assets.opening import Importer
from datagen.errors import UserError
from datagen.geometry.rotations import NO_SYMMETRY, Symmetry
from datagen.io.cache import cache_folder
from datagen.io.declared import Digest, FileName, read_declared, to_plain
from datagen.io.files import write_bytes, write_json
from datagen.scene import Vec3

SUFFIXES = (".blend", ".glb", ".gltf", ".obj", ".ply", ".stl", ".usd", ".usda", ".usdc", ".usdz")
OTHERS = (
    *(".3dm", ".3ds", ".3mf", ".abc", ".ac3d", ".bvh", ".c4d", ".collada", ".csm", ".dae", ".dwg", ".dxf", ".e57", ".fbx", ".iges", ".igs"),
    *(".lwo", ".lxo", ".ma", ".max", ".mb", ".md2", ".md3", ".mdl", ".ms3d", ".off", ".pcd", ".skp", ".smd", ".step", ".stp", ".vox"),
    *(".vrm", ".vrml", ".vtk", ".vtp", ".wrl", ".x", ".x3d", ".x3db", ".x3dv", ".xyz"),
)
"""Suffixes of model formats that cannot be read; files with them are counted and reported."""
NOTES = "assets.json"
"""An optional file in the folder, with the classes and symmetries of its files."""
VERSION = 3  # of the cached assets and names
ARRAYS = ("vertices", "triangles", "slots", "smooth", "colors", "notes")
"""The members of an asset's file in the cache."""


class AssetNote(Struct, forbid_unknown_fields=True):
    """The entry of a file in ``assets.json``."""

    kind: FileName | UnsetType = field(default=UNSET, name="class")
    symmetry: str = str(NO_SYMMETRY)


AssetNotes = dict[str, AssetNote]
"""The content of ``assets.json``, by the file's path in the folder."""


class KeptNames(Struct):
    """The cached names of other files in a file, with their SHA-256. ValueError if the two disagree."""

    names: list[str]
    sha256: Digest

    @classmethod
    def of(cls, names: list[str]) -> KeptNames:
        """The names with their SHA-256."""
        return cls(names, _names_digest(names))

    def __post_init__(self) -> None:
        if self.sha256 != _names_digest(self.names):
            raise ValueError("the names are not those that were kept")


def _names_digest(names: list[str]) -> str:
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class OwnAsset:
    """A file's asset without its mesh: all meshes of a folder may not fit into memory.

    ``path`` is within the folder, None for an asset modelled here; ``extent`` the sizes along X, Y and Z, once normalised; ``colors``
    those of its slots; ``notes`` the faults of the file, and what was used instead.
    """

    id: str
    kind: str
    symmetry: Symmetry
    path: str | None
    triangles: int
    colors: tuple[Levels, ...]
    extent: Vec3
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, asset: Asset, path: str | None, notes: tuple[str, ...] = ()) -> OwnAsset:
        """The description of an asset with a mesh."""
        return cls(asset.id, asset.kind, asset.symmetry, path, len(asset.mesh), asset.colors, asset.extent(), notes)

    def whole(self) -> Asset:
        """The asset with its mesh from this machine's cache. `UserError` if it is not there."""
        return replace(kept_asset(self.id), kind=self.kind, symmetry=self.symmetry)


@dataclass(frozen=True)
class OwnAssets:
    """The assets of a folder in the order of their paths, the files left out, and the number of files in other formats, by suffix."""

    assets: tuple[OwnAsset, ...]
    refused: tuple[Refused, ...]
    passed: Mapping[str, int]

    def remarks(self) -> list[str]:
        """Lines to print: notes on the assets, files left out, and files passed over."""
        return remarks([(asset.path or asset.id, note) for asset in self.assets for note in asset.notes], self.refused, self.passed)


@dataclass(frozen=True)
class _Found:
    """An asset, and the notes on its file."""

    asset: Asset
    notes: tuple[str, ...]


def own_assets(folder: Path, seconds: float = SECONDS) -> OwnAssets:
    """The assets in a folder and those beneath it. Blender may take up to ``seconds`` for each new file.

    A file's class is stated in ``assets.json``, or else the first folder beneath `folder` that it is in, or else its own name. `UserError`
    if there is no such folder, it holds no model file or too many, its ``assets.json`` is wrong, or Blender does not start.
    """
    listing = files_in(folder, SUFFIXES, OTHERS, "model")
    stated = _notes(folder, listing.files)
    with Importer(seconds) as importer:

        def read(name: str) -> tuple[str, OwnAsset]:
            found = _opened(folder, name, importer)
            kind, symmetry = stated.get(name, (None, NO_SYMMETRY))
            kind = kind or first_folder(name) or class_name(Path(name).stem)
            return found.asset.id, OwnAsset.of(replace(found.asset, kind=kind, symmetry=symmetry), name, found.notes)

        found, _, refused = read_each(listing.files, "assets", read)
    return OwnAssets(tuple(found.values()), refused, listing.passed)


@lru_cache(maxsize=64)
def find_asset(asset_id: str) -> Asset:
    """The asset of an id. An asset from a file lacks its class and symmetry, which its folder states. `UserError` if there is none."""
    return instance(asset_id) if is_instance(asset_id) else kept_asset(asset_id)


def kept_asset(asset_id: str) -> Asset:
    """The cached asset of an id from `own_assets` on this machine, without its class and symmetry. `UserError` if there is none."""
    path = kept_file(_cache(), ".npz", asset_id)
    if path is None:
        raise UserError(f"there is no asset {asset_id!r} on this machine; read its folder again, as with igllm inspect --assets DIR")
    return _kept(path, asset_id).asset


def _notes(folder: Path, files: list[str]) -> dict[str, tuple[str | None, Symmetry]]:
    path, known = folder / NOTES, set(files)
    if not path.exists():
        return {}
    notes: dict[str, tuple[str | None, Symmetry]] = {}
    for name, note in read_declared(path, AssetNotes, MOST_LIST_BYTES).items():
        if name not in known:
            raise UserError(f"{path}: there is no file {name!r} in {folder}")
        try:
            notes[name] = note.kind or None, Symmetry.parse(note.symmetry)
        except ValueError as error:
            raise UserError(f"{path}: {name}: {error}") from None
    return notes


def _cache() -> Path:
    return cache_folder("assets")


def _opened(folder: Path, name: str, importer: Importer) -> _Found:
    """The asset of a file, from the cache or else opened by Blender and cached. `RefusedError` if it must be left out."""
    parts = Parts.of(folder, name, lambda path: _names(path, importer))
    version = f"igllm asset {VERSION} {Path(name).suffix.lower()}"
    key = parts.digest(version)
    asset_id = file_id(Path(name), key)
    kept = _cache() / f"{key}.npz"
    if kept.exists():
        with contextlib.suppress(UserError):  # a damaged file is made anew
            return _kept(kept, asset_id)
    data = importer.opened(parts)
    if parts.digest(version) != key:
        raise RefusedError("it changed while it was read; read the folder again")
    write_bytes(kept, data)
    try:
        return _kept(kept, asset_id)
    except UserError:
        kept.unlink()
        raise RefusedError("Blender gave something else than triangles") from None


def _names(path: Path, importer: Importer) -> list[str]:
    """The names of other files in a file that only Blender can read, cached by the digest of its content."""
    version = f"igllm names {VERSION} {path.suffix.lower()}\0"
    kept = _cache() / "names" / f"{hashlib.sha256(version.encode() + read_part(path)).hexdigest()}.json"
    with contextlib.suppress(UserError):  # a damaged or missing file is made anew
        return read_declared(kept, KeptNames, MOST_LIST_BYTES).names
    names = importer.names(path)
    write_json(kept, to_plain(KeptNames.of(names)))
    return names


def _kept_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a file of the cache. ValueError, or any error of zipfile and NumPy, if it is damaged or has other members."""
    with zipfile.ZipFile(path) as archive:
        if (torn := archive.testzip()) is not None:  # all bytes are checked: NumPy may not read the last ones
            raise ValueError(f"{torn} is not as it was written")
        names = sorted(name.removesuffix(".npy") for name in archive.namelist())
    if names not in (sorted(ARRAYS), sorted(ARRAYS[:-1])):  # version 1 had no notes
        raise ValueError("it has other members than an asset")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names}


def _kept(path: Path, asset_id: str) -> _Found:
    """The asset in a file of the cache. `UserError` if it is damaged or breaks an asset's limits."""
    try:
        arrays = _kept_arrays(path)
        mesh, colors, notes = mesh_from(arrays), arrays["colors"], arrays.get("notes", np.zeros(0, str))
    except Exception as error:  # NumPy evaluates a damaged header as Python, which may raise anything
        raise UserError(f"{path}: damaged ({error}); delete it and read the folder of assets again") from None
    fits = 0 < len(mesh) <= MOST_TRIANGLES and colors.dtype == np.uint8 and colors.ndim == 2 and colors.shape[1] == 3
    fits = fits and notes.dtype.kind == "U" and notes.ndim == 1
    if not fits or not mesh.slots.max() < len(colors) <= MOST_SLOTS or np.abs(mesh.vertices).max() > 1.001:
        raise UserError(f"{path}: holds no asset; delete it and read the folder of assets again")
    levels = tuple((int(r), int(g), int(b)) for r, g, b in colors)
    return _Found(Asset(asset_id, "own", mesh, levels), tuple(notes.tolist()))
