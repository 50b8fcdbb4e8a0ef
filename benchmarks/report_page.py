"""What a report's page takes in Chromium: to open, to choose and sort, and to be scrolled through.

    python benchmarks/report_page.py REPORT [--steps 200]

Seconds that the page's main thread had the processor mean something on a busy machine, too. Needs Chromium and websockets (igllm[dev]).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from chromium import Browser, browser  # the tests' line to a browser

CHANGES = ("show.value = 'faulty'", "show.value = 'all'", "sort.value = 'flip'", "find.value = '00012'", "find.value = ''")
SCROLL = """(async () => {
  for (let step = 1; step <= STEPS; step++) {
    window.scrollTo(0, step * 1500);
    await new Promise((next) => requestAnimationFrame(next));
  }
})()"""


def busy(page: Browser) -> float:
    """Seconds that the page's main thread has had the processor."""
    return next(one["value"] for one in page.call("Performance.getMetrics")["metrics"] if one["name"] == "TaskDuration")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--steps", type=int, default=200, help="steps of 1,500 pixels to scroll (default: 200)")
    options = parser.parse_args()
    address = (options.report / "index.html").absolute().as_uri()
    with browser() as page:
        page.call("Performance.enable", timeDomain="threadTicks")
        for _ in range(3):
            page.open("about:blank")
            begin, worked = time.perf_counter(), busy(page)
            page.call("Page.navigate", url=address)
            page.wait("[...document.querySelectorAll('#cards img')].some((one) => one.naturalWidth)")
            clock = time.perf_counter() - begin
            print(f"first pictures after {clock:.2f} s, {busy(page) - worked:.2f} s of work; {page.eval('count.textContent')}")
        for change in CHANGES:
            took = page.eval(
                f"(() => {{ const form = document.getElementById('controls'), begin = performance.now(); form.{change};"
                " form.dispatchEvent(new Event('input')); document.body.offsetHeight; return performance.now() - begin; })()"
            )
            print(f"{change}: {took:.0f} ms")
        worked = busy(page)
        page.eval(SCROLL.replace("STEPS", str(options.steps)))
        print(f"{options.steps} steps of 1,500 pixels: {busy(page) - worked:.1f} s of work")


if __name__ == "__main__":
    main()
