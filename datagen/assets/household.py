"""Bottles, lamps, mugs and teapots. Handles point to the back (-X), spouts and lamps' heads to the front (+X)."""

from __future__ import annotations

import numpy as np

from datagen.assets.mesh import Mesh, joined
from datagen.assets.model import CREAM, DARK, GREY, PAINTS, WOODS, Model, pick, two_paints
from datagen.assets.modelling import arc, ball, curve, disc, revolved, rod, rounded, tube, turned
from datagen.geometry.rotations import Symmetry
from datagen.rng import Stream

AXIAL = Symmetry(0)


def bottle(rng: Stream) -> Model:
    """A bottle with a label and a cap, with or without a waist."""
    high, radius = rng.uniform(1.7, 2.1), rng.uniform(0.26, 0.34)
    neck, shoulder = radius * rng.uniform(0.3, 0.42), high * rng.uniform(0.5, 0.62)
    waist = pick(rng, (1.0, 1.0, 0.88))
    foot = [(0.0, 0.03), (radius * 0.7, 0.0), (radius * 0.96, 0.0), (radius, 0.06)]
    label = (shoulder * 0.3, shoulder * 0.75)
    body = [
        (radius, label[0] - 0.03),
        (radius * waist, label[0]),
        (radius * waist, label[1]),
        (radius, label[1] + 0.03),
        (radius, shoulder),
    ]
    top = shoulder + (high - shoulder) * rng.uniform(0.35, 0.55)
    neck_line = [
        (neck, top),
        (neck * 0.95, high - 0.14),
        (neck * 1.2, high - 0.13),
        (neck * 1.2, high - 0.09),
        (neck, high - 0.08),
        (neck, high),
        (0.0, high),
    ]
    line = rounded([*foot, *body, *neck_line[:1], neck_line[1]], 0.12, 4)
    glass = revolved([*line, *neck_line[2:]], 48)
    band = revolved(
        [
            (0.0, label[0] + 0.02),
            (radius * waist + 0.006, label[0] + 0.02),
            (radius * waist + 0.006, label[1] - 0.02),
            (0.0, label[1] - 0.02),
        ],
        48,
    )
    cap = revolved(rounded([(0.0, high - 0.1), (neck * 1.32, high - 0.1), (neck * 1.32, high + 0.03), (0.0, high + 0.03)], 0.02, 2), 40)
    paint, accent = two_paints(rng)
    return Model(joined([glass, band.painted(1), cap.painted(2)]), (paint, CREAM, accent), AXIAL)


def mug(rng: Stream) -> Model:
    """A mug, straight, tapered or bellied, with a handle."""
    high, radius, wall = rng.uniform(0.85, 1.1), rng.uniform(0.36, 0.46), 0.04
    low = radius * pick(rng, (1.0, 0.8, 0.7))
    belly = pick(rng, (0.0, 0.0, 0.12)) * radius

    def wall_at(z: float) -> float:
        return low + (radius - low) * z / high + belly * 4 * (z / high) * (1 - z / high)

    heights = np.linspace(0.05, high, 10).tolist()
    outer = [(0.0, 0.0), (low * 0.9, 0.0), *((wall_at(z), z) for z in heights)]
    inner = [(wall_at(z) - wall, z) for z in heights[::-1] if z > 0.1]
    rim = [(wall_at(high) - wall * 0.25, high + 0.018), (wall_at(high) - wall * 0.75, high + 0.018)]
    line = [*outer, *rim, *inner, (low * 0.8 - wall, 0.06), (0.0, 0.06)]
    slots = [0] * (len(outer) + 1) + [1] * (len(line) - len(outer) - 2)
    cup = revolved(line, 48, slots)
    upper, lower, out = high * rng.uniform(0.76, 0.86), high * rng.uniform(0.16, 0.28), rng.uniform(0.26, 0.34)
    handle = _handle([(wall_at(upper) - 0.02, upper), (wall_at(lower) - 0.02, lower)], out, rng.uniform(0.045, 0.06))
    color = pick(rng, (*PAINTS, CREAM))
    return Model(joined([cup, handle]), (color, pick(rng, (CREAM, CREAM, color))))


def _handle(ends: list[tuple[float, float]], out: float, thick: float) -> Mesh:
    """A handle on the side of -X between two ends (radius, height), the upper one first, that reaches `out` beyond them."""
    (r1, z1), (r2, z2) = ends
    middle = max(r1, r2) + out
    path = [
        (-r1, 0, z1),
        (-r1 - out * 0.6, 0, z1 + 0.01),
        (-middle, 0, (z1 * 0.6 + z2 * 0.4)),
        (-r2 - out * 0.6, 0, z2 + 0.04),
        (-r2, 0, z2),
    ]
    return tube(curve(path, 22), thick, 12)


def lamp(rng: Stream) -> Model:
    """A table lamp with a shade, symmetric under any turn about Z, or a desk lamp with a bent arm."""
    return _table_lamp(rng) if rng.random() < 0.5 else _desk_lamp(rng)


def _table_lamp(rng: Stream) -> Model:
    high, foot = rng.uniform(0.75, 1.1), rng.uniform(0.22, 0.3)
    belly = rng.uniform(0.5, 1.0) * foot * 0.8
    kind = pick(rng, ("vase", "stick"))
    if kind == "vase":
        profile = [
            (0, 0),
            (foot * 0.8, 0),
            (foot * 0.8, 0.04),
            (belly * 0.55, 0.08),
            (belly, high * 0.4),
            (belly * 0.45, high * 0.72),
            (0.04, high * 0.8),
        ]
    else:
        profile = [(0, 0), (foot, 0), (foot, 0.05), (0.05, 0.09), (0.035, high * 0.5), (0.035, high * 0.8)]
    stand = revolved(rounded([*profile, (0.03, high + 0.1), (0, high + 0.1)], 0.1, 4), 40)
    wide, narrow, tall = rng.uniform(0.42, 0.55), rng.uniform(0.2, 0.4), rng.uniform(0.42, 0.55)
    narrow = min(narrow, wide - 0.06)
    shade = _shade(wide, narrow, tall).moved(0, 0, high - tall * 0.35)
    bulb = ball(0.09, 20, 10).moved(0, 0, high + 0.12)
    colors = (pick(rng, (*PAINTS, CREAM)), pick(rng, (*WOODS, GREY, DARK, *PAINTS[:3])), (255, 240, 190))
    return Model(joined([shade, stand.painted(1), bulb.painted(2)]), colors, AXIAL)


def _shade(wide: float, narrow: float, tall: float, wall: float = 0.015) -> Mesh:
    """A shell, `wide` below and `narrow` above, open at the bottom and nearly closed at the top."""
    line = [
        (narrow - wall, tall),
        (narrow, tall),
        (wide, 0.0),
        (wide - wall, 0.0),
        (narrow - wall, tall - wall),
        (0.03, tall - wall),
        (0.03, tall),
    ]
    rings = np.array([*line, line[0]][::-1])
    return revolved([(float(r), float(z)) for r, z in rings], 48)


def _desk_lamp(rng: Stream) -> Model:
    foot, lower, upper = rng.uniform(0.26, 0.34), rng.uniform(0.6, 0.8), rng.uniform(0.5, 0.7)
    back, ahead = np.radians(rng.uniform(10, 30)), np.radians(rng.uniform(50, 70))
    elbow = np.array([-lower * np.sin(back), 0, 0.06 + lower * np.cos(back)])
    head = elbow + upper * np.array([np.sin(ahead), 0, np.cos(ahead)])
    thick = rng.uniform(0.022, 0.032)
    base = disc(foot, 0.07, 0.025, 40).moved(0, 0, 0.035)
    arms = [rod((0, 0, 0.05), tuple(elbow), thick), rod(tuple(elbow), tuple(head), thick), ball(thick * 2, 16, 8).moved(*elbow)]
    wide, tall = rng.uniform(0.2, 0.28), rng.uniform(0.28, 0.36)
    line = [(0, tall), (0.07, tall), (0.09, tall * 0.78), (wide, 0.0), (wide - 0.02, 0.0), (0.07, tall * 0.72), (0, tall * 0.72)]
    cone = revolved([*line][::-1], 40)
    bulb = ball(0.08, 16, 8).moved(0, 0, 0.08)
    nod = -rng.uniform(25, 50)  # the head points down and ahead
    hat, glow = (turned(part.moved(0, 0, -tall * 0.9), "y", nod).moved(*head) for part in (cone, bulb))
    paint = pick(rng, PAINTS)
    return Model(joined([base, hat, joined(arms).painted(1), glow.painted(2)]), (paint, pick(rng, (GREY, DARK, paint)), (255, 240, 190)))


def teapot(rng: Stream) -> Model:
    """A teapot: a round body, a lid with a knob, a spout in front and a handle behind."""
    radius, high = rng.uniform(0.48, 0.58), rng.uniform(0.62, 0.85)
    foot, mouth = radius * rng.uniform(0.5, 0.65), radius * rng.uniform(0.45, 0.6)
    fat = rng.uniform(0.4, 0.55)
    line = curve(
        [(foot, 0, 0.03), (radius * 0.95, 0, high * fat * 0.6), (radius, 0, high * fat), (radius * 0.85, 0, high * 0.8), (mouth, 0, high)],
        16,
    )
    wall = [(float(r), float(z)) for r, _, z in line]
    body = revolved([(0.0, 0.0), (foot * 0.9, 0.0), *wall, (0.0, high)], 48)
    dome = [(mouth * float(c), high + mouth * 0.4 * float(s)) for c, s in arc(8, 0, 75)]
    lid = revolved([(0.0, high - 0.01), (mouth * 1.06, high - 0.01), (mouth * 1.06, high + 0.02), *dome, (0.0, high + mouth * 0.4)], 40)
    knob = ball(rng.uniform(0.06, 0.09), 20, 10).moved(0, 0, high + mouth * 0.4 + 0.05)
    root, lip = high * rng.uniform(0.32, 0.42), high * rng.uniform(0.9, 1.05)
    reach = rng.uniform(0.36, 0.5)
    bends = [
        (radius * 0.72, 0, root),
        (radius + reach * 0.3, 0, root + 0.3 * (lip - root)),
        (radius + reach * 0.6, 0, root + 0.72 * (lip - root)),
    ]
    path = curve([*bends, (radius + reach, 0, lip)], 14)
    spout = tube(path, [0.05 + 0.1 * float(t) ** 1.6 for t in np.linspace(1, 0, 14)], 16)
    handle = _handle([(radius * 0.82, high * 0.82), (radius * 0.85, high * 0.25)], rng.uniform(0.22, 0.32), rng.uniform(0.04, 0.055))
    paint, accent = two_paints(rng, (*PAINTS, CREAM))
    return Model(joined([body, spout, lid.painted(1), knob.painted(1), handle.painted(1)]), (paint, pick(rng, (paint, accent))))
