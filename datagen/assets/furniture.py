"""Chairs, tables and sofas. A person sitting on one looks along +X."""

from __future__ import annotations

import numpy as np

from datagen.assets.mesh import Mesh, joined
from datagen.assets.model import CREAM, DARK, GREY, PAINTS, WOODS, Model, pick
from datagen.assets.modelling import both_sides, box, curve, disc, flat_ring, lofted, outline, oval, revolved, rod, rounded, spread, tube
from datagen.geometry.rotations import NO_SYMMETRY, Symmetry
from datagen.rng import Stream


def chair(rng: Stream) -> Model:
    """A chair with a back of slats, of a board or of spindles, with or without arms and a cushion."""
    wide, deep, seat = rng.uniform(0.44, 0.54), rng.uniform(0.44, 0.52), rng.uniform(0.42, 0.48)
    back, lean = seat + rng.uniform(0.42, 0.6), rng.uniform(0.02, 0.1)
    leg = rng.uniform(0.018, 0.028)
    x, y = deep / 2 - 0.04, wide / 2 - 0.04
    splay = rng.uniform(0.0, 0.05)
    slab = box(deep, wide, 0.045, 0.015).moved(0, 0, seat - 0.022)
    parts = [slab, both_sides(rod((x, y, seat - 0.02), (x + splay, y + splay, 0), (leg, leg * 0.75)))]
    parts += [both_sides(rod((-x, y, seat - 0.02), (-x - splay, y + splay, 0), (leg, leg * 0.75)))]
    parts += _chair_back(rng, (-x, y), seat, back, lean=lean, leg=leg)
    if rng.random() < 0.35:
        high = seat + rng.uniform(0.2, 0.25)
        side = curve([(-x - lean * 0.4, y, high), (0, y + 0.03, high + 0.01), (x - 0.04, y + 0.02, high)], 8)
        parts += [both_sides(tube(side, leg * 1.1)), both_sides(rod((x - 0.06, y, seat - 0.01), (x - 0.06, y + 0.02, high), leg * 0.8))]
    if rng.random() < 0.5:
        low = seat * 0.4
        parts += [both_sides(rod((x, y, low), (-x, y, low), leg * 0.6, 8)), rod((0, -y, low), (0, y, low), leg * 0.6, 8)]
    if rng.random() < 0.5:
        parts.append(box(deep * 0.9, wide * 0.88, 0.06, 0.028, 3).moved(0.01, 0, seat + 0.025).painted(1))
    return Model(joined(parts), (pick(rng, (*WOODS, *PAINTS[:4])), pick(rng, PAINTS)))


def _chair_back(rng: Stream, corner: tuple[float, float], seat: float, top: float, *, lean: float, leg: float) -> list[Mesh]:
    """Two posts with slats, a board or spindles between them."""
    x, y = corner

    def at_height(z: float) -> float:
        return x - lean * (z - seat) / (top - seat)

    parts = [both_sides(rod((x, y, seat - 0.04), (x - lean, y, top), (leg, leg * 0.8)))]
    kind = pick(rng, ("slats", "board", "spindles"))
    if kind == "slats":
        count = 2 + rng.below(3)
        for z in np.linspace(seat + 0.16, top - 0.06, count).tolist():
            parts.append(box(0.022, 2 * y, 0.07, 0.01).moved(at_height(z), 0, z))
    elif kind == "board":
        low = seat + rng.uniform(0.04, 0.2)
        rings = [flat_ring(outline(0.026, 2 * y, 0.012), z) + np.array([at_height(z), 0, 0]) for z in (low, top - 0.03, top + 0.02)]
        rings[-1] = rings[-1] * (1, 0.9, 1)
        parts.append(lofted(np.stack(rings)))
    else:
        parts.append(box(0.035, 2 * y + 0.06, 0.08, 0.015).moved(at_height(top), 0, top))
        for place in np.linspace(-0.75, 0.75, 4 + rng.below(3)).tolist():
            parts.append(rod((x, place * y, seat - 0.01), (x - lean, place * y, top), 0.011, 8))
    return parts


def table(rng: Stream) -> Model:
    """A table: long, square or round, on four legs or on one foot. Its symmetry is that of its top and its foot together."""
    kind = pick(rng, ("long", "square", "round", "column"))
    high, thick = rng.uniform(0.6, 0.76), rng.uniform(0.035, 0.06)
    size = rng.uniform(0.8, 1.1)
    leg = rng.uniform(0.028, 0.042)
    colors = (pick(rng, (*WOODS, *PAINTS[:3])), pick(rng, (*WOODS, GREY, DARK)))
    if kind in ("long", "square"):
        # A long table is clearly longer than wide, so that only a half turn leaves it unchanged.
        long = size * rng.uniform(1.35, 1.8) if kind == "long" else size
        top = box(long, size, thick, 0.015).moved(0, 0, high - thick / 2)
        legs = _legs(rng, long / 2 - leg * 1.8, size / 2 - leg * 1.8, high - thick, leg)
        apron = _apron(long - 4 * leg, size - 4 * leg, high - thick)
        return Model(joined([top, legs.painted(1), apron.painted(1)]), colors, Symmetry(2 if kind == "long" else 4))
    top = disc(size / 2, thick, 0.016, 56).moved(0, 0, high - thick / 2)
    if kind == "round":
        reach = size / 2 * rng.uniform(0.62, 0.8)
        splay = rng.uniform(1.0, 1.2)
        feet = spread(rod((reach, 0, high - thick), (reach * splay, 0, 0), (leg, leg * 0.7)), 3 + rng.below(2))
        count = len(feet) // len(rod((0, 0, 0), (0, 0, 1), 1.0))
        return Model(joined([top, feet.painted(1)]), colors, Symmetry(count))
    column, low = _column(rng, high - thick, leg * 1.3)
    if rng.random() < 0.5:
        foot = revolved(rounded([(0, 0), (size * 0.3, 0), (size * 0.3, 0.03), (leg * 1.3, 0.07), (0, 0.07)], 0.02), 48)
        return Model(joined([top, column.painted(1), foot.painted(1)]), colors, Symmetry(0))
    count = 3 + rng.below(2)
    path = curve([(0, 0, low), (size * 0.16, 0, low * 0.8), (size * 0.34, 0, 0.03)], 10)
    feet = spread(tube(path, np.linspace(leg, leg * 0.6, 10).tolist()), count)
    return Model(joined([top, column.painted(1), feet.painted(1)]), colors, Symmetry(count))


def _legs(rng: Stream, x: float, y: float, top: float, leg: float) -> Mesh:
    """Four legs, round or square, tapering downwards."""
    taper = rng.uniform(0.6, 1.0)
    if rng.random() < 0.5:
        one = rod((x, y, top), (x, y, 0), (leg, leg * taper))
    else:
        rings = [flat_ring(outline(2 * r, 2 * r, 0.2 * r, 2), z) + np.array([x, y, 0]) for r, z in ((leg * taper, 0.0), (leg, top))]
        one = lofted(np.stack(rings))
    pair = both_sides(one)
    return joined([pair, pair.stretched(-1, 1, 1)])


def _apron(long: float, wide: float, top: float) -> Mesh:
    side = both_sides(box(long, 0.022, 0.08, 0.004).moved(0, wide / 2, top - 0.04))
    end = box(0.022, wide, 0.08, 0.004).moved(long / 2, 0, top - 0.04)
    return joined([side, end, end.stretched(-1, 1, 1)])


def _column(rng: Stream, top: float, radius: float) -> tuple[Mesh, float]:
    """A turned column up to `top`, and the height at which feet join it."""
    low = top * 0.22
    knob = rng.uniform(1.2, 1.7)
    profile = [
        (0, low * 0.5),
        (radius, low * 0.5),
        (radius, low),
        (radius * knob, top * 0.4),
        (radius, top * 0.6),
        (radius * 0.9, top - 0.06),
    ]
    return revolved(rounded([*profile, (radius * 2.2, top), (0, top)], 0.03), 40), low


def sofa(rng: Stream) -> Model:
    """A sofa for one to three: a base, a back, arms, a cushion each, and feet."""
    seats = 1 + rng.below(3)
    wide, deep = 0.28 + 0.58 * seats, rng.uniform(0.78, 0.92)
    seat, back = rng.uniform(0.36, 0.42), rng.uniform(0.76, 0.92)
    arm, high = rng.uniform(0.13, 0.2), rng.uniform(0.54, 0.66)
    soft = rng.uniform(0.03, 0.06)
    inner = wide - 2 * arm
    parts = [box(deep - 0.02, wide - 0.04, 0.2, 0.03).moved(0, 0, 0.18)]
    parts.append(_back(back, wide - 0.02, soft, rng.uniform(0.04, 0.12)).moved(-deep / 2 + 0.1))
    if rng.random() < 0.5:
        parts.append(both_sides(box(deep, arm, high - 0.08, soft, 3).moved(0.005, wide / 2 - arm / 2, 0.08 + (high - 0.08) / 2)))
    else:  # a roll along the arm's top
        parts.append(both_sides(box(deep, arm * 0.8, high - 0.14, 0.03).moved(0, wide / 2 - arm / 2, 0.08 + (high - 0.14) / 2)))
        roll = rod((-deep / 2, wide / 2 - arm / 2, high - 0.06), (deep / 2 + 0.01, wide / 2 - arm / 2, high - 0.06), arm * 0.55, 20)
        parts.append(both_sides(roll))
    each = inner / seats
    for i in range(seats):
        y = -inner / 2 + each * (i + 0.5)
        parts.append(box(deep - 0.2, each - 0.012, 0.15, 0.05, 3).moved(0.1, y, seat).painted(1))
        cushion = box(0.16, each - 0.02, back - seat - 0.08, 0.06, 3)
        parts.append(cushion.moved(-deep / 2 + 0.26, y, seat + 0.06 + (back - seat - 0.08) / 2).painted(1))
    foot = rod((deep / 2 - 0.1, wide / 2 - 0.1, 0.1), (deep / 2 - 0.08, wide / 2 - 0.08, 0), (0.03, 0.022))
    parts += [both_sides(foot).painted(2), both_sides(foot.moved(-deep + 0.2)).painted(2)]
    paint = pick(rng, (*PAINTS, CREAM))
    lighter = (min(255, paint[0] + 40), min(255, paint[1] + 40), min(255, paint[2] + 40))
    return Model(joined(parts), (paint, pick(rng, (paint, lighter, lighter)), pick(rng, WOODS)), NO_SYMMETRY)


def _back(high: float, wide: float, soft: float, lean: float) -> Mesh:
    """A padded board that leans backwards."""
    rings = []
    for t in np.linspace(0, 1, 7).tolist():
        thick = 0.2 if t < 0.8 else 0.2 * float(np.sqrt(max(1e-4, 1 - ((t - 0.8) / 0.2) ** 2)))
        cut = 1.0 if t < 0.99 else 0.97
        rings.append(flat_ring(oval(max(thick, 0.05), wide * cut, 8, 32), 0.1 + (high - 0.1) * t) + np.array([-lean * t, 0, 0]))
    return lofted(np.stack(rings))
