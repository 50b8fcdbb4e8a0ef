"""A scene of your own: spheres in a spiral, written as graphics code and rendered."""

import math
import sys
from pathlib import Path

from datagen.code.constructors import Constructors
from datagen.code.grammar import write_code
from datagen.domains.registry import get_domain
from datagen.scene import Scene
from render.rerender import Standard, render_codes

out = Path(sys.argv[1] if len(sys.argv) > 1 else "spiral")
domain = get_domain("clevr")
clevr = Constructors(domain)
colors = ("red", "brown", "yellow", "green", "cyan", "blue", "purple", "gray")
objects = [clevr.cube(loc=(0, 0, 0.7), color="gray", material="metal", size="large", rotation=15)]
for turn, color in enumerate(colors):
    angle, distance = math.radians(45 * turn), 1.5 + 0.17 * turn
    place = (distance * math.cos(angle), distance * math.sin(angle), 0.35)
    objects.append(clevr.sphere(loc=place, color=color, material="rubber", size="small", rotation=0))

code = write_code(Scene("clevr", tuple(objects)), domain)
rendered = render_codes({"spiral": code}, Standard("clevr", width=320, height=240), out)
print(code, *rendered.warnings, out / "spiral.png", sep="\n")
