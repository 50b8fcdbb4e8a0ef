"""Write or check the golden predictions of a shipped model, by which a test sees that it still says the same:

    python -m model.golden model/weights/NAME IMAGE ...     # copies the images, and writes what the model says of them
    python -m model.golden model/weights/NAME               # says what has changed

The folder ``golden`` beside the model holds the images, no larger than the model's frame, and ``golden.jsonl``, lines as of pred.jsonl.
Words and the number of objects are to be the same. Numbers may be off by `DECIMALS` of the last declared digit, confidences by `SHARE`, as
sums of floating-point numbers differ from machine to machine in their last digits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from datagen.code.grammar import parse_code
from datagen.code.predictions import Prediction, read_predictions, write_predictions
from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.images.encoding import decode_image, encode_image
from datagen.io.files import write_bytes
from datagen.metrics.certainty import off_centre
from datagen.scene import Object
from datagen.shards.pictures import ImageFiles, find_images
from model.prediction.predict import Predictor

GOLDEN, LINES = "golden", "golden.jsonl"
DECIMALS = 5.0  # of the last declared digit of a number
SHARE = 0.005  # of a confidence
MOST_IMAGES, MOST_BYTES = 8, 200_000


def write_golden(folder: Path, images: Sequence[Path]) -> None:
    """Copy images, as the model of a folder sees them, into its ``golden``, and write what it says of them."""
    out = folder / GOLDEN
    if (out / LINES).exists():
        raise UserError(f"{out}: holds golden predictions; remove the folder to write others")
    if len(images) > MOST_IMAGES:
        raise UserError(f"{len(images)} images: at most {MOST_IMAGES} are meant")
    predictor = Predictor.of(folder, "cpu")
    out.mkdir(exist_ok=True)
    for path in images:
        pixels = predictor.frame.fit(decode_image(path.read_bytes(), str(path)))[0]
        write_bytes(out / f"{path.stem}.png", encode_image(pixels))
    if sum(path.stat().st_size for path in out.iterdir()) > MOST_BYTES:
        raise UserError(f"{out}: more than {MOST_BYTES:,} bytes of images; choose fewer")
    write_predictions(out / LINES, predicted(predictor, out))


def predicted(predictor: Predictor, golden: Path) -> list[Prediction]:
    """What a model says of the images in a folder ``golden``, one by one, so that none depends on another."""
    images = ImageFiles(find_images([golden])[0])
    return list(predictor.predict(((key, images.pixels(key)) for key in images.keys), 1))


def changes(folder: Path) -> list[str]:
    """What the model in a folder says otherwise than its golden predictions do."""
    predictor = Predictor.of(folder, "cpu")
    golden, domain = read_predictions(folder / GOLDEN / LINES), get_domain(predictor.domain)
    if not golden:
        raise UserError(f"{folder / GOLDEN / LINES}: there are no golden predictions")
    now = {one.key: one for one in predicted(predictor, folder / GOLDEN)}
    found = [f"{key}: is there on one side alone" for key in sorted(golden.keys() ^ now.keys())]
    return found + [change for key in golden.keys() & now.keys() for change in _changes(golden[key], now[key], domain)]


def _changes(golden: Prediction, now: Prediction, domain: Domain) -> Iterator[str]:
    before, after = (parse_code(one.code, domain).objects for one in (golden, now))
    if len(before) != len(after):
        yield f"{golden.key}: {len(after)} objects instead of {len(before)}"
        return
    for place, (one, other) in enumerate(zip(before, after, strict=True), 1):
        yield from (f"{golden.key}: object {place}: {change}" for change in _of_object(one, other, domain))
    for place, (sure, now_sure) in enumerate(zip_longest(golden.confidence or (), now.confidence or ()), 1):
        if sure is None or now_sure is None or abs(sure - now_sure) > SHARE:
            yield f"{golden.key}: object {place}: confidence {now_sure} instead of {sure}"
    if golden.looks_like_domain != now.looks_like_domain:
        yield f"{golden.key}: looks_like_domain is {now.looks_like_domain} instead of {golden.looks_like_domain}"


def _of_object(one: Object, other: Object, domain: Domain) -> Iterator[str]:
    if one.statement != other.statement:
        yield f"{other.statement} instead of {one.statement}"
        return
    statement = domain.statement(one.statement)
    for choice in statement.choices:
        if one[choice.name] != other[choice.name]:
            yield f"{choice.name} {other[choice.name]} instead of {one[choice.name]}"
    for number in statement.numbers:
        pairs = zip(number.as_tuple(one[number.name]), number.as_tuple(other[number.name]), strict=True)
        if any(abs(off_centre(b, a, number.period)) > DECIMALS * 10**-number.decimals for a, b in pairs):
            yield f"{number.name} {other[number.name]} instead of {one[number.name]}"


if __name__ == "__main__":
    try:
        if len(sys.argv) < 2:
            sys.exit(__doc__.splitlines()[0])
        if len(sys.argv) > 2:
            write_golden(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
        elif found := changes(Path(sys.argv[1])):
            sys.exit("\n".join(found))
    except UserError as error:
        sys.exit(str(error))
