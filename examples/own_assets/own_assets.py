"""Scenes of your own models and images: this program writes a model file and an image file, and renders scenes with them."""

import math
import sys
from pathlib import Path

from PIL import Image

from igllm import main

out = Path(sys.argv[1] if len(sys.argv) > 1 else "own")
models, images = out / "models", out / "images"
(models / "roof").mkdir(parents=True)
(images / "bricks").mkdir(parents=True)

# A prism as an .obj; its class is the name of its folder.
ring = [(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in (90, 210, 330)]
corners = [f"v {x:.3f} {y:.3f} {z}" for z in (-1.2, 1.2) for x, y in ring]
faces = ["f 3 2 1", "f 4 5 6", "f 1 2 5 4", "f 2 3 6 5", "f 3 1 4 6"]
(models / "roof" / "prism.obj").write_text("\n".join(corners + faces))

# Bricks as an image, a texture; the name of its folder is that of its pattern.
bricks = Image.new("RGB", (64, 64), (150, 60, 40))
for row in range(4):
    bricks.paste((210, 205, 195), (0, 16 * row, 64, 16 * row + 3))
    for column in range(2):
        left = 32 * column + 16 * (row % 2)
        bricks.paste((210, 205, 195), (left, 16 * row, left + 3, 16 * row + 16))
bricks.save(images / "bricks" / "bricks.png")

own = ["--assets", models, "--textures", images]
frame = ["--width", 160, "--height", 120, "--quality", "draft"]
asked = ["generate", "--domain", "assets", "--num", 4, "--seed", 1, "--out", out / "data", *own, *frame]
sys.exit(main([str(word) for word in asked]) or main(["inspect", str(out / "data")]))
