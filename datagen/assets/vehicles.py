"""Aeroplanes, cars and boats. Their front is +X."""

from __future__ import annotations

import numpy as np

from datagen.assets.mesh import Mesh, joined
from datagen.assets.model import CREAM, DARK, GLASS, GREY, PAINTS, RED, WOODS, Model, pick, two_paints
from datagen.assets.modelling import (
    at,
    ball,
    both_sides,
    box,
    cross_ring,
    curve,
    disc,
    flat_ring,
    lofted,
    outline,
    oval,
    revolved,
    rod,
    spread,
    tube,
    turned,
)
from datagen.rng import Stream

FUSELAGE = (
    (1.0, 0.36, 0.0),
    (0.95, 0.62, 0.0),
    (0.8, 0.86, 0.0),
    (0.5, 1.0, 0.0),
    (0.1, 1.0, 0.0),
    (-0.35, 0.78, 0.07),
    (-0.72, 0.46, 0.15),
)
"""Along a fuselage: x, its thickness as a share of its width and height, and how far it is raised as a share of its height."""


def aeroplane(rng: Stream) -> Model:
    """A toy aeroplane: wings, fin, tailplane, cockpit, engines and wheels, each in several forms."""
    width = rng.uniform(0.28, 0.4)
    height = width * rng.uniform(1.0, 1.2)
    engines = pick(rng, ("nose", "nose", "propellers", "jets"))
    low = rng.uniform(0, 1) < 0.6
    wing_z = -0.22 * height if low else 0.36 * height
    wing_x = rng.uniform(0.08, 0.24)
    span, chord, sweep = rng.uniform(0.8, 1.15), rng.uniform(0.36, 0.5), rng.uniform(0.0, 0.3)
    rise = rng.uniform(0.06, 0.16) if low else rng.uniform(0.0, 0.06)
    wings = both_sides(_wing(span, chord, chord * rng.uniform(0.5, 0.85), sweep, rise).moved(wing_x, 0, wing_z))
    body, accent = two_paints(rng)
    wing_color = pick(rng, (body, accent, CREAM))
    parts = [_fuselage(width, height), wings.painted(1), *_tail(rng, height), *_cockpit(rng, width, height, engines)]
    parts += _engines(rng, engines, (wing_x, wing_z, rise / span), span * rng.uniform(0.36, 0.46), width)
    parts += _undercarriage(rng, height, wing_x)
    return Model(joined(parts), (body, wing_color, accent, GLASS, DARK, GREY))


def _fuselage(width: float, height: float) -> Mesh:
    line = curve([*FUSELAGE, (-1.0, 0.2, 0.22)], 22)
    return lofted(np.stack([cross_ring(oval(width * thick, height * thick, 2.3, 24), x, height * up) for x, thick, up in line.tolist()]))


def _wing(span: float, chord: float, tip: float, sweep: float, rise: float, *, thickness: float = 0.13) -> Mesh:
    """A wing along +Y from its root at the origin, thick in front; its rounded tip is moved back by `sweep` and up by `rise`."""
    angles = np.arange(16) * (2 * np.pi / 16)
    section = np.stack([0.5 * np.cos(angles), thickness / 2 * np.sin(angles) * (1 + 0.55 * np.cos(angles))], axis=1)
    rings = []
    for along, cut in ((0.0, 1.0), (0.5, 1.0), (0.88, 1.0), (0.95, 0.88), (0.985, 0.68), (1.0, 0.35)):
        size = (chord + (tip - chord) * along) * cut
        x, z = section[:, 0] * size - sweep * along, section[:, 1] * (chord + (tip - chord) * along) * cut + rise * along
        rings.append(np.stack([x, np.full(16, span * along), z], axis=1))
    return lofted(np.stack(rings))


def _tail(rng: Stream, height: float) -> list[Mesh]:
    """The fin, and the tailplane at the fin's foot or on its top."""
    tall, chord = rng.uniform(0.36, 0.52), rng.uniform(0.3, 0.38)
    sweep = rng.uniform(0.1, 0.26)
    fin = turned(_wing(tall, chord, chord * 0.62, sweep, 0.0, thickness=0.16), "x", 90).moved(-0.8, 0, 0.2 * height)
    on_top = rng.random() < 0.3
    half, depth = rng.uniform(0.34, 0.46), rng.uniform(0.22, 0.3)
    x, z = (-0.8 - sweep * 0.9, 0.2 * height + tall * 0.93) if on_top else (-0.84, 0.2 * height)
    plane = both_sides(_wing(half, depth, depth * 0.7, rng.uniform(0.04, 0.14), 0.02).moved(x, 0, z))
    return [fin.painted(2), plane.painted(1)]


def _cockpit(rng: Stream, width: float, height: float, engines: str) -> list[Mesh]:
    x = 0.66 if engines == "jets" else rng.uniform(0.22, 0.36)
    long = rng.uniform(0.2, 0.3)
    return [ball(1.0, 24, 12).stretched(long, 0.4 * width, 0.36 * height).moved(x, 0, 0.38 * height).painted(3)]


def _engines(rng: Stream, kind: str, wing: tuple[float, float, float], y: float, width: float) -> list[Mesh]:
    """One propeller in front, one on each wing, or a jet under each wing."""
    blades = 2 + rng.below(3)
    if kind == "nose":
        return [part.moved(1.0) for part in _propeller(rng.uniform(0.28, 0.36), 0.2 * width, blades)]
    x, z, slope = wing
    z += slope * y
    if kind == "propellers":
        pod = turned(revolved([(0.0, -0.34), (0.06, -0.28), (0.085, 0.0), (0.085, 0.2), (0.06, 0.27), (0.0, 0.27)], 20), "y", 90)
        pair = [pod.painted(2), *(part.moved(0.27) for part in _propeller(0.24, 0.05, blades))]
        return [both_sides(part.moved(x + 0.12, y, z)) for part in pair]
    radius = rng.uniform(0.085, 0.11)
    shell = [(0.0, -0.22), (0.6, -0.22), (0.95, -0.05), (1.0, 0.12), (0.94, 0.2), (0.86, 0.2), (0.8, 0.1), (0.0, 0.1)]
    jet = turned(revolved([(r * radius, h) for r, h in shell], 24, (4, 2, 2, 2, 5, 4, 4)), "y", 90)
    strut = box(0.16, 0.03, 0.14, 0.01).painted(2)
    return [both_sides(jet.moved(x + 0.1, y, z - radius - 0.05)), both_sides(strut.moved(x + 0.04, y, z - 0.04))]


def _propeller(radius: float, hub: float, blades: int) -> list[Mesh]:
    """A propeller about X, its hub pointing along +X from the origin."""
    spinner = turned(revolved([(0.0, -0.02), (hub, -0.02), (hub, 0.03), (0.75 * hub, 0.1), (0.35 * hub, 0.15), (0.0, 0.165)], 20), "y", 90)
    blade = lofted(np.stack([np.concatenate([oval(w, 0.02, 2, 10), np.full((10, 1), r)], axis=1) for r, w in _blade(radius)]))
    return [spinner.painted(2), turned(spread(turned(blade, "x", 90), blades), "y", 90).moved(0.04).painted(4)]


def _blade(radius: float) -> list[tuple[float, float]]:
    return [(0.0, 0.03), (0.3 * radius, 0.06), (0.75 * radius, 0.085), (0.95 * radius, 0.06), (radius, 0.025)]


def _undercarriage(rng: Stream, height: float, wing_x: float) -> list[Mesh]:
    """Two wheels beneath the wings and one at the nose or the tail."""
    radius, apart, down = rng.uniform(0.075, 0.1), rng.uniform(0.18, 0.26), -height / 2 - rng.uniform(0.1, 0.16)
    wheel = turned(disc(radius, 0.06, 0.02, 20), "x", 90).painted(4)
    hub = turned(disc(radius * 0.45, 0.07, 0.0, 16), "x", 90).painted(5)
    leg = rod((wing_x, apart * 0.45, -0.3 * height), (wing_x, apart - 0.02, down), 0.018, 8).painted(5)
    parts = [both_sides(joined([wheel, hub]).moved(wing_x, apart, down)), both_sides(leg)]
    x, top = (0.74, -0.3 * height) if rng.random() < 0.6 else (-0.82, 0.12 * height)
    end = down if x > 0 else -0.16 * height
    small = joined([wheel, hub]).stretched(0.7, 0.8, 0.7)
    return [*parts, small.moved(x, 0, end), rod((x, 0, top), (x, 0, end), 0.016, 8).painted(5)]


CABINS = {
    "saloon": ((-0.66, 0.5), (-0.44, 0.12)),
    "hatchback": ((-0.95, 0.5), (-0.78, 0.12)),
    "van": ((-0.96, 0.8), (-0.93, 0.52)),
    "pick-up": ((-0.12, 0.55), (-0.06, 0.24)),
}
"""By kind of car, the x of the cabin's back and front, at its foot and at the roof."""


def car(rng: Stream) -> Model:
    """A saloon, a hatchback, a van or a pick-up."""
    kind = pick(rng, tuple(CABINS))
    width, wheel = rng.uniform(0.8, 0.92), rng.uniform(0.17, 0.19)
    belt, bonnet = rng.uniform(0.5, 0.55), rng.uniform(0.43, 0.47)
    roof = rng.uniform(0.82, 0.9) + (0.16 if kind == "van" else 0.0)
    paint = pick(rng, PAINTS[:8])
    axles = (rng.uniform(0.58, 0.64), -rng.uniform(0.56, 0.62))
    parts = [_car_body(width, belt, bonnet, kind), *_cabin(kind, width, belt, roof), *_wheels(width, wheel, axles)]
    if kind == "pick-up":
        wall = both_sides(box(0.84, 0.05, 0.14, 0.015).moved(-0.56, width / 2 - 0.05, belt + 0.02))
        parts += [
            wall,
            box(0.05, width - 0.1, 0.14, 0.015).moved(-0.96, 0, belt + 0.02),
            box(0.8, width - 0.16, 0.02).moved(-0.56, 0, belt).painted(2),
        ]
    lamp = ball(1.0, 16, 8).stretched(0.035, 0.085, 0.055).painted(3)
    parts.append(both_sides(lamp.moved(0.985, width * 0.33, bonnet - 0.08)))
    parts.append(both_sides(box(0.04, 0.13, 0.08, 0.012).moved(-0.985, width * 0.34, belt - 0.12).painted(4)))
    parts.append(box(0.03, width * 0.42, 0.08, 0.012).moved(0.995, 0, bonnet - 0.1).painted(2))
    for x in (0.985, -0.985):
        parts.append(box(0.09, width * 0.94, 0.07, 0.03).moved(x, 0, 0.2).painted(5))
    return Model(joined(parts), (paint, GLASS, DARK, (255, 244, 200), RED, GREY))


def _car_body(width: float, belt: float, bonnet: float, kind: str) -> Mesh:
    """The lower body: rounded sections along X, higher behind the windscreen."""
    screen = CABINS[kind][0][1]
    line = [(-1.0, 0.9, 0.86), (-0.97, 0.97, 0.97), (-0.85, 1.0, 1.0), (0.0, 1.0, 1.0), (screen - 0.04, 1.0, 1.0)]
    low = bonnet / belt
    line += [(screen + 0.1, 1.0, 0.3 + 0.7 * low), (0.88, 0.97, low * 0.97), (0.97, 0.92, low * 0.9), (1.0, 0.85, low * 0.8)]
    rings = []
    for x, wide, high in line:
        top, bottom = belt * high, 0.13
        rings.append(cross_ring(outline(width * wide, top - bottom, 0.07, 4), x, (top + bottom) / 2))
    return lofted(np.stack(rings))


def _cabin(kind: str, width: float, belt: float, roof: float) -> list[Mesh]:
    """Glass all around, with a roof and pillars in the car's paint."""
    (back, front), (roof_back, roof_front) = CABINS[kind]
    wide, narrow = width * 0.92, width * 0.78
    foot, top = belt - 0.06, roof - 0.03

    def ring(start: float, end: float, across: float, z: float) -> np.ndarray:
        return flat_ring(outline(end - start, across, 0.08, 4), z) + np.array([(start + end) / 2, 0.0, 0.0])

    glass = lofted(np.stack([ring(back, front, wide, foot), ring(roof_back, roof_front, narrow, top)])).painted(1)
    out = 0.02
    lid = lofted(
        np.stack(
            [
                ring(roof_back - out, roof_front + out, narrow + 2 * out, top - 0.01),
                ring(roof_back - out, roof_front + out, narrow + 2 * out, top + 0.015),
                ring(roof_back + 0.04, roof_front - 0.04, narrow - 0.08, roof + 0.015),
            ]
        )
    )
    middle = (back + front) / 2 - 0.02, (roof_back + roof_front) / 2 - 0.02
    pillars = []
    for x, x_top in ((back + 0.03, roof_back + 0.02), (front - 0.03, roof_front - 0.02), middle):
        pillars.append(both_sides(rod((x, wide / 2 - 0.02, foot), (x_top, narrow / 2 - 0.005, top), 0.026, 8)))
    sheet: list[Mesh] = []
    if kind == "van":  # closed behind the doors
        sheet = [lofted(np.stack([ring(back - 0.01, -0.02, wide + 0.015, foot), ring(roof_back - 0.01, -0.02, narrow + 0.015, top)]))]
    return [glass, lid, *pillars, *sheet]


def _wheels(width: float, radius: float, axles: tuple[float, float]) -> list[Mesh]:
    arch = turned(disc(radius * 1.1, 0.1, 0.0, 32), "x", 90).painted(2)
    tyre = turned(disc(radius, 0.16, 0.035, 32), "x", 90).painted(2)
    hub = turned(disc(radius * 0.58, 0.17, 0.01, 24), "x", 90).painted(5)
    side = width / 2 - 0.05
    places = [(x, y, radius) for x in axles for y in (side, -side)]
    arches = [(x, y, radius) for x in axles for y in (side + 0.004, -side - 0.004)]
    return [at(arch, arches), at(tyre, places), at(hub, places)]


def boat(rng: Stream) -> Model:
    """A sailing boat, or a tug with a wheelhouse and a funnel."""
    beam, depth = rng.uniform(0.5, 0.68), rng.uniform(0.26, 0.36)
    paint, accent = two_paints(rng)
    rise = rng.uniform(0.1, 0.2)
    parts = [_hull(beam, depth, rise), _deck(beam, rise).painted(2), _rail(beam, depth, rise).painted(1)]
    sailing = rng.random() < 0.5
    parts += _rig(rng) if sailing else _wheelhouse(rng, beam)
    return Model(joined(parts), (paint, accent, pick(rng, WOODS[:3]), (236, 232, 222), GLASS, DARK))


HULL = ((-1.0, 0.72, 0.1), (-0.8, 0.86, 0.0), (-0.4, 1.0, 0.0), (0.1, 1.0, 0.03), (0.5, 0.8, 0.22), (0.8, 0.45, 0.6), (0.97, 0.1, 1.0))
"""Along a hull: x, its width as a share of its beam, and how far the deck is raised as a share of its rise."""


def _section(half: float, top: float, bottom: float, full: float = 2.6) -> np.ndarray:
    """Half a superellipse hanging from a flat deck: (N, 2) of y and z."""
    angles = np.linspace(0, np.pi, 19)
    y = half * np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** (2 / full)
    z = top - (top - bottom) * np.abs(np.sin(angles)) ** (2 / full)
    lid = half * np.linspace(-1, 1, 7)[1:-1]
    return np.concatenate([np.stack([y, z], axis=1), np.stack([lid, np.full(5, top)], axis=1)])[::-1]


def _hull(beam: float, depth: float, rise: float) -> Mesh:
    line = curve(HULL, 18)
    rings = [cross_ring(_section(max(beam * w / 2, 0.012), rise * max(up, 0), -depth * min(1, 0.45 + w)), x) for x, w, up in line.tolist()]
    return lofted(np.stack(rings))


def _rail(beam: float, depth: float, rise: float) -> Mesh:
    """A rail around the deck's edge, in the second colour."""
    line = curve(HULL, 18)
    side = np.stack([line[:, 0], np.maximum(beam * line[:, 1] / 2, 0.012), rise * np.maximum(line[:, 2], 0)], axis=1)
    return joined([both_sides(tube(side, 0.028, 8)), rod((-1.0, -side[0, 1], side[0, 2]), (-1.0, side[0, 1], side[0, 2]), 0.028, 8)])


def _deck(beam: float, rise: float) -> Mesh:
    line = curve(HULL, 18)
    rings = [cross_ring(outline(max(beam * w * 0.92, 0.012), 0.02), 0.97 * x, rise * max(up, 0) + 0.006) for x, w, up in line.tolist()]
    return lofted(np.stack(rings))


def _rig(rng: Stream) -> list[Mesh]:
    """A mast with a mainsail behind it and a foresail in front of it, both bellied to one side, and a low cabin."""
    tall, x = rng.uniform(1.3, 1.7), rng.uniform(0.1, 0.2)
    boom = rng.uniform(0.75, 0.95)
    mast = [rod((x, 0, -0.05), (x, 0, tall), (0.03, 0.018), 10), rod((x, 0, 0.24), (x - boom, 0, 0.24), 0.018, 8)]
    belly = rng.uniform(0.06, 0.12)
    main = _sail(np.array([x - 0.03, 0, 0.27]), np.array([x - boom, 0, 0.27]), np.array([x - 0.03, 0, tall * 0.97]), belly)
    fore = _sail(np.array([x + 0.06, 0, 0.3]), np.array([0.93, 0, 0.26]), np.array([x + 0.03, 0, tall * rng.uniform(0.75, 0.9)]), belly)
    cabin = lofted(
        np.stack([cross_ring(outline(0.3 * w, 0.2, 0.06, 3), cx, 0.08) for cx, w in ((-0.35, 0.9), (-0.33, 1.0), (0.3, 0.9), (0.42, 0.6))])
    )
    return [joined(mast).painted(2), main.painted(3), fore.painted(3), cabin.painted(1)]


def _sail(low: np.ndarray, out: np.ndarray, top: np.ndarray, belly: float) -> Mesh:
    """A thin three-cornered cloth between three points, bellied towards +Y."""
    rings, thin = [], np.array([0, 0.008, 0])
    for t in np.linspace(0, 0.985, 9):
        start, end = low + (top - low) * t, out + (top - out) * t
        s = np.linspace(0, 1, 8)[:, None]
        sheet = start + (end - start) * s + np.array([0, 1, 0]) * belly * 4 * s * (1 - s) * (1 - t) * (0.4 + t)
        rings.append(np.concatenate([sheet + thin, sheet[::-1] - thin]))
    return lofted(np.stack(rings))


def _wheelhouse(rng: Stream, beam: float) -> list[Mesh]:
    """A wheelhouse with a roof and windows all around, a funnel behind it, and a hold at the stern."""
    long, wide, tall = rng.uniform(0.42, 0.56), beam * rng.uniform(0.55, 0.65), rng.uniform(0.36, 0.46)
    x = rng.uniform(0.12, 0.22)
    house = box(long, wide, tall, 0.03).moved(x, 0, tall / 2).painted(3)
    panes = [box(long * 0.26, wide + 0.012, tall * 0.3, 0.01).moved(x + dx * long, 0, tall * 0.68) for dx in (-0.28, 0.22)]
    panes.append(box(long + 0.012, wide * 0.72, tall * 0.3, 0.01).moved(x, 0, tall * 0.68))
    roof = box(long * 1.2, wide * 1.15, 0.05, 0.02).moved(x, 0, tall + 0.02).painted(1)
    radius, high = rng.uniform(0.09, 0.13), tall * rng.uniform(1.0, 1.3)
    rings = [(0.0, 0.0), (radius, 0.0), (radius, 0.7 * high), (radius * 1.06, 0.72 * high), (radius * 1.06, 0.92 * high)]
    rings += [(radius, 0.94 * high), (radius, high), (0.8 * radius, high), (0.8 * radius, 0.9 * high), (0.0, 0.9 * high)]
    funnel = revolved(rings, 28, (0, 0, 5, 5, 5, 0, 0, 5, 5)).moved(x - long / 2 - radius - rng.uniform(0.05, 0.12))
    hold = box(0.26, wide * 0.7, 0.1, 0.02).moved(-0.72, 0, 0.05).painted(2)
    return [house, joined(panes).painted(4), roof, funnel, hold]
