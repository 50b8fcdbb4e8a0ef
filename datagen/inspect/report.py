"""A description of a data set, for people to check before training: a page, one picture of everything, a contact sheet, the numbers.

The plotting library is slow to import, so that `inspect` imports the modules that need it only when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datagen.io.files import check_folder, json_bytes
from datagen.io.ranges import counted
from datagen.io.written import Written
from datagen.screen import printable
from datagen.shards.reader import Samples
from datagen.shards.store import Place

PAGE, OVERVIEW, SHEET, STATISTICS = "index.html", "overview.png", "contact-sheet.png", "statistics.json"
_STATED = {"samples", "objects", "frames", "images", "problems", "disk", "settings", "manifest"}  # keys of every STATISTICS file
VERB = "inspect"  # the verb whose list of written files names these
LABELLED = 4  # samples on the page with their labels drawn


def inspect(data: Place, out: Path) -> dict[str, Any]:
    """Write ``index.html``, ``overview.png``, ``contact-sheet.png`` and ``statistics.json`` of the data set `data` into `out`.

    Each file appears complete, the page last. Returns the statistics. `UserError` if the data set is damaged, `out` is a file, or has
    files of these names that no inspection wrote.
    """
    from datagen.inspect.folder import folder_facts
    from datagen.inspect.page import overview, png, render_page
    from datagen.inspect.pictures import COLUMNS, ROWS, contact_sheet
    from datagen.inspect.plots import sections
    from datagen.inspect.statistics import gather, spread

    check_folder(out, "the folder to write")
    names = (STATISTICS, SHEET, OVERVIEW, PAGE)
    written = Written(out, VERB)
    written.adopt(names, STATISTICS, _STATED)
    written.refuse_strangers(names)
    samples = Samples(data)
    facts = folder_facts(samples)
    statistics = gather(samples, facts.rules)
    found = {**statistics.to_json(), **facts.to_json()}
    found["problems"] = [printable(line) for line in (*facts.problems, *found["problems"])]
    sheet = contact_sheet(samples[key] for key in spread(samples.keys, COLUMNS * ROWS))
    shown = sections(statistics, facts)
    name = str(data).rstrip("/").rpartition("/")[2]
    page = render_page(name, found, shown, [samples[key] for key in spread(samples.keys, LABELLED)])
    files = (json_bytes(found), png(sheet), png(overview(name, found, sheet, shown)), page.encode())
    written.write(dict(zip(names, files, strict=True)))
    return found


def statistics_text(found: dict[str, Any]) -> str:
    """The statistics as lines to print."""
    lines = [f"{counted(found['samples'], 'sample')}, {counted(found['objects'], 'object')}, {found['disk']['bytes'] / 1e6:.1f} MB"]
    lines += [f"  frames: {_counts(found['frames'])}", f"  objects a scene: {_counts(found['objects_per_scene'])}"]
    for statement in found["statements"]:
        lines += [f"  {name}: {_counts(counter)}" for name, counter in statement["words"].items()]
        lines += [f"  {name}: {_ranges(number)}" for name, number in statement["numbers"].items()]
    images = found["images"]
    lines.append(f"  image mean {images['mean']['mean']:.1f}, spread {images['std']['mean']:.1f} (8-bit, {images['images']} images)")
    lines += [f"  as asked: {note}" for note in found["as_asked"]]
    lines += [f"  look at: {problem}" for problem in found["problems"]]
    return "\n".join(map(printable, lines))


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counter.items())


def _ranges(number: dict[str, Any]) -> str:
    measured = [c for c in number["components"] if c["n"]]
    return "; ".join(f"{c['min']:g} to {c['max']:g}, mean {c['mean']:.4g}" for c in measured) + f" {number['unit']}" if measured else "none"
