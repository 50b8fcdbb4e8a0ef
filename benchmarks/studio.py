"""How soon the studio shows what somebody does: code after an image is given, the 3-D view after an edit, Blender's draft after an edit.

    python benchmarks/studio.py [--rounds 10] [--out FOLDER]

A headless Chromium opens `igllm studio`, is given an image, and an object is moved by a key again and again; the page measures itself, from
the event to the frame that shows what came of it. Chromium draws the 3-D view in software here, which a graphics card does faster. With
`--out`, screenshots are written at 1400 and 390 pixels, light and dark.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from datagen.generate import generate
from datagen.samples.settings import DatasetSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from chromium import Browser, browser  # the tests' line to a browser

STANDARD = "document.getElementById('quality').dataset.shown === 'standard'"
MEASURES = {
    "code after an image is given": "drop to code",
    "3-D view after an edit": "edit to view",
    "draft after an edit": "edit to draft",
}
WINDOWS = {"desk": (1400, 900), "phone": (390, 844)}


def work(page: Browser, image: Path, rounds: int) -> None:
    """Give the image so many times, and move an object as often, each time until all is shown."""
    for _ in range(rounds):
        before = page.eval("performance.getEntriesByName('drop to code').length")
        page.choose_file("#file", image)
        page.wait(f"performance.getEntriesByName('drop to code').length > {before}")
        page.wait(STANDARD)
    page.key("v")
    page.key("]")
    for _ in range(rounds):
        before = page.eval("performance.getEntriesByName('edit to draft').length")
        page.key("ArrowRight", "Shift")
        page.wait(f"performance.getEntriesByName('edit to draft').length > {before}")
        page.wait(STANDARD)


def pictures(page: Browser, out: Path) -> None:
    """Screenshots of the page as it is, in both windows, light and dark."""
    out.mkdir(parents=True, exist_ok=True)
    for name, (wide, high) in WINDOWS.items():
        for dark in (False, True):
            page.resize(wide, high, dark)
            time.sleep(1)
            page.picture(out / f"{name}-{'dark' if dark else 'light'}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        sample = generate(DatasetSettings(seed=3, quality="standard", min_objects=5, max_objects=5), 1, data).at(0)
        image = Path(folder, "image.png")
        image.write_bytes(sample.image)
        words = [sys.executable, "-P", "-m", "igllm", "studio", "--port", "0", "--data", str(data)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as studio:
            try:
                assert studio.stderr is not None
                found = re.search(r"http://\S+", studio.stderr.readline())
                assert found
                with browser() as page:
                    page.open(found[0])
                    page.wait("document.getElementById('ready').textContent === 'model tiny'")
                    work(page, image, options.rounds)
                    for name, measure in MEASURES.items():
                        entries = page.eval(f"performance.getEntriesByName('{measure}').map((one) => one.duration / 1000)")[
                            -options.rounds :
                        ]
                        print(f"{name}: median {median(entries):.2f} s, {min(entries):.2f} to {max(entries):.2f}, of {len(entries)}")
                    if options.out:
                        pictures(page, options.out)
            finally:
                studio.terminate()


if __name__ == "__main__":
    main()
