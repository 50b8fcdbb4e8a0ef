"""The round trip: predict the code of a data set's images, render it again under the recorded light, compare, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import UserError
from datagen.shards.pictures import DatasetImages
from datagen.shards.reader import Samples
from render.compare import compare
from render.report import PREDICTIONS, RENDERED, check_report_folder
from render.rerender import Recorded, read_codes, render_codes

if TYPE_CHECKING:
    from model.prediction.predict import Predictor


def roundtrip(
    predictor: Predictor,
    data: Path | Samples,
    out: Path,
    *,
    num: int | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    heading: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Predict, render and compare the first `num` samples (all by default) of a data set, given as its folder or opened already; the
    metrics of the report in `out`.

    The folder also keeps ``pred.jsonl`` and ``rendered/``, which a second call takes up where the first was interrupted. `UserError` if the
    model's code is of another domain.
    """
    from model.prediction.predict import predict_file

    check_report_folder(out)
    images = DatasetImages(data, num)
    if reason := predictor.foreign(images.samples.at(0).domain):
        raise UserError(f"{reason}; choose a model that was trained on such scenes")
    predict_file(predictor, images, out / PREDICTIONS, batch_size)
    codes = read_codes(out / PREDICTIONS)
    rendered = render_codes(codes, Recorded(images.samples), out / RENDERED, workers=workers, clear=True)
    candidate = out / (RENDERED if rendered.keys else PREDICTIONS)
    facts = {"Model": predictor.name, **(heading or {})}
    title = "Images, their code, and back"
    return compare(images.samples, candidate, out, images.keys, predictions=out / PREDICTIONS, heading=facts, title=title)
