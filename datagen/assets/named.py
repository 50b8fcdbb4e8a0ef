"""The files that a model is made of: its own, those that it names, and those that they name in turn.

A model's digest covers all of them, and Blender gets copies of these files alone, so that a cached asset cannot depend on other files. All
of them must be in the user's folder: a model that names a file outside is left out.
"""

from __future__ import annotations

import errno
import hashlib
import os
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datagen.assets.folder import RefusedError, check_inside
from datagen.assets.gltf import gltf_names, gltf_read
from datagen.assets.limits import MOST_BYTES, MOST_NAMED
from datagen.assets.obj import There, color_notes, missing_faces, mtl_names, mtl_notes, mtl_read, obj_names, obj_read, undefined_materials
from datagen.assets.ply import ply_notes, ply_read
from datagen.assets.stl import stl_notes, stl_read
from datagen.io.files import read_regular, unreadable
from datagen.screen import printable

ASKED = (".blend", ".usd", ".usda", ".usdc", ".usdz")
"""Formats of which only Blender can read the names of other files."""

Ask = Callable[[Path], list[str]]
"""The names in a file of these formats, relative to its folder. `RefusedError` if it cannot be opened."""


@dataclass(frozen=True)
class Parts:
    """The files that a model is made of, as paths within a folder, its own first, and the names of missing files."""

    folder: Path
    files: tuple[str, ...]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path, name: str, ask: Ask) -> Parts:
        """The files of a model. `RefusedError` if one is outside the folder, unreadable or too large, or if there are too many."""
        check_inside(folder, name)
        files, missing = [name], []
        for at in files:  # the list grows within the loop
            for named in _names(folder, at, ask):
                found = _found(folder, at, named)
                if found is None:
                    missing.append(named)
                elif found not in files:
                    files.append(found)
                if len(files) + len(missing) > 2 * MOST_NAMED or len(files) > MOST_NAMED:
                    raise RefusedError(f"names more than {MOST_NAMED} files")
        return cls(folder, tuple(files), tuple(dict.fromkeys(missing)))

    def digest(self, version: str) -> str:
        """SHA-256 of all files' contents and relative paths, the missing names, and ``version``, that of the cached result."""
        sha = hashlib.sha256(version.encode())
        home = os.path.dirname(self.files[0])
        for number, name in enumerate(self.files):
            data = read_part(self.folder / name)
            place = os.path.relpath(name, home or ".") if number else ""
            sha.update(b"\0".join([b"", os.fsencode(place), f"{len(data)}".encode(), data]))
        for name in self.missing:
            sha.update(b"\0missing\0" + name.encode("utf-8", "surrogatepass"))
        return sha.hexdigest()

    def copy(self, to: Path) -> Path:
        """Copy all files into a folder, and correct coordinates and names that Blender would misread; returns the copy of the model's own.

        `RefusedError` for a file that cannot be read, is damaged, in UTF-16 or too large, or has coordinates that are not finite.
        """
        places = [self._place(to, Path(name)) for name in self.files]
        for name, place in zip(self.files, places, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self._mended(name))
        return places[0]

    def notes(self) -> list[str]:
        """Notes on missing files, and on colours, materials and faces that cannot be read."""
        notes = [f"names '{printable(name[:120])}', which is not there" for name in self.missing]
        own, suffix = self.folder / self.files[0], Path(self.files[0]).suffix.lower()
        if suffix == ".ply":
            notes += ply_notes(read_part(own))
        if suffix == ".stl":
            notes += stl_notes(read_part(own))
        return notes + self._obj_notes() if suffix == ".obj" else notes

    def _obj_notes(self) -> list[str]:
        text, *libraries = (_text(self.folder / name) for name in self.files if name.lower().endswith((".obj", ".mtl")))
        notes = [note for library in libraries for note in mtl_notes(library)]
        undefined = (printable(name[:80]) for name in undefined_materials(text, libraries))
        notes += color_notes(text)
        notes += [f"uses the material '{name}', which nothing defines: grey is taken" for name in undefined]
        if count := missing_faces(text):
            notes.append(f"{count:,} of its faces name vertices that are not there, and are left out")
        return notes

    def _place(self, to: Path, path: Path) -> Path:
        """The path of a file's copy. Blender gets the path of the model's own file, which must therefore be valid Unicode."""
        own = Path(self.files[0])
        if path == own:
            return to.joinpath(*map(printable, own.parent.parts), printable(own.stem) + own.suffix.lower())
        return to.joinpath(*(printable(part) if part in own.parent.parts else part for part in path.parts))

    def _mended(self, name: str) -> bytes:
        data, suffix = read_part(self.folder / name), Path(name).suffix.lower()
        if suffix == ".obj":
            return obj_read(_as_utf8(data, name), _there(self.folder, name))
        if suffix == ".mtl":
            return mtl_read(_as_utf8(data, name))
        if suffix in (".gltf", ".glb"):
            return gltf_read(data, lambda named: self._named(name, named))
        if suffix == ".stl":
            _check_utf8(data, name)
        mend = {".ply": ply_read, ".stl": stl_read}.get(suffix)
        return data if mend is None else mend(data)

    def _named(self, at: str, name: str) -> bytes:
        """The content of the file `name` that the file `at` names; empty if there is none."""
        found = _found(self.folder, at, name)
        return b"" if found is None else read_part(self.folder / found)


def read_part(path: Path) -> bytes:
    """The content of a file. `RefusedError` if it is too large, or cannot be read."""
    try:
        return read_regular(path, MOST_BYTES)
    except OSError as error:
        raise RefusedError(f"{printable(path.name)} {unreadable(error)}") from None


def _names(folder: Path, at: str, ask: Ask) -> list[str]:
    """The names of other files in a file, relative to its folder."""
    path, suffix = folder / at, Path(at).suffix.lower()
    if suffix == ".obj":
        return obj_names(_text(path), path.stem, _there(folder, at))
    if suffix == ".mtl":
        return mtl_names(_text(path), _there(folder, at))
    if suffix in (".gltf", ".glb"):
        return gltf_names(read_part(path))
    return ask(path) if suffix in ASKED else []


def _there(folder: Path, at: str) -> There:
    return lambda name: _found(folder, at, name) is not None


def _found(folder: Path, at: str, name: str) -> str | None:
    """The path within `folder` of the file `name` that the file `at` names; None if there is none. `RefusedError` for a file outside, a URL
    or an impossible name."""
    shown = printable(name[:80])
    if name.lower().startswith("file:"):
        raise RefusedError(f"names the file '{shown}' by a URL; name it as it is seen from the folder")
    home = Path(os.path.abspath(folder))
    inside, path = home.resolve(), Path(os.path.normpath((home / at).parent / name))
    try:
        real = path.resolve()
        there = real.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise RefusedError(f"names the file '{shown}', which cannot be looked up ({error.strerror})") from None
        real, there = path, False
    except (RuntimeError, ValueError):  # a circle of links, a NUL
        raise RefusedError(f"names the file '{shown}', which no file can be called") from None
    if not real.is_relative_to(inside) or not (path.is_relative_to(home) or Path(name).is_absolute()):
        raise RefusedError(f"names the file '{shown}' outside the folder")
    if not there:
        return None
    return (path.relative_to(home) if path.is_relative_to(home) else real.relative_to(inside)).as_posix()


def _text(path: Path) -> str:
    return _as_utf8(read_part(path), path.name).decode(errors="surrogateescape")


def _as_utf8(data: bytes, name: str) -> bytes:
    """A text without a byte order mark, with the line ends (LF) that Blender expects. `RefusedError` for a text in UTF-16."""
    _check_utf8(data, name)
    return data.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _check_utf8(data: bytes, name: str) -> None:
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise RefusedError(f"{printable(os.path.basename(name))} is written in UTF-16; save it as UTF-8")
