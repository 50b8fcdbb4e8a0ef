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


KINDS = {
    "partial": Kind(partials, _take_up, share=0.3, prepare=load),
    "template": Kind(templates, _apply, share=0.0005, block=50, some=2),
}
