"""The processor time of casting a frame's rays at five freely turned assets, as labels need it, at 320x240.

python benchmarks/asset_labels.py [--frames 20]
"""

from __future__ import annotations

import argparse
import time

from datagen.assets.library import CLASSES, instance
from datagen.assets.solid import MeshSolid
from datagen.domains.clevr import CAMERA
from datagen.geometry.camera import rays
from datagen.geometry.rotations import random_rotation
from datagen.rng import Stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20)
    options = parser.parse_args()
    grid, rng, kinds = rays(CAMERA, 320, 240), Stream(3), tuple(CLASSES)
    seconds, triangles = 0.0, 0
    for _ in range(options.frames):
        solids = []
        for _ in range(5):
            mesh = instance(f"{kinds[rng.below(len(kinds))]}-{rng.below(20)}").mesh
            solids.append(MeshSolid(mesh, (rng.uniform(-2, 2), rng.uniform(-2, 2), 0.8), 0.8, random_rotation(rng)))
        triangles += sum(len(solid.mesh) for solid in solids)
        start = time.process_time()
        for solid in solids:
            solid.depth(grid)
        seconds += time.process_time() - start
    print(f"{1000 * seconds / options.frames:.1f} ms of a core a frame; {triangles / options.frames:,.0f} triangles")


if __name__ == "__main__":
    main()
