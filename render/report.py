"""The report folder: ``metrics.json``, ``samples.jsonl`` (the scores of each sample), and ``index.html`` with its script and data.

The page opens from disk and without network. A page from disk may not read files, so the samples' cards lie in ``data/`` as small scripts
that call one function with plain JSON, and are loaded when they are scrolled to. The template engine escapes all text from predictions;
the script sets it as text, never as markup, and the page's policy allows no script but those beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from datagen.errors import UserError
from datagen.io.files import naming, passed_over, read_whole, write_json
from datagen.io.locks import hold
from datagen.io.pages import render_template
from datagen.io.written import Written
from datagen.screen import uncontrolled
from render.sides import PAGE, PREDICTIONS, RENDERED

T = TypeVar("T")

METRICS, SAMPLES, PICTURES, DATA, SCRIPT = "metrics.json", "samples.jsonl", "pictures", "data", "report.js"
VERB = "compare"  # the list of written files is named after it
_PICTURE = re.compile(rf"{PICTURES}/\d{{3,}}-\d\.png")
_STATED = {"reference", "candidate", "domain", "unit", "samples", "missing", "unparsable", "scene", "image"}  # in every metrics.json
MOST_PAGE_BYTES = 1 << 24
MAX_ROWS = 200  # objects of a sample on the page
MAX_RAW_CODE = 4000  # characters of code that does not parse
CHUNK = 40  # cards that are loaded together


class PictureFile(NamedTuple):
    """An image file of a page; width and height are in pixels."""

    data: bytes
    suffix: str
    width: int
    height: int


@dataclass(frozen=True)
class PageSample:
    """A sample of a page.

    ``row`` is its line of ``samples.jsonl``, ``card`` what the script shows of it, plain JSON with a key ``answers``, a list with one entry
    for each candidate. ``columns`` has the numbers of each candidate that samples are sorted and chosen by, and ``wrong`` its confusions.
    ``pictures`` are by place: ``input``, and for each candidate, by its number, its picture and the map of differences.
    """

    key: str
    row: Mapping[str, Any]
    card: dict[str, Any]
    columns: Sequence[Mapping[str, float | None]]
    wrong: Sequence[Sequence[Sequence[str]]]
    pictures: Mapping[tuple[int, str], PictureFile] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A number that samples can be sorted by: its name in `PageSample.columns`, what it is called, and whether a higher one is worse."""

    name: str
    label: str
    higher_is_worse: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture of a page of one file. ``path`` is a data URI; width and height are in pixels."""

    caption: str
    path: str
    width: int
    height: int


def check_report_folder(out: Path) -> None:
    """`UserError` if `out` is a file, holds something other than a report, or has files of a report that were changed by others."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file is in the place of the report; name another folder")
    if out.is_dir():
        written = _written(out)
        if not written.made_from and not all(path.name in (PREDICTIONS, RENDERED) or passed_over(path.name) for path in out.iterdir()):
            raise UserError(f"{out}: this folder holds something other than a report; name another, or an empty one")
        written.refuse_strangers({METRICS, SAMPLES, PAGE, SCRIPT, *written.made_from})


def _written(out: Path) -> Written:
    """The files of the report in a folder. Earlier versions wrote no list of files; their reports are recognised by their content."""
    written = Written(out, VERB)
    if (out / PAGE).is_file():
        shown = _PICTURE.findall(read_whole(out / PAGE, MOST_PAGE_BYTES).decode(errors="replace"))
        written.adopt((METRICS, SAMPLES, PAGE, *dict.fromkeys(shown)), METRICS, _STATED)
    return written


def spread(ordered: Sequence[T], most: int) -> list[T]:
    """At most `most` items, evenly spaced, the first and the last among them."""
    if len(ordered) <= most:
        return list(ordered)
    return [ordered[round(i)] for i in np.linspace(0, len(ordered) - 1, most)]


@contextmanager
def writing_report(out: Path) -> Iterator[ReportWriter]:
    """Write the report folder `out` within the block; an older report there is replaced once the new one is complete, and all other files
    are kept. The block adds the samples and calls `ReportWriter.finish`. `UserError` as `check_report_folder`."""
    check_report_folder(out)
    with hold(out.absolute()):
        written = _written(out)
        with written.drafting() as (draft, check):
            writer = ReportWriter(draft, check)
            with writer:
                yield writer
            check()
            written.install(draft, writer.names)
            written.check(writer.names)


class ReportWriter:
    """The files of a report, in a folder where they wait until all of them are written; ``names`` are theirs. Memory holds a few numbers
    for each sample. `check` is called before a sample's files are written, and raises `UserError` if the folder has been removed."""

    def __init__(self, draft: Path, check: Callable[[], None]) -> None:
        self._draft, self._check = draft, check
        self.names = [SAMPLES]
        self._keys: list[str] = []
        self._columns: list[dict[str, list[float | None]]] = []
        self._wrong: list[list[list[int]]] = []
        self._confusions: dict[tuple[str, ...], int] = {}
        self._cards: list[dict[str, Any]] = []
        self._rows = (draft / SAMPLES).open("w")

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of a report that is not finished nobody needs the rows
            self._rows.close()

    def add(self, sample: PageSample) -> None:
        """Write a sample's line and pictures, and keep its card until a chunk of them is full."""
        self._check()
        with naming(self._draft / SAMPLES):
            self._rows.write(json.dumps(sample.row, allow_nan=False) + "\n")
        for (place, kind), picture in sample.pictures.items():
            shown = self._picture(f"{len(self._keys) + 1:06d}-{place}{kind}{picture.suffix}", picture)
            if kind:
                sample.card["answers"][place][kind] = shown
            else:
                sample.card["input"] = shown
        if not self._keys:
            self._columns = [{name: [] for name in columns} for columns in sample.columns]
            self._wrong = [[] for _ in sample.columns]
        self._keys.append(sample.key)
        for held, columns in zip(self._columns, sample.columns, strict=True):
            for name, value in columns.items():
                held[name].append(value)
        for ids, wrong in zip(self._wrong, sample.wrong, strict=True):
            ids.append(sorted({self._confusions.setdefault(tuple(one), len(self._confusions)) for one in wrong}))
        self._cards.append({"key": sample.key, **sample.card})
        if len(self._cards) == CHUNK:
            self._write_chunk()

    def finish(
        self,
        template: str,
        title: str,
        metrics: Mapping[str, Any],
        *,
        sort: Sequence[Column],
        names: Sequence[str],
        ranks: Sequence[Sequence[int]],
        **values: Any,
    ) -> None:
        """Write all that is of the report as a whole.

        ``names`` are those of the candidates, ``ranks`` the place of each of their samples, the best first. ``sort`` names further columns
        to sort by; `values` are for the `template`.
        """
        self._write_chunk()
        with naming(self._draft / SAMPLES):
            self._rows.close()
        index = {
            "keys": self._keys,
            "chunk": CHUNK,
            "names": list(names),
            "sort": [[one.name, one.label, one.higher_is_worse] for one in sort],
            "confusions": list(self._confusions),
            "answers": [{**held, "wrong": ids, "rank": rank} for held, ids, rank in zip(self._columns, self._wrong, ranks, strict=True)],
        }
        self._script(f"{DATA}/index.js", f"igllm.index({_json(index)});\n")
        self._file(SCRIPT, (Path(__file__).parent / SCRIPT).read_bytes())
        page = render_page(template, title=title, metrics=metrics, unit=metrics["unit"], names=names, **values)
        self._file(PAGE, page.encode())
        write_json(self._draft / METRICS, dict(metrics))
        self.names.append(METRICS)

    def _write_chunk(self) -> None:
        if self._cards:
            number = (len(self._keys) - 1) // CHUNK
            self._script(f"{DATA}/{number:05d}.js", f"igllm.chunk({number}, {_json(self._cards)});\n")
            self._cards = []

    def _picture(self, name: str, picture: PictureFile) -> list[Any]:
        """Write a picture; files are numbered, as a key comes from outside and may be no valid file name."""
        self._file(f"{PICTURES}/{name}", picture.data)
        return [f"{PICTURES}/{name}", picture.width, picture.height]

    def _script(self, name: str, text: str) -> None:
        self._file(name, text.encode())

    def _file(self, name: str, data: bytes) -> None:
        path = self._draft / name
        path.parent.mkdir(exist_ok=True)
        with naming(path):
            path.write_bytes(data)
        self.names.append(name)


def _json(value: Any) -> str:
    """Plain JSON in ASCII, in which control characters and those that change the direction of text are written as in a page."""
    return json.dumps(_shown(value), allow_nan=False, separators=(",", ":"))


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() and value.isprintable() else uncontrolled(value).encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list | tuple) else value


def render_page(template: str, **values: Any) -> str:
    """The page made from a template of this folder and the values, all of which are escaped."""
    filters: dict[str, Callable[..., str]] = {"percent": percent, "number": number, "distance": distance, "ends": _ends}
    return render_template(
        Path(__file__).parent, template, filters, style="report.css", max_raw_code=MAX_RAW_CODE, max_rows=MAX_ROWS, **values
    )


def percent(share: float | None, digits: int = 1) -> str:
    """A share as text: ``97.3 %``."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """A number with its unit as text."""
    gap = "" if unit in ("", "°") else " "
    return "–" if value is None else f"{value:.{digits}f}{gap}{unit}"


def distance(value: float | None, unit: str, digits: int = 3) -> str:
    """As `number`, but with two significant digits where a value would be rounded to zero."""
    if value is None or value == 0 or value >= 10**-digits * 5:
        return number(value, digits, unit)
    return f"{value:.2g} {unit}"


def _ends(interval: Sequence[float] | None, scale: float = 1, digits: int = 1) -> str:
    return "" if interval is None else "–".join(f"{scale * end:.{digits}f}" for end in interval)
