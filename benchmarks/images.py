"""The memory and time that decoding an image of each format takes: the basis of the bound on pixels.

    python benchmarks/images.py

prints a table with a row per format: bytes of the file, peak bytes of memory per pixel, and seconds. Each image is decoded in a process of
its own, because a process's peak of memory cannot be reset. Linux only.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from datagen.images.decoding import decode
from datagen.io.bounds import peak_memory

FORMATS = {
    "WEBP": ("RGB", {"lossless": True}),
    "PNG": ("RGB", {}),
    "PNG, 16 bits of grey": ("I;16", {}),
    "JPEG": ("RGB", {}),
    "JPEG, progressive": ("RGB", {"progressive": True}),
    "TIFF, floating point": ("F", {}),
    "TIFF, deflated": ("RGB", {"compression": "tiff_deflate"}),
    "JPEG2000": ("RGBA", {}),
    "AVIF": ("RGBA", {}),
    "GIF": ("P", {}),
    "TGA": ("RGBA", {}),
}
"""The image's mode and the options of saving, by the format's name, with a variant after a comma."""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=6300, help="pixels along each side; 6300 is just below the bound")
    parser.add_argument("--decode", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.decode:
        print(*_decoded(options.decode))
        return 0
    print("| format | bytes of the file | memory a pixel | seconds |\n|---|---|---|---|")
    for name in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "image")
            path.write_bytes(_encoded(name, options.side))
            command = [sys.executable, __file__, "--decode", str(path)]
            grown, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            print(f"| {name} | {path.stat().st_size:,} | {int(grown) / options.side**2:.1f} | {float(seconds):.1f} |", flush=True)
    return 0


def _encoded(name: str, side: int) -> bytes:
    mode, saving = FORMATS[name]
    stream = io.BytesIO()
    image = Image.new(mode, (side, side), "red") if mode in ("RGB", "RGBA") else Image.new(mode, (side, side))
    image.save(stream, name.partition(",")[0], **saving)
    return stream.getvalue()


def _decoded(path: Path) -> tuple[int, float]:
    """By how many bytes the peak of this process's memory grows while it decodes an image, and the seconds that takes."""
    data, before, begin = path.read_bytes(), peak_memory(), time.monotonic()
    decode(data)
    return peak_memory() - before, time.monotonic() - begin


if __name__ == "__main__":
    sys.exit(main())
