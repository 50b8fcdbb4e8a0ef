"""People's own assets: every model file in a folder, opened once by Blender in a process apart, then kept as plain arrays.

What is kept lies in this machine's cache, one ``.npz`` without pickles under the file's digest. A file that is damaged, empty, too large
or that hangs Blender is told with the reason and left out; the others are read all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

import numpy as np

from datagen.assets.folder import Refused, RefusedError, file_id, files_in, first_folder, kept_file, read_each, slug
from datagen.assets.library import Asset
from datagen.assets.limits import MOST_BYTES, MOST_LIST_BYTES, MOST_SLOTS, MOST_TRIANGLES, SECONDS, START_SECONDS
from datagen.assets.mesh import mesh_from
from datagen.cache import cache_folder
from datagen.child import Child, module_command
from datagen.errors import UserError
from datagen.files import write_bytes
from datagen.rotations import NO_SYMMETRY, Symmetry
from datagen.scene import Vec3
from datagen.untrusted import as_name, as_object, as_text, only_keys, read_object

IMPORTER = "blender_scenes.importer"
SUFFIXES = (".blend", ".glb", ".gltf", ".obj", ".ply", ".usd", ".usda", ".usdc", ".usdz")
NOTES = "assets.json"
"""In the folder, if its owner likes: of a file, its class and its symmetry."""
VERSION = 1  # of what is kept


@dataclass(frozen=True)
class OwnAsset:
    """What is known of a file's asset: all but its mesh and colours, of which a folder may hold more than fit into memory.

    ``path`` is within the folder, None for one that is modelled here; ``extent`` the sizes along X, Y and Z, once normalised.
    """

    id: str
    kind: str
    symmetry: Symmetry
    path: str | None
    triangles: int
    slots: int
    extent: Vec3

    @classmethod
    def of(cls, asset: Asset, path: str | None) -> OwnAsset:
        """Of an asset."""
        return cls(asset.id, asset.kind, asset.symmetry, path, len(asset.mesh), len(asset.colors), asset.extent())

    def whole(self) -> Asset:
        """With its mesh, as it is kept on this machine."""
        return replace(kept_asset(self.id), kind=self.kind, symmetry=self.symmetry)


@dataclass(frozen=True)
class OwnAssets:
    """What a folder gave: its assets in the order of their paths, and what is left out."""

    assets: tuple[OwnAsset, ...]
    refused: tuple[Refused, ...]


def own_assets(folder: Path, seconds: float = SECONDS) -> OwnAssets:
    """The assets in a folder and those beneath it. Each new file may take Blender so many seconds.

    A file's class is the first folder beneath `folder` that it is in, or its own name; ``assets.json`` may say otherwise. `UserError` if
    there is no such folder, it holds no model file, its ``assets.json`` is wrong, or Blender does not start.
    """
    files = files_in(folder, SUFFIXES, "model")
    notes = _notes(folder, files)
    with _Importer(seconds) as importer:

        def read(name: str) -> tuple[str, OwnAsset]:
            asset = _asset(folder, name, importer)
            kind, symmetry = notes.get(name, (None, NO_SYMMETRY))
            kind = kind or first_folder(name) or slug(Path(name).stem)
            return asset.id, OwnAsset.of(replace(asset, kind=kind, symmetry=symmetry), name)

        found, _, refused = read_each(files, "assets", read)
    return OwnAssets(tuple(found.values()), refused)


def kept_asset(asset_id: str) -> Asset:
    """The asset of an id that `own_assets` gave on this machine, without its class and symmetry. `UserError` if there is none."""
    path = kept_file(_cache(), ".npz", asset_id)
    if path is None:
        raise UserError(f"there is no asset {asset_id!r} on this machine; read its folder again, as with igllm inspect --assets DIR")
    return _kept(path, asset_id)


def _notes(folder: Path, files: list[str]) -> dict[str, tuple[str | None, Symmetry]]:
    path, known = folder / NOTES, set(files)
    if not path.exists():
        return {}
    notes: dict[str, tuple[str | None, Symmetry]] = {}
    for name, value in read_object(path, MOST_LIST_BYTES).items():
        if name not in known:
            raise UserError(f"{path}: there is no file {name!r} in {folder}")
        entry = as_object(value, str(path), name)
        only_keys(entry, ("class", "symmetry"), str(path), name)
        kind = as_name(entry["class"], str(path), f"{name}: class") if "class" in entry else None
        try:
            symmetry = Symmetry.parse(as_text(entry.get("symmetry", "C1"), str(path), f"{name}: symmetry"))
        except ValueError as error:
            raise UserError(f"{path}: {name}: {error}") from None
        notes[name] = kind, symmetry
    return notes


def _cache() -> Path:
    return cache_folder("assets")


def _asset(folder: Path, name: str, importer: _Importer) -> Asset:
    path = folder / name
    try:
        key = _digest(folder, path)
    except OSError as error:
        raise RefusedError(f"cannot be read ({error.strerror or error})") from None
    asset_id = file_id(path, key)
    kept = _cache() / f"{key}.npz"
    if kept.exists():
        with contextlib.suppress(UserError):  # one that is damaged is made anew
            return _kept(kept, asset_id)
    data = importer.opened(path)
    write_bytes(kept, data)
    try:
        return _kept(kept, asset_id)
    except UserError:
        kept.unlink()
        raise RefusedError("Blender gave something else than triangles") from None


def _kept(path: Path, asset_id: str) -> Asset:
    """The asset in a file of the cache, checked as anything from outside is."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mesh, colors = mesh_from({name: arrays[name] for name in ("vertices", "triangles", "slots", "smooth")}), arrays["colors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged ({error}); delete it and read the folder of assets again") from None
    fits = 0 < len(mesh) <= MOST_TRIANGLES and colors.dtype == np.uint8 and colors.ndim == 2 and colors.shape[1] == 3
    if not fits or not mesh.slots.max() < len(colors) <= MOST_SLOTS or np.abs(mesh.vertices).max() > 1.001:
        raise UserError(f"{path}: holds no asset; delete it and read the folder of assets again")
    levels = tuple((int(r), int(g), int(b)) for r, g, b in colors)
    return Asset(asset_id, "own", mesh, levels)


def _digest(folder: Path, path: Path) -> str:
    """SHA-256 of a model file and of those that it names, which lie in the folder too."""
    sha = hashlib.sha256(f"igllm asset {VERSION} {path.suffix.lower()}".encode())
    for part in (path, *_named(folder, path)):
        size = part.stat().st_size
        if size > MOST_BYTES:
            raise RefusedError(f"{part.name} has {size:,} bytes, more than {MOST_BYTES:,}")
        sha.update(f"\0{size}\0".encode())
        with part.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                sha.update(block)
    return sha.hexdigest()


def _named(folder: Path, path: Path) -> Iterator[Path]:
    """The files that a ``.gltf`` or an ``.obj`` names."""
    suffix = path.suffix.lower()
    if suffix not in (".gltf", ".obj") or path.stat().st_size > MOST_BYTES:
        return
    text = path.read_text(errors="replace")
    names: list[str] = []
    if suffix == ".obj":
        names = [name.strip() for name in re.findall(r"^\s*mtllib[ \t]+(.+)$", text, re.MULTILINE)]
    else:
        with contextlib.suppress(ValueError, RecursionError, TypeError, AttributeError):  # Blender will say what is wrong with it
            content = json.loads(text)
            parts = [*content.get("buffers", ()), *content.get("images", ())]
            names = [part["uri"] for part in parts if isinstance(part.get("uri"), str) and not part["uri"].startswith("data:")]
    for name in names:
        named = (path.parent / (unquote(name) if suffix == ".gltf" else name)).resolve()
        if not named.is_relative_to(folder.resolve()):
            raise RefusedError(f"names the file {name[:80]!r} outside the folder")
        if named.is_file():
            yield named


class _Importer:
    """The process that opens files, started with the first one, and anew after each that it does not survive."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._child: Child | None = None

    def __enter__(self) -> _Importer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def opened(self, path: Path) -> bytes:
        """The ``.npz`` of a file's asset. `RefusedError` for whatever prevents it, `UserError` if Blender does not start."""
        child = self._child or self._start()
        try:
            child.ask({"path": str(path.absolute())})
            answer = child.answer(self._seconds)
            if "error" not in answer:
                return child.read(answer["bytes"])
        except TimeoutError:
            self._stop()
            raise RefusedError(f"Blender did not open it within {self._seconds:g} s") from None
        except EOFError:
            self._stop()
            raise RefusedError("Blender crashed on it") from None
        raise RefusedError(str(answer["error"])[:300])

    def _start(self) -> Child:
        child = self._child = Child(module_command(IMPORTER))
        try:
            child.answer(START_SECONDS)
        except (TimeoutError, EOFError):
            tail = child.tail()
            self._stop()
            raise UserError(f"Blender does not start, which opens the files: {tail}\nRun `igllm doctor` to see what is missing.") from None
        return child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()
