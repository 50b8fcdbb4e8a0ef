"""Fuzzer inputs that `igllm predict` reads besides weights: partial files of interrupted calls, and chat templates."""

from __future__ import annotations

from pathlib import Path

import declared
import honest
from faults import TEMPLATES, text_of
from hypothesis import strategies as st
from kinds import Files, Kind
from trained import load


def partials() -> st.SearchStrategy[Files]:
    """The damaged partial file of an interrupted prediction, and its image."""
    import model.prediction.partial  # noqa: F401 - slow: before the first input is timed

    rows = [{"igllm": "0.1.1", "model": "m", "decoding": {}}, {"key": "a", "code": "dot(loc=(0.1, 0.2))\n", "image_sha256": "0" * 64}]
    return declared.damaged_lines(rows).map(
        lambda data: {".p.jsonl.partial": text_of(rows[0]).encode() + b"\n" + data, "a.png": honest.images()["rgb.png"]}
    )


def _take_up(folder: Path, out: Path) -> int:
    from datagen.shards.pictures import ImageFiles
    from model.prediction.decoding import Decoding
    from model.prediction.partial import Partial

    Partial(folder / ".p.jsonl.partial", "m", Decoding()).take_up(ImageFiles([folder / "a.png"]))
    return 0


def calibrations() -> st.SearchStrategy[Files]:
    """The damaged calibration of a model of CLEVR's scenes."""
    from model.declared import StatedCalibration

    number = {"edges": [-0.5], "factors": [1.5, 1.2], "least": 0.006}
    look = {"mean": [0.0, 1.0], "scale": [1.0, 2.0], "axes": [[0.6, 0.8]], "variances": [1.5], "rest": 0.5, "farthest": 2.0, "doubt": 0.3}
    content = {
        "model": "0" * 64,
        "images": 100,
        "within": 0.25,
        "objects": {"slope": 0.8, "offset": 0.1},
        "words": {"color": {"knots": [[-1.0, 0.3], [2.0, 0.9]]}, "shape": {}},
        "numbers": dict.fromkeys(("loc.x", "loc.y", "loc.z", "rotation"), number),
        "look": look,
    }
    return declared.damaged([content], StatedCalibration).map(lambda data: {"calibration.json": data})


def _calibrated(folder: Path, out: Path) -> int:
    """Read a calibration, and what it makes of what decoding might say; the prediction is read as any."""
    from datagen.code.predictions import read_predictions, write_predictions
    from datagen.domains.registry import get_domain
    from model.prediction.certainty.calibration import read_calibration
    from model.prediction.certainty.raw import Raw

    found = read_calibration(folder, "0" * 64, get_domain("clevr"))
    if found is not None:
        spans = {"loc": ((0.9, 1.1), (1.0, 1.0), (0.6, 0.8)), "rotation": ((-5.0, 12.0),)}
        raw = Raw(CLEVR_LINE, (-0.1,), ({"color": -0.1, "shape": -1e-9},), (0.5, 0.5), (spans,))
        write_predictions(out / "pred.jsonl", [found.prediction("a", raw, None)])
        read_predictions(out / "pred.jsonl")
    return 0


def templates() -> st.SearchStrategy[Files]:
    """Chat templates: programs by the author of a checkpoint."""
    piece = st.sampled_from(
        [*TEMPLATES, "{% set x = namespace() %}", "{{ raise_exception('x') }}", "{{ strftime_now('%Y') }}", "{{ messages[0].content }}"]
    )
    return st.lists(piece, min_size=1, max_size=3).map(lambda pieces: {"chat_template.jinja": "".join(pieces).encode()})


def _apply(folder: Path, out: Path) -> int:
    from model.tokens.chat_template import apply_template

    apply_template((folder / "chat_template.jinja").read_text(), {"eos_token": "</s>"}, [[{"role": "user", "content": "x"}]])
    return 0


CLEVR_LINE = 'add(loc=(1.000, 1.000, 0.700), color="red", material="metal", size="large", shape="cube", rotation=3.0)\n'

KINDS = {
    "calibration": Kind(calibrations, _calibrated, prepare=load),
    "partial": Kind(partials, _take_up, share=0.3, prepare=load),
    "template": Kind(templates, _apply, share=0.0005, block=50, some=2),
}
