"""The round trip: predict the code of a data set's images, render it under the recorded light, compare, write a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.code.predictions import Prediction
from datagen.io.files import read_whole
from datagen.io.written import Written
from datagen.shards.pictures import DatasetImages
from datagen.shards.reader import Samples
from render.compare import compare
from render.report import check_report_folder
from render.rerender import Recorded, Renderers, read_codes, render_codes
from render.sides import PAGE, PREDICTIONS, RENDERED

if TYPE_CHECKING:
    from model.prediction.outcomes import ImageReader

TITLE = "Images, their code, and back"
VERB = "roundtrip"  # the list of written files is named after it


def roundtrip(
    predictor: ImageReader,
    data: Path | Samples,
    out: Path,
    *,
    num: int | None = None,
    batch_size: int = 32,
    on: Renderers = None,
    heading: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Predict, render and compare the first `num` samples (all by default) of a data set, given as its folder or as opened samples; write
    the report to `out` and return its metrics.

    ``on`` names what renders. The folder also keeps ``pred.jsonl`` and ``rendered/``, with which a second call goes on where the
    first was interrupted. `UserError` if the model's code is of another domain, or if `out` holds predictions that no round trip has
    written there.
    """
    from model.prediction.predict import predict_file

    check_roundtrip_folder(out)
    images = DatasetImages(data, num)
    predictor.refuse_foreign(images.samples.at(0).domain)
    predict_file(predictor, images, out / PREDICTIONS, batch_size, write=write_predictions_of_roundtrip)
    codes = read_codes(out / PREDICTIONS)
    rendered = render_codes(codes, Recorded(images.samples), out / RENDERED, on=on, clear=True)
    candidate = out / (RENDERED if rendered.keys else PREDICTIONS)
    facts = {"Model": predictor.name, **(heading or {})}
    return compare(images.samples, candidate, out, images.keys, predictions=out / PREDICTIONS, heading=facts, title=TITLE)


def check_roundtrip_folder(out: Path) -> None:
    """`UserError` if `check_report_folder` refuses a folder, or if it holds predictions that no round trip has written."""
    check_report_folder(out)
    if out.is_dir():
        _written(out).refuse_strangers([PREDICTIONS])


def write_predictions_of_roundtrip(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write ``pred.jsonl``, and list it as written by a round trip."""
    written = _written(path.parent)
    written.refuse_strangers([PREDICTIONS])
    written.write({PREDICTIONS: "".join(json.dumps(one.to_json(), allow_nan=False) + "\n" for one in predictions).encode()})


def _written(out: Path) -> Written:
    """The list of files that round trips have written into a folder. Earlier versions wrote no list: their page's title shows them."""
    written, page = Written(out, VERB), out / PAGE
    if not written.made_from and page.is_file() and TITLE in read_whole(page).decode(errors="replace"):
        written.take([PREDICTIONS])
    return written
