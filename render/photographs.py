"""The round trip of images without a truth: predict their code, render it, and show both side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from datagen.code.grammar import parse_code
from datagen.code.predictions import Prediction, read_predictions
from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.images.encoding import encode_image
from datagen.io.progress import progress
from datagen.shards.pictures import Pictures
from render.cards import picture_of, raw_code, said_rows
from render.images import ImageScores
from render.report import Column, PageSample, PictureFile, number, percent, writing_report
from render.rerender import Renderers, Standard, read_codes, render_codes
from render.roundtrip import check_roundtrip_folder, write_predictions_of_roundtrip
from render.scored import summarize_images
from render.scorers import PairScores, Scorers
from render.sides import PREDICTIONS, RENDERED, Side
from render.unlike import SURE, sureness, warning

if TYPE_CHECKING:
    from model.prediction.outcomes import ImageReader

TITLE = "Images and what was read from them"
WIDTH = 320  # pixels of the pictures, as of most data sets


def roundtrip_images(
    predictor: ImageReader,
    images: Pictures,
    out: Path,
    *,
    batch_size: int = 32,
    on: Renderers = None,
) -> dict[str, Any]:
    """Predict the code of images, render it under the domain's standard camera and light, write the report to `out`, and return its
    metrics.

    The page shows an image as the model sees it: scaled to fit the model's frame as a whole, on the mean colour. Where it seems to be
    unlike what the model knows (`render.unlike`), the page says so. What else the folder keeps, resuming and errors are as in
    `render.roundtrip.roundtrip`. `UserError` if no image can be read.
    """
    from model.data.frames import Frame
    from model.load import check_config
    from model.prediction.predict import predict_file

    check_roundtrip_folder(out)
    domain = get_domain(predictor.domain)
    frame = Frame.of(SimpleNamespace(**check_config(Path(predictor.name))))
    height = max(16, round(WIDTH * frame.height / frame.width))
    skipped = predict_file(predictor, images, out / PREDICTIONS, batch_size, write=write_predictions_of_roundtrip)
    predictions = read_predictions(out / PREDICTIONS)
    if not predictions:
        raise UserError("none of the images can be read")
    rendered = render_codes(read_codes(out / PREDICTIONS), Standard(domain.name, WIDTH, height), out / RENDERED, on=on, clear=True)
    view = Frame(height, WIDTH, frame.mean, frame.std)
    side = Side(out / RENDERED) if rendered.keys else None
    with writing_report(out) as report, Scorers[_Read](len(rendered.keys)) as scorers:
        rows: list[dict[str, Any]] = []

        def add(one: _Read, scores: PairScores | None) -> None:
            sample = _page_sample(one, scores, rendered.refused.get(one.prediction.key), domain)
            rows.append(dict(sample.row))
            report.add(sample)

        for prediction in progress(predictions.values(), total=len(predictions), desc="report"):
            pixels = view.fit(images.pixels(prediction.key))[0]
            answer = side.answer(prediction.key, domain) if side is not None else None
            pair = None if answer is None or answer.image is None else (pixels, answer.image)
            own = PictureFile(encode_image(pixels), ".png", WIDTH, height)
            scorers.put(_Read(prediction, own, picture_of(answer)), [pair])
            for one, [scores] in scorers.finished():
                add(one, scores)
        for one, [scores] in scorers.finished(keep=0):
            add(one, scores)
        metrics = _metrics(rows, predictor.name, domain, skipped)
        report.finish(
            "images.html",
            TITLE,
            metrics,
            sort=[Column("confidence", "confidence", higher_is_worse=False), Column("flip", "FLIP")],
            names=["prediction"],
            ranks=[_ranks([row["confidence"] for row in rows])],
            sure=SURE,
        )
    return metrics


class _Read(NamedTuple):
    """What was read from an image, the image as the model sees it, and the picture rendered from what was read."""

    prediction: Prediction
    own: PictureFile
    picture: PictureFile | None


def _ranks(sure: Sequence[float | None]) -> list[int]:
    """The place of each, the surest first; those that state no confidence last."""
    stated = [-1.0 if one is None else one for one in sure]
    places = {one: place for place, one in enumerate(sorted(set(stated), reverse=True))}
    return [places[one] for one in stated]


def _metrics(rows: Sequence[Mapping[str, Any]], model: str, domain: Domain, skipped: Mapping[str, str]) -> dict[str, Any]:
    """The content of ``metrics.json``."""
    stated = [row["confidence"] for row in rows if row["confidence"] is not None]
    return {
        "model": model,
        "domain": domain.name,
        "unit": domain.unit,
        "samples": len(rows),
        "skipped": dict(skipped),
        "objects": sum(row["objects"] for row in rows),
        "refused": sum(row["refused"] is not None for row in rows),
        "unlike": sum(row["unlike"] for row in rows),
        "confidence": fmean(stated) if stated else None,
        "image": summarize_images([ImageScores(**row["image"]) for row in rows if row["image"] is not None]),
    }


def _page_sample(read: _Read, scores: PairScores | None, refused: str | None, domain: Domain) -> PageSample:
    prediction, own, picture = read
    scene = None if refused else parse_code(prediction.code, domain)
    sure, unlike = sureness(prediction), warning(prediction)
    image = None if scores is None else scores.scores.to_json()
    pictures = {(0, ""): own}
    if picture is not None and scores is not None:
        pictures |= {(0, "picture"): picture, (0, "heat"): PictureFile(scores.heat, ".png", picture.width, picture.height)}
    objects = 0 if scene is None else len(scene)
    facts = [("objects", str(objects)), ("sure", percent(sure, 0))]
    if image is not None:
        facts += [("FLIP", number(image["flip"], 3)), ("PSNR", number(image["psnr"], 1, "dB"))]
    card = {
        "masks": None,
        "notes": [unlike] if unlike else [],
        "answers": [
            {
                "facts": facts,
                "masks": None,
                "problem": refused,
                "code": raw_code(prediction.code) if refused else None,
                **({"rows": [], "more": 0} if scene is None else said_rows(scene, prediction.confidence, domain)),
            }
        ],
    }
    row = {"key": prediction.key, "objects": objects, "confidence": sure, "unlike": unlike is not None, "refused": refused, "image": image}
    columns = {"confidence": sure, "flip": None if image is None else image["flip"], "warned": float(unlike is not None)}
    return PageSample(prediction.key, row, card, [columns], [[]], pictures)
