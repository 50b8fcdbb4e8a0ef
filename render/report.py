"""The report folder: ``metrics.json``, ``samples.jsonl`` (the scores of each sample), ``index.html`` and its ``pictures/``.

The page opens from disk, without network and without scripts. The template engine escapes all text from predictions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from datagen.errors import UserError
from datagen.images.encoding import encode_image
from datagen.io.files import naming, passed_over, read_whole, write_bytes, write_json, write_jsonl
from datagen.io.locks import hold
from datagen.io.pages import render_template
from datagen.io.written import Written
from render.codediff import DiffRow

T = TypeVar("T")

METRICS, SAMPLES, PAGE, PICTURES = "metrics.json", "samples.jsonl", "index.html", "pictures"
PREDICTIONS, RENDERED = "pred.jsonl", "rendered"  # kept beside the report by a round trip
VERB = "compare"  # the list of written files is named after it
_PICTURE = re.compile(rf"{PICTURES}/\d{{3,}}-\d\.png")
_STATED = {"reference", "candidate", "domain", "unit", "samples", "missing", "unparsable", "scene", "image"}  # in every metrics.json
MOST_PAGE_BYTES = 1 << 24
MAX_SHOWN = 100
MAX_ROWS = 200  # objects of a sample on the page
MAX_RAW_CODE = 4000  # characters of code that does not parse


@dataclass(frozen=True)
class ReportSample:
    """One sample on the page.

    ``scores`` is its line of ``samples.jsonl`` (``key``, ``status``, ``scene``, ``image``), ``rows`` both codes side by side,
    ``pictures`` (height, width, 3) uint8 by caption, ``problem`` what is wrong with the prediction as a whole, and ``code`` the
    prediction as written where it does not parse.
    """

    scores: Mapping[str, Any]
    rows: Sequence[DiffRow]
    pictures: Mapping[str, np.ndarray]
    problem: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Picture:
    """A picture of a page. ``path`` is relative to the page, or a data URI; width and height are in pixels."""

    caption: str
    path: str
    width: int
    height: int

    @property
    def linked(self) -> bool:
        """Whether the picture is a link to its file; a data URI is not."""
        return not self.path.startswith("data:")


def check_report_folder(out: Path) -> None:
    """`UserError` if `out` is a file, holds something other than a report, or has files of a report that were changed by others."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file is in the place of the report; name another folder")
    if out.is_dir():
        written = _written(out)
        if not written.made_from and not all(path.name in (PREDICTIONS, RENDERED) or passed_over(path.name) for path in out.iterdir()):
            raise UserError(f"{out}: this folder holds something other than a report; name another, or an empty one")
        written.refuse_strangers({METRICS, SAMPLES, PAGE, *written.made_from})


def _written(out: Path) -> Written:
    """The files of the report in a folder. Earlier versions wrote no list of files; their reports are recognised by their content."""
    written = Written(out, VERB)
    if (out / PAGE).is_file():
        shown = _PICTURE.findall(read_whole(out / PAGE, MOST_PAGE_BYTES).decode(errors="replace"))
        written.adopt((METRICS, SAMPLES, PAGE, *dict.fromkeys(shown)), METRICS, _STATED)
    return written


def spread(ordered: Sequence[T], most: int = MAX_SHOWN) -> list[T]:
    """At most `most` items, evenly spaced, the first and the last among them."""
    if len(ordered) <= most:
        return list(ordered)
    return [ordered[round(i)] for i in np.linspace(0, len(ordered) - 1, most)]


def write_report(
    out: Path,
    title: str,
    metrics: Mapping[str, Any],
    *,
    rows: Sequence[Mapping[str, Any]],
    shown: Iterable[ReportSample],
    heading: Mapping[str, str],
) -> None:
    """Write the report folder `out`; an older report there is replaced once the new one is complete, and all other files are kept.

    `metrics` becomes ``metrics.json`` and the page's summary, `rows` become ``samples.jsonl``, `shown` the samples of the page
    in their order. `heading` holds facts by name for the top of the page. `UserError` as `check_report_folder`.
    """
    check_report_folder(out)
    with hold(out.absolute()):
        written = _written(out)
        with written.drafting() as (draft, check):
            cards = [(sample, _save_pictures(draft, index, sample, check)) for index, sample in enumerate(shown, 1)]
            page = render_page("report.html", title=title, metrics=metrics, heading=heading, cards=cards, unit=metrics["unit"])
            write_bytes(draft / PAGE, page.encode())
            write_jsonl(draft / SAMPLES, rows)
            write_json(draft / METRICS, dict(metrics))
            check()
            pictures = [picture.path for _, saved in cards for picture in saved]
            written.install(draft, [*pictures, SAMPLES, PAGE, METRICS])
            written.check(pictures)


def _save_pictures(draft: Path, index: int, sample: ReportSample, check: Callable[[], None]) -> list[Picture]:
    """Write the pictures of a sample. Files are numbered, as a key comes from outside and may be no valid file name. `check` is called
    before each file."""
    saved = []
    for number, (caption, pixels) in enumerate(sample.pictures.items(), 1):
        path = draft / PICTURES / f"{index:03d}-{number}.png"
        check()
        path.parent.mkdir(exist_ok=True)
        with naming(path):
            path.write_bytes(encode_image(pixels))
        saved.append(Picture(caption, f"{PICTURES}/{path.name}", pixels.shape[1], pixels.shape[0]))
    return saved


def render_page(template: str, **values: Any) -> str:
    """The page made from a template of this folder and the values, all of which are escaped."""
    filters: dict[str, Callable[..., str]] = {"percent": _percent, "number": _number, "distance": _distance, "ends": _ends}
    return render_template(
        Path(__file__).parent, template, filters, style="report.css", max_raw_code=MAX_RAW_CODE, max_rows=MAX_ROWS, **values
    )


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _number(value: float | None, digits: int = 2, unit: str = "") -> str:
    gap = "" if unit in ("", "°") else " "
    return "–" if value is None else f"{value:.{digits}f}{gap}{unit}"


def _distance(value: float | None, unit: str, digits: int = 3) -> str:
    """As `_number`, but with two significant digits where a value would be rounded to zero."""
    if value is None or value == 0 or value >= 10**-digits * 5:
        return _number(value, digits, unit)
    return f"{value:.2g} {unit}"


def _ends(interval: Sequence[float] | None, scale: float = 1, digits: int = 1) -> str:
    return "" if interval is None else "–".join(f"{scale * end:.{digits}f}" for end in interval)
