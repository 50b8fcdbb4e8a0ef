"""Scenes of your own split, photographed by your own cameras, and a count of their objects, which shows that they keep to it."""

import sys
from collections import Counter
from pathlib import Path

from datagen.shards.reader import Samples
from igllm import main

here, out = Path(__file__).parent, Path(sys.argv[1] if len(sys.argv) > 1 else "red-cubes-left")
asked = ["--split", here / "split.json", "--cameras", here / "cameras.json"]
frame = ["--width", 160, "--height", 120, "--quality", "draft"]
status = main([str(word) for word in ("generate", "--num", 8, "--seed", 1, "--out", out, *asked, *frame)])
if status:
    sys.exit(status)

met: Counter[str] = Counter()
for sample in Samples(out):
    met.update(f"{obj['size']} {obj['color']} {obj['material']} {obj['shape']}" for obj in sample.scene)
print(*(f"{count} {words}" for words, count in met.most_common()), sep="\n")
sys.exit(main(["inspect", str(out)]))
