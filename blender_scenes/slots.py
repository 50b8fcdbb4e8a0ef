"""Joins the pieces of a model into one mesh whose materials are colour slots, no more than an asset may have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datagen.assets.limits import MOST_SLOTS
from datagen.assets.mesh import Mesh
from datagen.assets.model import GREY, Levels

Key = tuple[str | None, str | None]
"""The names of a material and, where vertex colours show, of the mesh that has them."""


@dataclass(frozen=True)
class Part:
    """The part of one object that has one material: its key, and its mean linear colour (3,), None if unknown."""

    key: Key
    color: np.ndarray | None


@dataclass(frozen=True)
class Piece:
    """One object in world coordinates: its ``vertices`` (V, 3) float64, its ``triangles`` (T, 3), whether each is ``smooth``, (T,) bool,
    the index of each one's part, ``part_of`` (T,), and how far rounding to 32 bits can have moved vertices, ``rounded``."""

    vertices: np.ndarray
    triangles: np.ndarray
    smooth: np.ndarray
    parts: tuple[Part, ...]
    part_of: np.ndarray
    rounded: float


def joined(pieces: Sequence[Piece], notes: list[str]) -> tuple[Mesh, list[Levels]]:
    """All pieces as one mesh, and the colours of its slots, the largest areas first: a scene repaints slot 0.

    If there are more materials than an asset may have slots, a line is added to ``notes``.
    """
    starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces[:-1])])
    vertices = np.concatenate([piece.vertices for piece in pieces])
    triangles = np.concatenate([piece.triangles + start for piece, start in zip(pieces, starts, strict=True)])
    slots, colors = _slots(pieces, areas_of(vertices, triangles), notes)
    return Mesh(vertices, triangles, slots, np.concatenate([piece.smooth for piece in pieces])), colors


def without_unused(mesh: Mesh, colors: list[Levels]) -> tuple[Mesh, list[Levels]]:
    """The mesh and its colours without slots that no triangle has."""
    used = np.unique(mesh.slots)
    return Mesh(mesh.vertices, mesh.triangles, np.searchsorted(used, mesh.slots), mesh.smooth), [colors[slot] for slot in used]


def areas_of(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The areas (T,) of triangles."""
    a, b, c = np.moveaxis(vertices[triangles], 1, 0)
    area: np.ndarray = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return area


def _slots(pieces: Sequence[Piece], areas: np.ndarray, notes: list[str]) -> tuple[np.ndarray, list[Levels]]:
    """The slot of each triangle, (T,), and the slots' colours."""
    place_of: dict[Key, int] = {}
    colored: defaultdict[int, list[tuple[np.ndarray, float]]] = defaultdict(list)
    slots = []
    start = 0
    for piece in pieces:
        places = np.array([place_of.setdefault(part.key, len(place_of)) for part in piece.parts])
        sizes = np.bincount(piece.part_of, areas[start : start + len(piece.triangles)], len(piece.parts))
        start += len(piece.triangles)
        for place, part, size in zip(places.tolist(), piece.parts, sizes.tolist(), strict=True):
            if part.color is not None:
                colored[place].append((part.color, size))
        slots.append(places[piece.part_of])
    colors = np.array([_mean(colored[place]) for place in range(len(place_of))])
    return _largest(np.concatenate(slots), areas, colors, notes)


def _mean(parts: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    """The mean (3,) of colours weighted by their areas; grey if there are none."""
    if not parts:
        return np.array(GREY) / 255
    colors, areas = zip(*parts, strict=True)
    return np.average(colors, axis=0, weights=np.maximum(areas, 1e-30))


def _largest(slots: np.ndarray, areas: np.ndarray, colors: np.ndarray, notes: list[str]) -> tuple[np.ndarray, list[Levels]]:
    """Slots ordered by area, as many as an asset may have, and their colours; the smaller ones join the slot of the nearest colour."""
    order = np.argsort(-np.bincount(slots, areas, len(colors)), kind="stable")
    place = np.empty(len(colors), int)
    place[order] = np.arange(len(order))
    kept = colors[order[:MOST_SLOTS]]
    for slot in order[MOST_SLOTS:]:
        place[slot] = np.abs(kept - colors[slot]).sum(1).argmin()
    if len(colors) > MOST_SLOTS:
        notes.append(f"it has {len(colors)} materials, more than {MOST_SLOTS}: the smallest take the most similar of the others' colours")
    return place[slots], [_levels(color) for color in kept]


def _levels(linear: np.ndarray) -> Levels:
    red, green, blue = np.round(255 * np.clip(np.nan_to_num(linear), 0, 1)).astype(int).tolist()
    return red, green, blue
